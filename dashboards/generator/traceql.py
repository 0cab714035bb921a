"""Builders for the TraceQL queries of the dashboards, with names from the telemetry schema."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute


def field(attribute: Attribute) -> str:
    """Return the TraceQL name of a span attribute."""
    return f"span.{attribute.name}"


_SELECTED_STREAMS: Final = (
    'resource.service.name =~ "${service:regex}"',
    f'{field(a.REQUEST_MODEL)} =~ "${{model:regex}}"',
    f'{field(a.SERVER_ADDRESS)} =~ "${{server:regex}}"',
)
"""Conditions for the streams that the variables of the dashboard select."""


def spans_where(*conditions: str) -> str:
    """Select the spans of these streams that meet all conditions."""
    return f"{{ {' && '.join((*_SELECTED_STREAMS, *conditions))} }}"


def select(selection: str, *attributes: Attribute) -> str:
    """Show the selected spans with some attributes as columns."""
    return f"{selection} | select({', '.join(map(field, attributes))})"


def rate_by(selection: str, *by: Attribute) -> str:
    """Count the selected spans per second, by attributes."""
    return f"{selection} | rate() by ({', '.join(map(field, by))})"


FAILED: Final = spans_where(f'{field(a.OUTCOME)} = "{Outcome.FAILED.value}"')
RETRIED: Final = spans_where(f"{field(a.ATTEMPT_COUNT)} > 1")
STALLED: Final = spans_where(f'event:name = "{schema.STALL.name}"')
SLOW_TO_START: Final = spans_where(f"{field(a.TIME_TO_FIRST_TOKEN)} > 10")
BUFFERED: Final = spans_where(f"{field(a.READ_EVENTS)} > 8", f"{field(a.EVENT_COUNT)} > 16")
PARTIAL_ANSWER: Final = spans_where(
    f'{field(a.OUTCOME)} = "{Outcome.COMPLETED.value}"',
    f'{field(a.STOP_REASON)} =~ "max_tokens|refusal|model_context_window_exceeded"',
)
ENDED: Final = spans_where(f'{field(a.OUTCOME)} != "{Outcome.CLOSED.value}"')
ATTEMPTS_WITH_RETRY_AFTER: Final = (
    f'{{ resource.service.name =~ "${{service:regex}}" && name = "{schema.ATTEMPT_SPAN.name}"'
    f" && {field(a.RETRY_AFTER)} > 0 }}"
)
"""Attempt spans whose response had a `retry-after` header."""
