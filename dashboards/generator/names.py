"""Prometheus names of the metrics and attributes of the schema, and of the other metrics that the dashboards query.

The Prometheus reader of the Python SDK and the translation of OTLP give the same names. That translation is the default
of Prometheus (``UnderscoreEscapingWithSuffixes``) and of the Collector's exporter. The two differ in the text of ``le``
(``60.0`` and ``60``) and in additional labels. Queries match ``le`` with a pattern, and never match whole label sets.
"""

from __future__ import annotations

from typing import Final

from otel_claude_stream._telemetry.spec import Attribute, Metric

_UNITS: Final = {"s": "_seconds", "{token}/s": "_per_second"}
"""Suffixes for units. A unit that is only an annotation in braces has no suffix."""

RESERVED_LABELS: Final = ("job", "instance", "le")
"""Labels set by Prometheus or by a histogram."""


def metric(spec: Metric, *, name: str = "") -> str:
    """Return the name of the series of a metric, for histograms without ``_bucket``, ``_sum`` or ``_count``.

    Args:
        spec: a metric of the schema.
        name: the name in version 0.1 of the GenAI conventions, if that differs.

    Raises:
        KeyError: if the translation of the unit is not known.
    """
    unit = "" if spec.unit.startswith("{") and spec.unit.endswith("}") else _UNITS[spec.unit]
    return (name or spec.name).replace(".", "_") + unit + ("_total" if spec.kind == "counter" else "")


def label(attribute: Attribute) -> str:
    """Return the label name of an attribute."""
    return attribute.name.replace(".", "_")


# --- Internal metrics of the Collector, as patterns: their suffixes (`_total`, units) depend on its version and on how
# --- its telemetry is configured. `{}` is replaced by the signal.
SIGNALS: Final = ("spans", "metric_points", "log_records")
_SUFFIX: Final = "(__[a-z_]+__)?(_total)?"

COLLECTOR_REFUSED: Final = f"otelcol_receiver_refused_{{}}{_SUFFIX}"
"""Refused by the memory limiter or by full queues. Senders may retry."""
COLLECTOR_FAILED: Final = f"otelcol_receiver_failed_{{}}{_SUFFIX}"
"""Failed permanently in a receiver."""
COLLECTOR_ACCEPTED: Final = f"otelcol_receiver_accepted_{{}}{_SUFFIX}"
COLLECTOR_ANSWERS: Final = "otelcol_http_server_request_duration(_seconds)?_count"
"""Requests that receivers answered over HTTP, by status. Only the overlay for the API's spans has it."""
UNAUTHORIZED: Final = 'http_response_status_code="401"'
COLLECTOR_SEND_FAILED: Final = f"otelcol_exporter_send_failed_{{}}{_SUFFIX}"
COLLECTOR_ENQUEUE_FAILED: Final = f"otelcol_exporter_enqueue_failed_{{}}{_SUFFIX}"
COLLECTOR_SENT: Final = f"otelcol_exporter_sent_{{}}{_SUFFIX}"
COLLECTOR_QUEUE_SIZE: Final = "otelcol_exporter_queue_size(__[a-z_]+__)?"
COLLECTOR_QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity(__[a-z_]+__)?"
COLLECTOR_MEMORY: Final = "otelcol_process_memory_rss(_bytes)?"
COLLECTOR_UPTIME: Final = "otelcol_process_uptime(_seconds)?(_total)?"
COLLECTOR_EARLY: Final = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early(__[a-z_]+__)?(_total)?"
COLLECTOR_SAMPLED: Final = "otelcol_processor_tail_sampling_count_traces_sampled(__[a-z_]+__)?(_total)?"

# --- The overlay for proxy logs in `collector/`. It counts each stream that a proxy logged as aborted.
PROXY_ABORTS: Final = "proxy_stream_aborts_total"
PROXY_PRODUCT: Final = "proxy_product"
PROXY_CAUSE: Final = "proxy_cause"
PROXY_PHASE: Final = "proxy_phase"
