"""The end of a child of `multiprocessing`, which leaves by `os._exit`: no exit handler runs, and no provider flushes.

The last batch of its telemetry would be lost. Finalisers do run there, so one of this package does the work of the exit
handlers. It is registered only in children that have streamed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from opentelemetry._logs import get_logger_provider
from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import get_tracer_provider

from otel_claude_stream import _guard

FLUSH_SECONDS = 2.0
"""The longest that the exit of a child waits for all telemetry. An exporter's own limit is ten seconds or more."""

LAST = -100
"""Priority of the finaliser. Those of the application run before it, and may still end streams."""


@_guard.guarded("child", None)
def at_end_of_child(end_streams: Callable[[], None]) -> None:
    """Let a child of `multiprocessing` end its open streams and flush before it leaves."""
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None:
        return

    def leave() -> None:
        end_streams()
        flush()

    util.Finalize(None, leave, exitpriority=LAST)


@_guard.guarded("child", None)
def flush() -> None:
    """Flush the global providers. Those of the API alone have nothing to flush."""
    deadline = time.monotonic() + FLUSH_SECONDS
    threads = [
        threading.Thread(target=provider.force_flush, args=(int(FLUSH_SECONDS * 1000),), daemon=True)
        for provider in (get_tracer_provider(), get_meter_provider(), get_logger_provider())
        if hasattr(provider, "force_flush")
    ]
    for thread in threads:  # several batch processors ignore the time that they are given
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
