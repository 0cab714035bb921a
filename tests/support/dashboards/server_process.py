"""Runs a server on loopback as a process, until the end of a block."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 60.0


@contextmanager
def server_process(name: str, command: Sequence[str], folder: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server in a folder, with a log there. The block begins when `is_ready` is true and raises no `OSError`."""
    log = folder / f"{name.lower()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until(is_ready, name, process, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _wait_until(is_ready: Callable[[], bool], name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            if is_ready():
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{name} did not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
