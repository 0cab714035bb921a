"""The exit of a process whose providers this package configured, which waits for their exporters a limited time."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from otel_claude_stream import _guard

EXIT_SECONDS: Final = 2.0
"""The longest that all exporters together delay the exit. OpenTelemetry waits ten seconds or more for each of them."""

_log = logging.getLogger("otel_claude_stream")


class BoundedExit:
    """Shuts providers down at exit, each in a thread of its own, and stops waiting after `EXIT_SECONDS`.

    The threads wait from the beginning, since Python 3.12 and later start none during the exit.
    """

    def __init__(self, providers: Sequence[Any]) -> None:
        self._shutdowns: list[Callable[[], object]] = [provider.shutdown for provider in providers]
        for shutdown in self._shutdowns:
            atexit.unregister(shutdown)  # the handler that the provider registered
        atexit.register(self._exit)
        self._start()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._exiting = threading.Event()
        self._threads: list[threading.Thread] = []
        try:
            for shutdown in self._shutdowns:
                thread = threading.Thread(
                    target=self._run, args=(shutdown,), name="otel-claude-stream-exit", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # a limit of the system: the other providers are shut down by the exiting thread
            _log.debug("otel-claude-stream: cannot start a thread; the exit may wait longer for exporters")

    def _run(self, shutdown: Callable[[], object]) -> None:
        self._exiting.wait()
        with _guard.guard("exit"):
            shutdown()

    @_guard.guarded("exit", None)
    def _exit(self) -> None:
        deadline = time.monotonic() + EXIT_SECONDS
        self._exiting.set()
        for shutdown in self._shutdowns[len(self._threads) :]:
            self._run(shutdown)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            _log.warning(
                "otel-claude-stream: the exporters did not finish within %.0f s of the exit; the last telemetry of the "
                "process is lost. Check the endpoint of the collector. To wait longer, create the providers in code",
                EXIT_SECONDS,
            )
