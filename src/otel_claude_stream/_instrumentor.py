"""The instrumentor: reads the settings, builds the emitter, puts the hooks in and out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from typing import Any

from opentelemetry._logs import get_logger
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.metrics import get_meter
from opentelemetry.trace import get_tracer

from otel_claude_stream import _guard
from otel_claude_stream._config import StreamConfig, load
from otel_claude_stream._core.limits import KNOWN_LIMITS, parse_limits
from otel_claude_stream._sdk.hooks import Hooks
from otel_claude_stream._sdk.streams import OpenStreams
from otel_claude_stream._sdk.watching import Watch
from otel_claude_stream._telemetry.emitter import Emitter
from otel_claude_stream._telemetry.logs import LogEvents
from otel_claude_stream.version import __version__

_log = logging.getLogger("otel_claude_stream")

SCOPE = "otel_claude_stream"
INSTRUMENTS = ("anthropic >= 0.50, < 3",)

CLOCK = time.perf_counter_ns
"""The monotonic clock of new instrumentations, in nanoseconds. Replaced by benchmarks."""

_hooks = Hooks()
_streams = OpenStreams()


class ClaudeStreamInstrumentor(BaseInstrumentor):
    """Instruments the streams of the Anthropic SDK: spans, events and metrics for each.

    ``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider`` (the global ones by
    default, also if they are set later), a ``config`` (`StreamConfig`), and every setting by its name
    (``events="log"``), which wins over the environment. It does not import ``anthropic``, works before and after its
    import and on clients that exist already, and never raises: a wrong setting is one error log, and its default.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the SDK that are supported."""
        return INSTRUMENTS

    def _instrument(self, **kwargs: Any) -> None:
        try:
            self._install(**kwargs)
        except Exception as error:  # noqa: BLE001 - an instrumentor that raises stops the ones after it
            _guard.report("instrument", error)

    def _install(
        self,
        *,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        config: StreamConfig | None = None,
        skip_dep_check: bool | None = None,  # noqa: ARG002 - the base class passes its own arguments on
        raise_exception_on_conflict: bool | None = None,  # noqa: ARG002 - as above
        **settings: Any,
    ) -> None:
        environment = os.environ if config is None else {}
        merged, problems = load(environment, settings, base=config, check_limits=parse_limits)
        for problem in problems:
            _log.error("otel-claude-stream: %s", problem)
        if not merged.enabled:
            return
        emitter = Emitter(
            get_tracer(SCOPE, __version__, tracer_provider),
            get_meter(SCOPE, __version__, meter_provider),
            LogEvents(get_logger(SCOPE, __version__, logger_provider)),
            merged,
            _streams,
        )
        _guard.on_report(emitter.internal_error)
        _streams.forget_labels()
        _streams.tell_stalls(merged.stall_thresholds)
        limits = parse_limits(merged.limits) if merged.limits else KNOWN_LIMITS
        _hooks.install(Watch(emitter, merged, limits, _streams, monotonic=CLOCK))

    def _uninstrument(self, **_: Any) -> None:
        _hooks.remove()
        _streams.tell_stalls(())
        _guard.on_report(None)
