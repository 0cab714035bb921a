"""The life of a subprocess that must not outlive us: its own process group, its output read, its end made sure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing_extensions import Self

TERMINATE_SECONDS: Final = 3.0  # between asking and killing: an exporter's flush fits
POLL_SECONDS: Final = 0.02
KEPT_LINES: Final = 200
POSIX: Final = os.name == "posix"


def unheard(_line: str) -> None:
    """For lines that nobody wants to hear."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; ``signal`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Child:
    """Runs ``command`` with exactly the environment ``env``; a context manager that leaves no process behind.

    Standard input is ``stdin``; output and errors are read line by line, kept (the last 200) and given to
    ``on_line``.
    Raises ``OSError`` on entry if the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        stdin: str = "",
        on_line: Callable[[str], None] = unheard,
    ) -> None:
        self._command = list(command)
        self._env = dict(env)
        self._stdin = stdin
        self._on_line = on_line
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def __enter__(self) -> Self:
        group: dict[str, Any] = (
            {"start_new_session": True}
            if POSIX
            else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        )
        self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            self._command,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            **group,
        )
        self._reader = threading.Thread(target=self._read, name="child-output", daemon=True)
        self._reader.start()
        try:
            self._write()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id, and on POSIX the id of the process group."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (negative: the signal), None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it and whatever it started in its group: ask, wait up to 3 s, kill. A second Ctrl-C kills at once."""
        try:
            if self._process.poll() is None:
                self._signal(signal.SIGTERM)
                self._wait(TERMINATE_SECONDS)
        finally:
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.wait()
            self._reader.join(1.0)

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _signal(self, number: int) -> None:
        try:
            if POSIX:
                os.killpg(self._process.pid, number)
            else:
                self._process.terminate()
        except (ProcessLookupError, PermissionError):
            return  # nobody of the group is left (macOS says so by EPERM)

    def _write(self) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        try:
            with pipe:
                pipe.write(self._stdin)
        except BrokenPipeError:
            return  # it ended before it read; its exit code tells

    def _read(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))
                self._on_line(line.rstrip("\n"))


@contextmanager
def signals_raise() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise ``Terminated`` in the main thread, so that ``with`` blocks clean up.

    One that is ignored stays so.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's affair
        return
    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heard = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def instrumented(command: Sequence[str]) -> list[str]:
    """``command`` under OpenTelemetry's auto-instrumentation, from the environment of this interpreter."""
    beside = Path(sys.executable).with_name("opentelemetry-instrument" + ("" if POSIX else ".exe"))
    if beside.exists():
        return [str(beside), *command]
    run = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    return [sys.executable, "-c", run, *command]
