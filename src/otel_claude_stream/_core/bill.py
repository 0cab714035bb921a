"""The tokens that a call was billed for, over all its requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from otel_claude_stream._core.stream.usage import Usage
from otel_claude_stream._core.summary import Summary
from otel_claude_stream._core.vocabulary import Outcome

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text."""


class Item(NamedTuple):
    """Tokens of one type that one request was billed for."""

    type: str
    """`input`, `cache_read`, `cache_write` or `output`."""
    tokens: int
    source: str = "reported"
    """`estimated` if the request broke before the API reported its output."""
    use: str = "delivered"
    """`wasted` if the content was not delivered, or the call failed."""
    extra: bool = True
    """The usage of the call does not include them."""
    model: str = ""
    """The model of the request, if it is not that of the call."""


def has_extra_tokens(summary: Summary) -> bool:
    """Whether a call may have been billed for more than its usage."""
    usage = summary.message.usage
    return len(summary.attempts) != 1 or usage.output_tokens is None or usage.declined is not None


def bill_of(summary: Summary) -> tuple[Item, ...]:
    """Return what a call was billed for. A request that broke before `message_start` reported nothing."""
    failed = summary.diagnosis.verdict.outcome is Outcome.FAILED
    completed = summary.diagnosis.verdict.outcome is Outcome.COMPLETED
    found: list[Item] = []
    for attempt in summary.attempts:
        last = attempt is summary.attempts[-1]
        delivered = not failed and (attempt.characters > 0 or (last and completed))
        use = "delivered" if delivered else "wasted"
        known = last and summary.usage_complete
        model = attempt.model
        found += (Item(*one, use=use, extra=not known, model=model) for one in _reported(attempt.usage.billed))
        estimate = round(attempt.characters / CHARACTERS_PER_TOKEN)
        if attempt.usage.output_tokens is None and estimate:
            found.append(Item("output", estimate, "estimated", use, model=model))
        if attempt.usage.declined is not None:
            found += (Item(*one, use="wasted", model=model) for one in _reported(attempt.usage.declined))
    return tuple(found)


def _reported(usage: Usage) -> Iterator[tuple[str, int]]:
    counts = (
        ("input", usage.input_tokens),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("output", usage.output_tokens),
    )
    return ((kind, tokens) for kind, tokens in counts if tokens)
