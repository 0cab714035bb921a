"""How the names of the schema look in Prometheus, and the names of others that the dashboards read.

Both ways into Prometheus agree on these: the Python SDK's Prometheus reader and the translation of OTLP (Prometheus'
default ``UnderscoreEscapingWithSuffixes``, and the Collector's exporter). They differ in the text of ``le`` (``60.0``
and ``60``) and in the labels they add, so no query compares ``le`` without a pattern or matches whole label sets.
"""

from __future__ import annotations

from typing import Final

from otel_claude_stream._telemetry.spec import Attribute, Metric

_UNITS: Final = {"s": "_seconds", "{token}/s": "_per_second"}
"""Suffixes of units. What stands in braces alone is an annotation and gives none."""

RESERVED_LABELS: Final = ("job", "instance", "le")
"""Labels that Prometheus itself sets, or a histogram has."""


def metric(spec: Metric, *, name: str = "") -> str:
    """The name of a metric's series (of a histogram: without ``_bucket``, ``_sum`` and ``_count``).

    Args:
        spec: a metric of the schema.
        name: its other name, where the newest conventions have one.

    Raises:
        KeyError: for a unit that none of the two ways is known to translate.
    """
    unit = "" if spec.unit.startswith("{") and spec.unit.endswith("}") else _UNITS[spec.unit]
    return (name or spec.name).replace(".", "_") + unit + ("_total" if spec.kind == "counter" else "")


def label(attribute: Attribute) -> str:
    """The name of an attribute as a label."""
    return attribute.name.replace(".", "_")


# --- The Collector's own metrics. Their suffixes differ by version and by how its telemetry is configured (`_total`,
# --- and for some the unit), hence patterns. `{}` stands for the signal.
SIGNALS: Final = ("spans", "metric_points", "log_records")
_SUFFIX: Final = "(__[a-z_]+__)?(_total)?"

COLLECTOR_REFUSED: Final = f"otelcol_receiver_refused_{{}}{_SUFFIX}"
"""By the memory limiter, or by full queues: senders may try again."""
COLLECTOR_FAILED: Final = f"otelcol_receiver_failed_{{}}{_SUFFIX}"
"""For good."""
COLLECTOR_ACCEPTED: Final = f"otelcol_receiver_accepted_{{}}{_SUFFIX}"
COLLECTOR_SEND_FAILED: Final = f"otelcol_exporter_send_failed_{{}}{_SUFFIX}"
COLLECTOR_ENQUEUE_FAILED: Final = f"otelcol_exporter_enqueue_failed_{{}}{_SUFFIX}"
COLLECTOR_SENT: Final = f"otelcol_exporter_sent_{{}}{_SUFFIX}"
COLLECTOR_QUEUE_SIZE: Final = "otelcol_exporter_queue_size(__[a-z_]+__)?"
COLLECTOR_QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity(__[a-z_]+__)?"
COLLECTOR_MEMORY: Final = "otelcol_process_memory_rss(_bytes)?"
COLLECTOR_UPTIME: Final = "otelcol_process_uptime(_seconds)?(_total)?"
COLLECTOR_EARLY: Final = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early(__[a-z_]+__)?(_total)?"
COLLECTOR_SAMPLED: Final = "otelcol_processor_tail_sampling_count_traces_sampled(__[a-z_]+__)?(_total)?"

# --- The overlay that reads proxies' logs (`collector/`): one count for each stream that a proxy says ended early.
PROXY_ABORTS: Final = "proxy_stream_aborts_total"
PROXY_PRODUCT: Final = "proxy_product"
PROXY_CAUSE: Final = "proxy_cause"
PROXY_PHASE: Final = "proxy_phase"
