"""``Capture``: in-memory OpenTelemetry providers whose telemetry is returned as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from typing_extensions import Self

Plain = dict[str, Any]


class Capture:
    """Record spans, metrics and logs in memory. A context manager that shuts its providers down on exit.

    The global providers are not changed: pass ``providers`` to the code under test. Trace and span ids count up from
    1, so that whole records can be compared with literals. If ``resource`` attributes are given, each span also has
    the key ``resource``. The records can still be read after the ``with`` block.

    Raises ``ImportError`` if ``opentelemetry-sdk`` is not installed.
    """

    tracer_provider: TracerProvider
    """A tracer provider that records every span."""
    meter_provider: MeterProvider
    """A meter provider that records every measurement."""
    logger_provider: LoggerProvider
    """A logger provider that records every log record and event."""

    def __init__(self, resource: Mapping[str, str] | None = None) -> None:
        try:
            from opentelemetry.sdk._logs import LoggerProvider
            from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import SimpleSpanProcessor
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON

            from otel_claude_stream.testing import _in_memory
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise ImportError(
                "Capture needs opentelemetry-sdk: pip install 'otel-claude-stream[otlp]'", name=error.name
            ) from error
        self._plain = _in_memory
        self._with_resource = resource is not None
        shared = Resource(dict(resource or {}))
        self._spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(
            ALWAYS_ON, shared, shutdown_on_exit=False, id_generator=_in_memory.CountingIds()
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = _in_memory.Metrics(shared)
        self.meter_provider = self._metrics.provider
        self._logs = _in_memory.log_exporter()
        self.logger_provider = LoggerProvider(resource=shared, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tracer_provider.shutdown()
        self._metrics.close()
        self.logger_provider.shutdown()

    @property
    def providers(self) -> dict[str, Any]:
        """The three providers as keyword arguments, for ``instrument(**capture.providers)``."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def spans(self) -> list[Plain]:
        """Return the spans that have ended, in the order in which they ended.

        The keys of each span are:

        - ``name``, ``kind`` (such as ``"CLIENT"``) and ``scope``, the name of the instrumentation scope;
        - ``trace_id``, ``span_id`` and ``parent_id`` (``None`` for a root span), as hexadecimal strings;
        - ``start_ns`` and ``end_ns``, in nanoseconds since the epoch;
        - ``status``, with ``code`` (such as ``"ERROR"``) and ``description``;
        - ``attributes``;
        - ``events``, each with ``name``, ``time_ns`` and ``attributes``;
        - ``links``, each with ``trace_id``, ``span_id`` and ``attributes``.
        """
        return [self._plain.plain_span(x, with_resource=self._with_resource) for x in self._spans.get_finished_spans()]

    def metrics(self) -> dict[str, Plain]:
        """Return the metrics measured since the start or the last ``clear()``, by name and sorted by name.

        The keys of each metric are ``unit``, ``description``, ``scope``, ``kind`` (``"histogram"``, ``"sum"`` or
        ``"gauge"``), ``monotonic`` (sums only) and ``points``. Points are sorted by their ``attributes``. A point of
        a sum or gauge has a ``value``. A point of a histogram has:

        - ``count``, ``sum``, ``min`` and ``max``, in the unit of the metric;
        - ``buckets``, pairs of upper bound and count, where the last bound is ``"+Inf"``;
        - ``exemplars``, each with ``value``, ``trace_id`` and ``span_id``.

        Raises ``TypeError`` for an exponential histogram.
        """
        return self._metrics.as_plain()

    def logs(self) -> list[Plain]:
        """Return the log records, in the order in which they were emitted.

        The keys of each record are:

        - ``event_name`` and ``severity`` (such as ``"INFO"``), which may be ``None``;
        - ``time_ns``, in nanoseconds since the epoch;
        - ``trace_id`` and ``span_id``, which are ``None`` outside a span;
        - ``attributes``, ``body`` and ``scope``, the name of the instrumentation scope.
        """
        return [self._plain.plain_log(item) for item in self._logs.get_finished_logs()]

    def clear(self) -> None:
        """Discard everything recorded so far, except the current values of up-down counters and gauges."""
        self._metrics.clear()
        self._spans.clear()
        self._logs.clear()
