"""Redirect all exporters of a process to a receiver, so that what reaches them can be observed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

OTLP: Final = "opentelemetry.exporter.otlp.proto.http."
EXPORTERS: Final = (
    ("traces", "opentelemetry.sdk.trace.export", "SpanExporter", "trace_exporter.OTLPSpanExporter"),
    ("metrics", "opentelemetry.sdk.metrics.export", "MetricExporter", "metric_exporter.OTLPMetricExporter"),
    ("logs", "opentelemetry.sdk._logs.export", "LogRecordExporter", "_log_exporter.OTLPLogExporter"),
    ("logs", "opentelemetry.sdk._logs.export", "LogExporter", "_log_exporter.OTLPLogExporter"),  # its older name
)
"""Each signal with its base class of exporters, and the OTLP/HTTP exporter that sends to the receiver."""
READERS: Final = "opentelemetry.sdk.metrics.export"


def redirect_exporters(url: str) -> None:
    """Send what reaches the exporters and pull readers of this process to the receiver at ``url``.

    Exporters send nothing to their own destinations any more. The providers, processors and readers in front of them
    are unchanged, so a signal that no exporter gets does not arrive.
    """
    senders = {signal: _sender(otlp, f"{url}/v1/{signal}") for signal, _, _, otlp in EXPORTERS}
    for signal, module, base, _ in EXPORTERS:
        if (exporter := getattr(import_module(module), base, None)) is not None:
            for kind in list(_overriding(exporter, "export")):
                kind.export = _forward(senders[signal])
    sdk: Any = import_module(READERS)
    for kind in list(_overriding(sdk.MetricReader, "_receive_metrics")):
        if not issubclass(kind, sdk.PeriodicExportingMetricReader):  # that one has an exporter
            kind._receive_metrics = _forward(senders["metrics"])  # noqa: SLF001 - documented for subclasses


def _sender(otlp: str, endpoint: str) -> Callable[..., Any]:
    """Return the method `export` of an OTLP exporter, bound to it before its class is changed."""
    module, _, name = otlp.partition(".")
    kind = getattr(import_module(OTLP + module), name)
    export: Callable[..., Any] = kind(endpoint=endpoint).export
    return export


def _overriding(base: Any, method: str) -> Iterator[Any]:
    """Yield the subclasses that define a method."""
    for kind in base.__subclasses__():
        if method in vars(kind):
            yield kind
        yield from _overriding(kind, method)


def _forward(send: Callable[..., Any]) -> Callable[..., Any]:
    def forward(_: object, *args: Any, **keywords: Any) -> Any:
        return send(*args, **keywords)

    return forward
