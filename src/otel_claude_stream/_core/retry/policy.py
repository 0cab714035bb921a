"""The retry policy as plain frozen data: what a file, the environment or code may say. Durations in seconds.

The defaults are those of an application that says nothing. Their reasons stand beside them; the sources are gRPC A6
(attempts include the first, a hard cap of five), the retry budgets of Finagle and Linkerd (ratio and floor), and AWS's
full jitter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from otel_claude_stream._core.vocabulary import AbortReason


class Mode(str, Enum):
    """What may be done about a stream that broke."""

    OBSERVE = "observe"
    """Nothing. What would be done is recorded, as a dry run."""
    RETRY = "retry"
    """Again from the start, while the caller holds nothing that a replay would duplicate."""
    RESUME = "resume"
    """As `RETRY`, and a text that broke is continued by a further request."""


class SdkRetries(str, Enum):
    """Who retries before the response headers."""

    KEEP = "keep"
    """The SDK, as its client says; the policy's caps hold for it too."""
    REPLACE = "replace"
    """The policy: the SDK's own loop is switched off for the call."""


class Jitter(str, Enum):
    """How the delays of a back-off are spread, so that clients that failed together do not return together."""

    FULL = "full_jitter"
    """Anything from 0 to the rising bound."""
    EQUAL = "equal_jitter"
    """Half of the rising bound, and anything up to it."""
    DECORRELATED = "decorrelated_jitter"
    """Anything from the base to three times the delay before, at most the cap."""
    NONE = "none"
    """The rising bound itself."""


class OnExceed(str, Enum):
    """What is done if the server asks for a longer wait than is allowed."""

    FAIL = "fail"
    CAP = "cap"


class Scope(str, Enum):
    """Which streams share a retry budget."""

    HOST_MODEL = "host_model"
    HOST = "host"
    PROCESS = "process"


class Strategy(str, Enum):
    """How a text is continued."""

    AUTO = "auto"
    """`PREFILL` where the model accepts it, else `USER_CONTINUE`."""
    PREFILL = "prefill"
    """The partial answer is the start of the assistant's turn."""
    USER_CONTINUE = "user_continue"
    """The partial answer is a turn of the assistant's, and one of the user's asks to go on."""


class OnSeamMismatch(str, Enum):
    """What is done if the continuation does not fit the partial answer."""

    FAIL = "fail"
    """The original error is raised."""
    NEWLINE = "newline"
    """The continuation follows after a line break."""
    APPEND = "append"
    """The continuation follows as it is."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """How much one call may cost, over all its attempts."""

    max_attempts: int = 3
    """Attempts of the policy, the first included: 1 to 5."""
    max_resumes: int = 1
    """How many of those may be continuations: 0 to 3."""
    max_requests: int = 6
    """HTTP requests sent in all, the SDK's own retries included."""
    deadline: float | None = 600.0
    """From the start of the call; no attempt begins after it, the sleep before it counted. None for no deadline."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before a retry."""

    type: Jitter = Jitter.FULL
    base: float = 0.5
    cap: float = 8.0
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """What is made of the server's `retry-after`."""

    honour: bool = True
    max: float = 60.0
    on_exceed: OnExceed = OnExceed.FAIL


@dataclass(frozen=True, slots=True)
class Budget:
    """How many retries a process may make: a share of its calls, and a floor, so that little traffic may retry too."""

    scope: Scope = Scope.HOST_MODEL
    ratio: float = 0.2
    """Retries allowed for each first attempt of the window."""
    min_per_window: int = 6
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Watchdog:
    """When a stream that stalls is given up. All None: it is left alone."""

    first_event: float | None = None
    """From the response headers to the first event."""
    silence: float | None = None
    """Without a byte; pings and comments are bytes."""
    no_progress: float | None = None
    """Without an event of the message, though pings may come."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for some reasons only. None: what holds for the others."""

    reasons: frozenset[AbortReason]
    retry: bool | None = None
    """Whether the reason is retried from the start at all."""
    resume: bool | None = None
    """Whether a text that it broke is continued."""
    max_attempts: int | None = None
    backoff: Backoff | None = None
    require_retry_after: bool | None = None
    """Retried only if the server says when."""


@dataclass(frozen=True, slots=True)
class Resume:
    """How a text is continued, and how much of it has to be there."""

    strategy: Strategy = Strategy.AUTO
    prompt: str | None = None
    """What the user's turn says; `{anchor}` stands for the end of the partial answer. None for the built-in one."""
    anchor_chars: int = 48
    """Characters that the model is asked to repeat, so that the seam can be found."""
    min_partial_chars: int = 64
    """A shorter text is not continued: its anchor would be found anywhere."""
    min_overlap: int = 8
    """Characters that must agree where the anchor was not repeated as a whole."""
    on_seam_mismatch: OnSeamMismatch = OnSeamMismatch.FAIL


@dataclass(frozen=True, slots=True)
class Commit:
    """What counts as output: once the caller holds some, a replay would duplicate it."""

    thinking_is_output: bool = True
    """False: a caller that shows no thinking. A replay then drops the thinking of the later attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What may be done about streams that break. The default observes."""

    mode: Mode = Mode.OBSERVE
    sdk_retries: SdkRetries = SdkRetries.KEEP
    limits: RetryLimits = field(default_factory=RetryLimits)
    backoff: Backoff = field(default_factory=Backoff)
    retry_after: RetryAfter = field(default_factory=RetryAfter)
    budget: Budget = field(default_factory=Budget)
    watchdog: Watchdog = field(default_factory=Watchdog)
    rules: tuple[Rule, ...] = ()
    """The first that names the reason wins; the built-in ones come after these."""
    resume: Resume = field(default_factory=Resume)
    commit: Commit = field(default_factory=Commit)
    models: tuple[tuple[str, RetryPolicy], ...] = ()
    """Whole policies for some models, by a pattern such as ``claude-haiku-*``. The most specific pattern wins."""
    raise_on_truncation: bool = False
    """Raise for a body that ends without `message_stop`, where the SDK raises nothing. Not in `observe`."""
    kill_switch: bool = False
    """True: as `observe`, whatever the mode says. Read anew for each stream."""

    def for_model(self, model: str) -> RetryPolicy:
        """The policy that holds for a model."""
        found = max(
            (pattern for pattern, _ in self.models if fnmatchcase(model, pattern)),
            key=lambda pattern: len(pattern.replace("*", "")),
            default=None,
        )
        return next((policy for pattern, policy in self.models if pattern == found), self)
