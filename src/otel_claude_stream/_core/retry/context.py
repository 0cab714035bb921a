"""The input and the output of `decide`: a stream that failed, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from otel_claude_stream._core.stream.call import RequestCapabilities
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.vocabulary import AbortReason, Phase


class Action(str, Enum):
    """The action of a decision (attribute ``claude.stream.retry.decision``)."""

    RETRY = "retry"
    FALLBACK = "fallback"
    """The request is sent to another model."""
    RESUME = "resume"
    GIVE_UP = "give_up"


class Blocker(str, Enum):
    """The check that objected (attribute ``claude.stream.retry.blocked_by``), in the order of the checks."""

    NONE = "none"
    KILL_SWITCH = "kill_switch"
    CALLER = "caller"
    """The caller closed, cancelled or dropped the stream."""
    NEVER = "never"
    """The reason is never retried, or the server sent `x-should-retry: false`."""
    SDK = "sdk"
    """Before the response headers the SDK retries, and it gave up."""
    MODEL = "model"
    """As `SDK`, and none of the fallback models takes the request."""
    OUTPUT = "output"
    """A retry would duplicate what was delivered, and a resume is impossible or not enabled by the mode."""
    TOOL = "tool"
    """A tool block began."""
    REQUEST = "request"
    """Answers with threads, structured output or forced tools are not resumed."""
    TOO_SHORT = "too_short"
    """Too little text was delivered to find a seam."""
    RULE = "rule"
    """The rule of this reason forbids it, or requires a `retry-after` that is missing."""
    ATTEMPTS = "attempts"
    RESUMES = "resumes"
    REQUESTS = "requests"
    DEADLINE = "deadline"
    RETRY_AFTER = "retry_after"
    """The server requests a longer wait than is allowed."""
    BUDGET = "budget"
    CONCURRENCY = "concurrency"
    """No permit became free in time."""


class DelaySource(str, Enum):
    """The source of a delay (attribute ``claude.stream.retry.delay_source``)."""

    NONE = "none"
    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after"


@dataclass(frozen=True, slots=True)
class RetryContext:
    """A stream that failed. Durations in seconds."""

    reason: AbortReason
    phase: Phase
    delivered: Delivered
    capabilities: RequestCapabilities = field(default_factory=RequestCapabilities)
    fallback: str | None = None
    """The fallback model that takes the request. Empty if none does, None if none may."""
    limit_match: str = "none"
    """The known limit that matches, such as ``duration:60s``."""
    certificate_rejected: bool = False
    """The TLS certificate was rejected, which no retry changes."""
    retry_after: float | None = None
    should_retry: bool | None = None
    """The server's `x-should-retry`, if it sent one."""
    before_response: bool = False
    """No successful response arrived, and the SDK has made its retries."""
    attempt: int = 1
    """Attempts of the policy so far, with the one that failed."""
    resumes: int = 0
    """Resumes so far."""
    requests: int = 1
    """HTTP requests so far, the SDK's retries included."""
    elapsed: float = 0.0
    """Since the start of the call."""
    previous_delay: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a stream that failed."""

    action: Action
    blocked_by: Blocker = Blocker.NONE
    """The check that objected, `NONE` for a retry or a resume."""
    delay: float = 0.0
    """Seconds to wait before the next request."""
    delay_source: DelaySource = DelaySource.NONE
    model: str = ""
    """The model of the next request, for a fallback."""
