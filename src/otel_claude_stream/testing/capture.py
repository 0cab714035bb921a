"""``Capture``: OpenTelemetry providers in memory, and what they received as plain data."""

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
    """Records spans, metrics and logs; a context manager. Never becomes the global provider.

    Trace and span ids count up from 1, so that whole records can be compared with literals. With ``resource``
    attributes each span also shows its ``resource``. Needs ``opentelemetry-sdk``: raises ``ImportError`` without.
    """

    def __init__(self, resource: Mapping[str, str] | None = None) -> None:
        try:
            from otel_claude_stream.testing import _memory
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise ImportError(
                "Capture needs opentelemetry-sdk: pip install 'otel-claude-stream[otlp]'", name=error.name
            ) from error
        self._memory = _memory.Memory(resource)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()

    @property
    def tracer_provider(self) -> TracerProvider:
        """Records every span."""
        return self._memory.tracer_provider

    @property
    def meter_provider(self) -> MeterProvider:
        """Records every measurement."""
        return self._memory.meter_provider

    @property
    def logger_provider(self) -> LoggerProvider:
        """Records every log record and event."""
        return self._memory.logger_provider

    @property
    def providers(self) -> dict[str, Any]:
        """The three providers as keyword arguments: ``instrument(**cap.providers)``."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def spans(self) -> list[Plain]:
        """Ended spans, in the order they ended.

        Each: ``name``, ``kind`` (``"CLIENT"``), ``scope``, ``trace_id``, ``span_id``, ``parent_id`` (or ``None``),
        ``start_ns``, ``end_ns``, ``status`` (``code``, ``description``), ``attributes``, ``events`` (``name``,
        ``time_ns``, ``attributes``), ``links`` (``trace_id``, ``span_id``, ``attributes``).
        """
        return self._memory.spans()

    def metrics(self) -> dict[str, Plain]:
        """What was measured since the start or ``clear``, by metric name, sorted.

        Each: ``unit``, ``description``, ``kind`` (``"histogram"``, ``"sum"``, ``"gauge"``), ``scope``, for sums
        ``monotonic``, and ``points`` sorted by attributes: ``attributes`` with ``value``, or with ``count``,
        ``sum``, ``min``, ``max``, ``buckets`` (pairs of upper bound and count, the last bound ``"+Inf"``) and
        ``exemplars`` (``value``, ``trace_id``, ``span_id``).
        """
        return self._memory.metrics()

    def logs(self) -> list[Plain]:
        """Log records in the order they came.

        Each: ``event_name``, ``severity`` (``"INFO"`` or ``None``), ``time_ns``, ``attributes``, ``trace_id``,
        ``span_id`` (``None`` outside a span), ``body``, ``scope``.
        """
        return self._memory.logs()

    def clear(self) -> None:
        """Forget everything so far. Up-down counters and gauges keep their level: it is a state, not an event."""
        self._memory.clear()
