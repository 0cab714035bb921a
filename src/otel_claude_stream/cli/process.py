"""A child process that must not outlive this one, signals that raise, and commands under auto-instrumentation."""

from __future__ import annotations

import gc
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
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing_extensions import Self

TERMINATE_SECONDS: Final = 3.0  # between SIGTERM and SIGKILL; long enough to flush an exporter
POLL_SECONDS: Final = 0.02
KEPT_LINES: Final = 200
POSIX: Final = os.name == "posix"


def discard_line(_line: str) -> None:
    """Discard a line of output."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived; ``signal`` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Child:
    """Runs ``command`` with exactly the environment ``env``; a context manager that leaves no process behind.

    ``stdin`` is its standard input. Its output and errors are passed to ``on_line`` line by line; ``lines`` has the
    last 200. Raises ``OSError`` on entry if the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        stdin: str = "",
        on_line: Callable[[str], None] = discard_line,
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
        self._process = subprocess.Popen(  # noqa: S603 - a command of this package, without a shell
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

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process ID, on POSIX also the ID of the process group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code (negative: the number of the signal), None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End the process group by SIGTERM and, after up to 3 s, by SIGKILL. A second Ctrl-C skips the wait."""
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
            return  # no process of the group is left, which macOS reports as EPERM

    def _write(self) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        try:
            with pipe:
                pipe.write(self._stdin)
        except BrokenPipeError:
            return  # it ended before it read; the exit code shows that

    def _read(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))
                self._on_line(line.rstrip("\n"))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector, which would visit the many objects of telemetry again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise ``Terminated`` in the main thread on SIGTERM and SIGHUP, so that ``with`` blocks clean up.

    A signal that is ignored stays ignored.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handled = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # ignored under nohup
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def auto_instrumented(command: Sequence[str]) -> list[str]:
    """Return ``command`` under OpenTelemetry's auto-instrumentation, from the environment of this interpreter."""
    beside = Path(sys.executable).with_name("opentelemetry-instrument" + ("" if POSIX else ".exe"))
    if beside.exists():
        return [str(beside), *command]
    run = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    return [sys.executable, "-c", run, *command]
