"""The application as a process with this terminal, these standard streams and signals, in this process group."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.process import POSIX, TERMINATE_SECONDS, auto_instrumented

if TYPE_CHECKING:
    from typing_extensions import Self

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
FORWARDED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""Signals that people and supervisors send to this process and mean for the application."""
SI_KERNEL: Final = 0x80
"""The kernel sent the signal (Linux), for a key or a closed terminal, so the whole process group received it."""
SNIFFED: Final = 512  # bytes of a file, enough to distinguish a program from a text


class CannotRun(CommandError):
    """The command cannot be started; ``code`` is the exit code of a shell in this case."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def check_command(command: Sequence[str], path: str | None = None) -> None:
    """Raise ``CannotRun``, with a command that may work, if a shell could not run the command either."""
    name = command[0]
    if found := shutil.which(name, path=path):
        if _is_text(Path(found)):
            raise CannotRun(
                f"{found} is a text file without a #! line; try: -- {_with_python(command)}", NOT_EXECUTABLE
            )
        return
    here = Path(name)
    if here.is_dir():
        raise CannotRun(f"{name} is a folder", NOT_EXECUTABLE)
    if here.suffix == ".py" and here.is_file():
        raise CannotRun(f"{name} is not executable; try: -- {_with_python(command)}", NOT_EXECUTABLE)
    if here.is_file() and os.path.dirname(name):  # noqa: PTH120 - a Path drops the ./ that matters here
        raise CannotRun(f"{name} is not executable; try: chmod +x {name}", NOT_EXECUTABLE)
    hint = f"; a file of that name is in this folder: ./{name}" if here.is_file() else ""
    raise CannotRun(f"{name}: command not found{hint}", NOT_FOUND)


class Signals:
    """Receives the signals that are meant for the application. A context manager for the main thread.

    Threads that start within it do not receive them. The application must be started with ``mask``. The terminal
    sends a Ctrl-C to the application too, so it must not be forwarded. On Linux the sender of a signal is known.
    Elsewhere, SIGINT and SIGQUIT count as the terminal's while this process is in its foreground. On Linux,
    ``on_stop`` is called before Ctrl-Z stops this process.
    """

    def __init__(
        self, *, exact: bool = hasattr(signal, "sigtimedwait"), on_stop: Callable[[], None] | None = None
    ) -> None:
        self._exact = exact
        self._on_stop = on_stop
        names = (*FORWARDED, "SIGTSTP") if exact and on_stop else FORWARDED
        self._numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self._pending: deque[int] = deque()
        self._handlers: dict[int, Any] = {}
        self.mask: set[int] = set()

    def __enter__(self) -> Self:
        if POSIX:
            self.mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers if self._exact else []))
        if not self._exact:
            ignored = [number for number in self._numbers if signal.getsignal(number) == signal.SIG_IGN]
            wanted = [number for number in self._numbers if number not in ignored]
            self._handlers = {number: signal.signal(number, self._note) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        while self._exact and signal.sigtimedwait(self._numbers, 0) is not None:
            pass  # the application has ended
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if POSIX:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def wait(self, timeout: float) -> int | None:
        """Return the next signal to forward, None if none arrived within ``timeout`` seconds."""
        if self._exact:
            found = signal.sigtimedwait(self._numbers, timeout)
            if found is not None and found.si_signo == signal.SIGTSTP and self._on_stop is not None:
                self._on_stop()
                os.kill(os.getpid(), signal.SIGSTOP)
                return None
            return None if found is None or found.si_code == SI_KERNEL else found.si_signo
        if not self._pending:
            time.sleep(timeout)
        return self._pending.popleft() if self._pending else None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not (number in (signal.SIGINT, getattr(signal, "SIGQUIT", None)) and _in_foreground()):
            self._pending.append(number)


class Application:
    """Runs ``command`` under auto-instrumentation with these standard streams; a context manager.

    It is in the same process group, so keys and job control of the terminal reach it directly. Leaving early, by an
    exception, ends it with SIGTERM, and after 3 s with SIGKILL.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], mask: set[int]) -> None:
        self._command = auto_instrumented(command)
        self._env = dict(env)
        self._mask = mask
        self._code: int | None = None

    def __enter__(self) -> Self:
        try:
            if POSIX:
                python_ignores = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
                self.pid: int = os.posix_spawn(
                    self._command[0], self._command, self._env, setsigmask=self._mask, setsigdef=python_ignores
                )
            else:
                self._process = subprocess.Popen(self._command, env=self._env)  # noqa: S603 - the user's command
                self.pid = self._process.pid
        except OSError as error:
            code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
            raise CannotRun(f"cannot run {self._command[0]}: {error.strerror}", code) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self.send(signal.SIGTERM)
            deadline = time.monotonic() + TERMINATE_SECONDS
            while self.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            self.send(getattr(signal, "SIGKILL", signal.SIGTERM))

    def poll(self) -> int | None:
        """Return the exit code (negative: the number of the signal), None while it runs."""
        if self._code is None and not POSIX:
            self._code = self._process.poll()
        elif self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def send(self, number: int) -> None:
        """Send a signal to the application, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _in_foreground() -> bool:
    """Whether this process group receives the signals of the keyboard."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _is_text(path: Path) -> bool:
    """Whether an executable file is a text that the kernel cannot run: without ``#!`` and without binary bytes."""
    try:
        with path.open("rb") as file:
            first = file.read(SNIFFED)
    except OSError:
        return False  # executable and not readable; starting it shows whether it works
    return POSIX and not first.startswith(b"#!") and bool(first) and all(byte >= 9 for byte in first)


def _with_python(command: Sequence[str]) -> str:
    return " ".join(["python", *command])
