"""The attempts of a call, and its summary at its end, as plain frozen data for the telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.stream.hot_path import ReadMode
from otel_claude_stream._core.stream.journal import Entry
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request of the call. Times in nanoseconds of the monotonic clock."""

    number: int
    started: int
    ended: int
    layer: str
    reply: Reply | None = None
    diagnosis: Diagnosis | None = None
    """Why it failed; None for one that did not."""
    delay: float | None = None
    """Seconds of back-off that followed; None if no attempt followed."""
    characters: int = 0
    """Characters that it wrote."""
    usage: Usage = NO_USAGE
    """The usage that it reported."""
    model: str = ""
    """The model of its request, if it is not that of the call."""


class RetryOutcome(NamedTuple):
    """The retries of a call."""

    action: str | None = None
    """The last in the order `retry`, `fallback`, `resume` of the actions that were taken; None for nothing."""
    seam: str | None = None
    """How the last continuation met the text before it; None if there was none."""
    resumed: bool = False
    """The caller has text of a continuation."""
    model: str | None = None
    """The fallback model that a request was sent to; None without one."""
    served: bool = False
    """It answered."""


NO_RETRIES = RetryOutcome()


class QueueOutcome(NamedTuple):
    """The waits of a call for permits."""

    limit: int
    """The number of requests that might be open."""
    wait: float | None
    """All waits, in seconds; None if nothing may wait."""
    would_wait: bool = False
    """In a dry run, no permit was free."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One call at its end. Times are nanoseconds of the monotonic clock, durations are seconds."""

    call: Call
    diagnosis: Diagnosis
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
    queue: QueueOutcome | None = None
    """None if the policy limits no open requests."""

    @property
    def fallback_served(self) -> bool:
        """Whether another model than that of the call wrote the answer."""
        return self.message.fallback or (self.retries.served and self.message.ledger.started)

    @property
    def usage_complete(self) -> bool:
        """Whether the usage is that of the whole stream."""
        return self.message.usage.output_tokens is not None
