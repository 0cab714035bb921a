"""Notes on panels about the source `sdk`. The Collector makes its metrics from the SDKs' own spans."""

from __future__ import annotations

import re
from typing import Final

from dashboards.generator.model import Panel
from dashboards.generator.names import metric

from otel_claude_stream._telemetry import schema

SDK_METRICS: Final = {
    schema.DURATION: "",
    schema.TIME_TO_FIRST_TOKEN: "",
    schema.ABORTS: "cannot distinguish all reasons and matches no idle limit",
    schema.ATTEMPT_ABORTS: "counts the last request of a stream only and matches no idle limit",
    schema.ABORT_ELAPSED: "leaves out streams with several requests",
    schema.REQUESTS: "has the status of the last request only",
    schema.RETRIES: "does not have their reasons",
}
"""The metrics of the overlay `sdk-spans.yaml`, with what is missing from each."""

_NAMED: Final = re.compile(r"\b(?:claude_stream|gen_ai_client)_[a-z_]+")
_AGES: Final = re.compile(r"count_over_time\(\w+")
"""Part of a query that only asks since when a process is scraped."""
_SPECS: Final = {
    metric(spec, name=name) + part: spec
    for spec in schema.METRICS
    for name in filter(None, (spec.name, spec.name_0_1))
    for part in ("_bucket", "_sum", "_count", "")
}


def note(panel: Panel) -> str:
    """Return what the source `sdk` cannot show in a panel; empty if it shows all of it."""
    named = (name for query in panel.queries for name in _NAMED.findall(_AGES.sub("", query.expr)))
    used = dict.fromkeys(_SPECS[name] for name in named if name in _SPECS)
    known = [SDK_METRICS[spec] for spec in used if spec in SDK_METRICS]
    if used and not known:
        return "The source `sdk` has no data here."
    gaps = ["has only a part of the data"] if len(known) < len(used) else []
    gaps += [gap for gap in known if gap]
    return f"The source `sdk` {', and '.join(gaps)}." if gaps else ""


def described(panel: Panel) -> str:
    """Return the description of a panel with the note about the source `sdk`."""
    return " ".join(filter(None, (panel.description, note(panel))))
