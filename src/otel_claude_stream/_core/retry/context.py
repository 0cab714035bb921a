"""What is known when a stream has broken, and what is decided: the input and the output of `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from otel_claude_stream._core.stream.call import RequestCapabilities
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.vocabulary import AbortReason, Phase


class Action(str, Enum):
    """What is done (attribute ``claude.stream.retry.decision``)."""

    RETRY = "retry"
    RESUME = "resume"
    GIVE_UP = "give_up"


class Blocker(str, Enum):
    """What stood in the way (attribute ``claude.stream.retry.blocked_by``). Closed, in the order of the checks."""

    NONE = "none"
    KILL_SWITCH = "kill_switch"
    CALLER = "caller"
    """The caller closed, cancelled or dropped the stream."""
    NEVER = "never"
    """The reason is never retried, or the server said `x-should-retry: false`."""
    SDK = "sdk"
    """Before the response headers the SDK retries, and it has given up."""
    OUTPUT = "output"
    """The caller holds what a replay would duplicate, and it cannot be continued (or the mode says not to)."""
    TOOL = "tool"
    """A block of a tool began."""
    REQUEST = "request"
    """Threads, structured output, forced tools: an answer to these is not continued."""
    TOO_SHORT = "too_short"
    """Text was delivered, too little to find a seam."""
    RULE = "rule"
    """The rule of this reason says no; also a missing `retry-after` where the rule wants one."""
    ATTEMPTS = "attempts"
    RESUMES = "resumes"
    REQUESTS = "requests"
    DEADLINE = "deadline"
    RETRY_AFTER = "retry_after"
    """The server asks for a longer wait than is allowed."""
    BUDGET = "budget"


class DelaySource(str, Enum):
    """Where a delay came from (attribute ``claude.stream.retry.delay_source``)."""

    NONE = "none"
    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after"


@dataclass(frozen=True, slots=True)
class RetryContext:
    """A stream that has broken. Durations in seconds."""

    reason: AbortReason
    phase: Phase
    delivered: Delivered
    traits: RequestCapabilities = field(default_factory=RequestCapabilities)
    limit_match: str = "none"
    """The known middlebox limit that fits, such as ``duration:60s``."""
    certificate: bool = False
    """The TLS certificate was refused: no retry changes that."""
    retry_after: float | None = None
    should_retry: bool | None = None
    """What the server's `x-should-retry` said."""
    before_response: bool = False
    """No successful response came: the SDK's own retries are over."""
    attempt: int = 1
    """Attempts of the policy so far, the one that broke included."""
    resumes: int = 0
    """Continuations so far."""
    requests: int = 1
    """HTTP requests sent so far, the SDK's own retries included."""
    elapsed: float = 0.0
    """Since the start of the call."""
    previous_delay: float | None = None
    killed: bool = False
    """The kill switch is on for this stream."""
    caller_gone: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about it."""

    action: Action
    blocked_by: Blocker = Blocker.NONE
    """What stood in the way; for a resume, `NONE`."""
    delay: float = 0.0
    """Seconds to sleep before the next request."""
    delay_source: DelaySource = DelaySource.NONE
