"""Everything that is told of a stream at its end, as plain frozen data: what the emitter writes down."""

from __future__ import annotations

from dataclasses import dataclass

from otel_claude_stream._core.diagnosis.classify import Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.stream.call import Attempt, Call, Reply
from otel_claude_stream._core.stream.journal import Entry
from otel_claude_stream._core.stream.message_state import MessageState


@dataclass(frozen=True, slots=True)
class Summary:
    """One stream at its end. Times in nanoseconds of the monotonic clock, durations in seconds."""

    call: Call
    facts: Facts
    verdict: Verdict
    machine: MessageState
    entries: list[Entry]
    attempts: tuple[Attempt, ...]
    reply: Reply | None
    ended: int
    read: str
    """How the body was read: events, bytes, none."""
    reads: int
    longest_silence: float
    caller_time: float
    exception: str | None
    """Class of the exception that the caller got."""
    time_to_headers: float | None
    time_to_first_event: float | None
    time_to_first_token: float | None
    writing_time: float | None
    """From the first token to the last event of the message, the caller's time left out."""
    recovered: str | None = None
    """What the policy did about a failure: `retry`, `resume` (maybe both), None if nothing."""
    seam: str | None = None
    """How the last continuation fitted; None if there was none."""
    resumed: bool = False
    """The caller holds text of a continuation."""

    @property
    def usage_complete(self) -> bool:
        """Whether the usage is that of the whole stream."""
        return self.machine.output_tokens is not None

    @property
    def total_input_tokens(self) -> int | None:
        """Input tokens with cache reads and writes, as the conventions count them. None if nothing was said."""
        machine = self.machine
        if machine.input_tokens is None:
            return None
        return machine.input_tokens + (machine.cache_read or 0) + (machine.cache_creation or 0)

    @property
    def error_type(self) -> str | None:
        """The provider's error type, else the abort reason; None unless the stream failed."""
        if self.verdict.outcome.value != "failed" or self.verdict.reason is None:
            return None
        return self.facts.error_type or self.verdict.reason.value
