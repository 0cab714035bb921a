"""The summary of a call at its end, as plain frozen data for the telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from otel_claude_stream._core.diagnosis.classify import Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.stream.call import Attempt, Call, Reply
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.stream.journal import Entry
from otel_claude_stream._core.stream.message_state import MessageState


class RetryOutcome(NamedTuple):
    """The retries of a call."""

    action: str | None = None
    """`retry`, or `resume` (maybe both); None for nothing."""
    seam: str | None = None
    """How the last continuation met the text before it; None if there was none."""
    resumed: bool = False
    """The caller has text of a continuation."""


NO_RETRIES = RetryOutcome()


@dataclass(frozen=True, slots=True)
class Summary:
    """One call at its end. Times are nanoseconds of the monotonic clock, durations are seconds."""

    call: Call
    facts: Facts
    verdict: Verdict
    message: MessageState
    entries: list[Entry]
    attempts: tuple[Attempt, ...]
    reply: Reply | None
    ended: int
    read_mode: ReadMode
    reads: int
    longest_silence: float
    caller_time: float
    exception: str | None
    """Class of the exception that the caller got."""
    time_to_headers: float | None
    time_to_first_event: float | None
    time_to_first_token: float | None
    writing_time: float | None
    """From the first token to the last event of the message, without the caller's time."""
    retries: RetryOutcome = NO_RETRIES

    @property
    def usage_complete(self) -> bool:
        """Whether the usage is that of the whole stream."""
        return self.message.output_tokens is not None

    @property
    def total_input_tokens(self) -> int | None:
        """Input tokens including cache reads and writes, as the conventions count them; None if unknown."""
        message = self.message
        if message.input_tokens is None:
            return None
        return message.input_tokens + (message.cache_read or 0) + (message.cache_creation or 0)

    @property
    def error_type(self) -> str | None:
        """The provider's error type, else the abort reason; None unless the stream failed."""
        if self.verdict.outcome.value != "failed" or self.verdict.reason is None:
            return None
        return self.facts.error_type or self.verdict.reason.value
