"""``Capture``: in-memory OpenTelemetry providers whose telemetry is returned as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
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

    def __init__(self, resource: Mapping[str, str] | None = None) -> None:
        try:
            from otel_claude_stream.testing import _in_memory
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise ImportError(
                "Capture needs opentelemetry-sdk: pip install 'otel-claude-stream[otlp]'", name=error.name
            ) from error
        self._telemetry = _in_memory.InMemoryTelemetry(resource)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._telemetry.close()

    @property
    def tracer_provider(self) -> TracerProvider:
        """A tracer provider that records every span."""
        return self._telemetry.tracer_provider

    @property
    def meter_provider(self) -> MeterProvider:
        """A meter provider that records every measurement."""
        return self._telemetry.meter_provider

    @property
    def logger_provider(self) -> LoggerProvider:
        """A logger provider that records every log record and event."""
        return self._telemetry.logger_provider

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
        return self._telemetry.spans()

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
        return self._telemetry.metrics()

    def logs(self) -> list[Plain]:
        """Return the log records, in the order in which they were emitted.

        The keys of each record are:

        - ``event_name`` and ``severity`` (such as ``"INFO"``), which may be ``None``;
        - ``time_ns``, in nanoseconds since the epoch;
        - ``trace_id`` and ``span_id``, which are ``None`` outside a span;
        - ``attributes``, ``body`` and ``scope``, the name of the instrumentation scope.
        """
        return self._telemetry.logs()

    def clear(self) -> None:
        """Discard everything recorded so far, except the current values of up-down counters and gauges."""
        self._telemetry.clear()
