"""The token usage of a message, read by attribute from the events of the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

from otel_claude_stream._core.stream import bounds

_MOST_ITERATIONS = 256
"""Entries of `usage.iterations` that are read. The last one shows whether a fallback model served."""


class Usage(NamedTuple):
    """Token counts of one event, or of a message so far; None where nothing was reported."""

    input_tokens: int | None = None
    """Input tokens that were neither read from nor written to the cache."""
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    compaction: Usage | None = None
    """Tokens of compactions, which the API does not include in the counts above."""
    declined: Usage | None = None
    """Tokens of models that declined before a fallback model served."""
    fallback: bool | None = None
    """Whether a fallback model served."""
    model: str | None = None
    """The fallback model that served."""

    def updated(self, later: Usage) -> Usage:
        """Return this usage with what a later event reported."""
        return self._replace(**{name: new for name, new in later._asdict().items() if new is not None})

    def plus(self, other: Usage | None) -> Usage:
        """Return the sum of the counts of two usages, without reasoning and iterations."""
        if other is None:
            return self
        return Usage(
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.output_tokens, other.output_tokens),
            _sum(self.cache_read, other.cache_read),
            _sum(self.cache_write, other.cache_write),
        )

    @property
    def billed(self) -> Usage:
        """The counts including compactions."""
        return self.plus(self.compaction)

    @property
    def prompt(self) -> int | None:
        """Input tokens including cache reads and writes, as the conventions count them; None if unknown."""
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cache_read or 0) + (self.cache_write or 0)


NO_USAGE = Usage()


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def usage_of(usage: object, *, final: bool) -> Usage:
    """Return the usage in an event of any shape. Output tokens and iterations are read only if they are `final`.

    `message_start` has a placeholder of one to four output tokens. Published, it would make an answer that broke look
    almost free (litellm#30787).
    """
    counts = _counts(usage)
    if not final:
        return counts._replace(output_tokens=None)
    counts = counts._replace(reasoning=_count(_field(usage, "output_tokens_details"), "thinking_tokens"))
    entries = _field(usage, "iterations")
    return _with_iterations(counts, entries[-_MOST_ITERATIONS:]) if isinstance(entries, list | tuple) else counts


def fallback_model(block: object) -> str | None:
    """Return the model that a content block of the type `fallback` hands over to."""
    return bounds.text(_field(_field(block, "to"), "model"))


def _with_iterations(counts: Usage, entries: Sequence[object]) -> Usage:
    served = [entry for entry in entries if _field(entry, "type") == "fallback_message"]
    model = bounds.text(_field(served[-1], "model")) if served else None
    return counts._replace(
        compaction=_total(entry for entry in entries if _field(entry, "type") == "compaction"),
        declined=_total(
            entry
            for entry in entries
            if model and _field(entry, "type") == "message" and _field(entry, "model") not in (None, model)
        ),
        fallback=bool(served),
        model=model,
    )


def _total(entries: Iterable[object]) -> Usage | None:
    found = [_counts(entry) for entry in entries]
    return reduce(Usage.plus, found) if found else None


def _counts(usage: object) -> Usage:
    return Usage(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "cache_read_input_tokens"),
        _count(usage, "cache_creation_input_tokens"),
    )


def _count(usage: object, name: str) -> int | None:
    return bounds.count(_field(usage, name))


def _field(holder: object, name: str) -> object:
    # Older models of the SDK hold newer fields as a plain dict.
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
