"""TraceQL in the few shapes that the dashboards use. Names of attributes, events and spans come from the schema."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.vocabulary import Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute


def field(attribute: Attribute) -> str:
    """An attribute of a span, as TraceQL writes it."""
    return f"span.{attribute.name}"


_CHOSEN: Final = (
    'resource.service.name =~ "${service:regex}"',
    f'{field(a.REQUEST_MODEL)} =~ "${{model:regex}}"',
    f'{field(a.SERVER_ADDRESS)} =~ "${{server:regex}}"',
)
"""Conditions: the streams that the variables choose."""


def where(*conditions: str) -> str:
    """Spans of chosen streams that fulfil all conditions."""
    return f"{{ {' && '.join((*_CHOSEN, *conditions))} }}"


def columns(selection: str, *attributes: Attribute) -> str:
    """The spans with some attributes as columns."""
    return f"{selection} | select({', '.join(map(field, attributes))})"


def counted(selection: str, *by: Attribute) -> str:
    """Spans per second, by attributes."""
    return f"{selection} | rate() by ({', '.join(map(field, by))})"


FAILED: Final = where(f'{field(a.OUTCOME)} = "{Outcome.FAILED.value}"')
RETRIED: Final = where(f"{field(a.ATTEMPT_COUNT)} > 1")
STALLED: Final = where(f'event:name = "{schema.STALL.name}"')
SLOW_TO_START: Final = where(f"{field(a.TIME_TO_FIRST_TOKEN)} > 10")
HELD_BACK: Final = where(f"{field(a.READ_EVENTS)} > 8", f"{field(a.EVENT_COUNT)} > 16")
CUT_SHORT: Final = where(
    f'{field(a.OUTCOME)} = "{Outcome.COMPLETED.value}"',
    f'{field(a.STOP_REASON)} =~ "max_tokens|refusal|model_context_window_exceeded"',
)
ENDED: Final = where(f'{field(a.OUTCOME)} != "{Outcome.CLOSED.value}"')
ATTEMPTS: Final = (
    f'{{ resource.service.name =~ "${{service:regex}}" && name = "{schema.ATTEMPT_SPAN.name}"'
    f" && {field(a.RETRY_AFTER)} > 0 }}"
)
"""HTTP attempts that were told when to come again."""
