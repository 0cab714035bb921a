"""What the contract names and the schema does not declare yet. Goes away with it."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.spec import Attribute, Metric

BLOCKED_BY: Final = Attribute("claude.stream.retry.blocked_by", "string", "What stood in the way of a retry.")
DRY_RUN: Final = Attribute("claude.stream.retry.dry_run", "boolean", "Nothing was done.")
HOW: Final = Attribute("claude.stream.recovery.how", "string", "How.", ("retry", "resume"))
RESULT: Final = Attribute("claude.stream.recovery.result", "string", "What became of it.")
RECOVERIES: Final = Metric(
    "claude.stream.recoveries",
    "counter",
    "{stream}",
    "Streams that were retried or continued.",
    (a.REQUEST_MODEL, a.SERVER_ADDRESS, HOW, RESULT),
)
RETRY_BUDGET: Final = Metric(
    "claude.stream.retry.budget",
    "observable_gauge",
    "{retry}",
    "Retries left.",
    (a.REQUEST_MODEL, a.SERVER_ADDRESS),
)
