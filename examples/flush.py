"""Export telemetry before a process is stopped by SIGTERM or frozen by AWS Lambda.

OpenTelemetry exports in batches, and open streams end when the interpreter exits. The default action of SIGTERM ends
the process without that. This package installs no signal handlers, which are the concern of the application.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace

TIMEOUT_MS = 5000  # Kubernetes waits 30 s after SIGTERM, Lambda not at all


def flush() -> None:
    """Export all spans, metrics and logs recorded so far."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        force_flush = getattr(provider, "force_flush", None)
        if force_flush is not None:
            force_flush(TIMEOUT_MS)


def exit_on_sigterm() -> None:
    """Make SIGTERM a normal exit, so that open streams end with the reason `interpreter_exit` and are exported."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def flushed(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Flush after each call of a function, such as a handler of AWS Lambda, after which no exit handler runs."""

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        finally:
            flush()

    return wrapper
