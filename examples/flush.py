"""Sends telemetry before the process is stopped from outside: on SIGTERM, or before AWS Lambda freezes it.

OpenTelemetry exports in batches, and what is still open ends when the interpreter exits. SIGTERM skips that: its
default action ends the process on the spot. This package installs no signal handlers, as they are the application's.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace

MILLISECONDS = 5000  # Kubernetes waits 30 s after SIGTERM, Lambda not at all


def flush() -> None:
    """Send what has ended so far. Providers without an SDK behind them have nothing to send."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        force_flush = getattr(provider, "force_flush", None)
        if force_flush is not None:
            force_flush(MILLISECONDS)


def exit_on_sigterm() -> None:
    """Turn SIGTERM into an ordinary exit: open streams end as `interpreter_exit`, and everything is exported."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def flushed(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a handler of AWS Lambda, or anything else after which no exit handler runs."""

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        finally:
            flush()

    return wrapper
