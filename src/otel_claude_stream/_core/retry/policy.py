"""The retry policy as plain frozen data, which files, the environment and code can set. Durations in seconds.

The defaults hold for an application that sets nothing. Their sources:

- gRPC A6: attempts include the first, with a hard cap of five
- the retry budgets of Finagle and Linkerd: ratio and floor
- AWS: full jitter
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from fnmatch import fnmatchcase
from typing import Literal, TypeVar

from otel_claude_stream._core.vocabulary import AbortReason

T = TypeVar("T")


class Mode(str, Enum):
    """The actions that the policy may take on a stream that failed."""

    OBSERVE = "observe"
    """Only record, as a dry run, what it would do."""
    RETRY = "retry"
    """Retry from the start, while nothing was delivered that a retry would duplicate."""
    RESUME = "resume"
    """As `RETRY`, and also resume a text that broke off."""


class SdkRetries(str, Enum):
    """The layer that retries before the response headers."""

    KEEP = "keep"
    """The SDK, as its client is configured. The caps of the policy apply to it as well."""
    REPLACE = "replace"
    """The policy. The SDK's retry loop is switched off for the call."""


class Jitter(str, Enum):
    """How the delays of a backoff are spread, so that clients that failed together do not retry together."""

    FULL = "full_jitter"
    """Between 0 and the exponential bound."""
    EQUAL = "equal_jitter"
    """Between half of the exponential bound and the bound."""
    DECORRELATED = "decorrelated_jitter"
    """Between the base and three times the previous delay, at most the cap."""
    NONE = "none"
    """The exponential bound itself."""


class OnExceed(str, Enum):
    """The reaction if the server requests a longer wait than is allowed."""

    FAIL = "fail"
    CAP = "cap"


class Scope(str, Enum):
    """The streams that share a retry budget, or a limit on open requests."""

    HOST_MODEL = "host_model"
    HOST = "host"
    MODEL = "model"
    LABEL = "label"
    """The labels of the caller, from `stream_labels()` or from baggage."""
    HOST_MODEL_LABEL = "host_model_label"
    PROCESS = "process"


class Strategy(str, Enum):
    """How a text is resumed."""

    AUTO = "auto"
    """`PREFILL` if the model accepts it, else `USER_CONTINUE`."""
    PREFILL = "prefill"
    """The partial answer is the beginning of the assistant's turn."""
    USER_CONTINUE = "user_continue"
    """The partial answer is a turn of the assistant, and a turn of the user asks for the rest."""


class OnSeamMismatch(str, Enum):
    """The reaction if a resumed text does not join the partial answer."""

    FAIL = "fail"
    """Raise the original error."""
    NEWLINE = "newline"
    """Append the resumed text after a line break."""
    APPEND = "append"
    """Append the resumed text unchanged."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """The limits of one call, over all its attempts."""

    max_attempts: int = 3
    """Attempts of the policy, the first included, from 1 to 5."""
    max_resumes: int = 1
    """How many of those may be resumes, from 0 to 3."""
    max_requests: int = 6
    """HTTP requests in total, the SDK's retries included."""
    deadline: float | None = 600.0
    """From the start of the call. No attempt begins later, including the delay before it. None for no deadline."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before a retry."""

    type: Jitter = Jitter.FULL
    base: float = 0.5
    cap: float = 8.0
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """How the server's `retry-after` is used."""

    honour: bool = True
    max: float = 60.0
    on_exceed: OnExceed = OnExceed.FAIL


@dataclass(frozen=True, slots=True)
class Budget:
    """The retries that a process may make: a share of its calls, and a floor for low traffic."""

    scope: Scope = Scope.HOST_MODEL
    ratio: float = 0.2
    """Retries allowed for each first attempt in the window."""
    min_per_window: int = 6
    window: float = 60.0


AUTO = "auto"
"""The value of `Concurrency.max` that adapts the limit to the API."""
MAX_CONCURRENCY = 10_000
"""The highest limit on open requests, and the ceiling of an adaptive one."""


@dataclass(frozen=True, slots=True)
class Concurrency:
    """The requests of a process that may be open at once. Further ones wait."""

    max: int | Literal["auto"] | None = None
    """A number from 1, or ``auto``: fewer after rejections, more while requests are accepted. None for no limit."""
    queue: float = 10.0
    """The longest wait for a permit. A call that gets none raises `anthropic.APITimeoutError`."""
    scope: Scope = Scope.HOST_MODEL


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of the watchdog while a block of one type is open, or in one phase. None takes the general value."""

    first_content: float | None = None
    silence: float | None = None
    no_progress: float | None = None
    lifetime: float | None = None


_GENERAL = Clocks()


@dataclass(frozen=True, slots=True)
class Watchdog:
    """The times after which a response is aborted. None for each disables the watchdog.

    All but `lifetime` count only the time for which reads block. A value for the type of the open block replaces the
    one for the phase, and that one the general value.
    """

    first_event: float | None = None
    """From the response headers to the first event. Pings are events."""
    first_content: float | None = None
    """From the response headers to the first content. Pings and blocks that begin empty are no content."""
    silence: float | None = None
    """Without a byte. Pings and comments are bytes."""
    no_progress: float | None = None
    """Without an event of the message, even if pings arrive."""
    lifetime: float | None = None
    """From the response headers to the end, whatever arrives. The time of the caller counts as well."""
    awaiting_first_event: Clocks = _GENERAL
    awaiting_first_token: Clocks = _GENERAL
    streaming: Clocks = _GENERAL
    finishing: Clocks = _GENERAL
    text: Clocks = _GENERAL
    thinking: Clocks = _GENERAL
    tool_use: Clocks = _GENERAL
    compaction: Clocks = _GENERAL
    other: Clocks = _GENERAL
    """Blocks of any other type, such as the result of a server tool."""

    @property
    def is_set(self) -> bool:
        """Whether any clock may expire."""
        return self != Watchdog()


PLACES = tuple(field.name for field in fields(Watchdog) if field.default is _GENERAL)
"""The phases, and the types of blocks, for which the clocks may have values of their own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Settings for some abort reasons only. None keeps the built-in value."""

    reasons: frozenset[AbortReason]
    retry: bool | None = None
    """Whether the reason is retried from the start."""
    resume: bool | None = None
    """Whether a text that broke off for this reason is resumed."""
    max_attempts: int | None = None
    backoff: Backoff | None = None
    require_retry_after: bool | None = None
    """Retry only if the server sends `retry-after`."""
    fallback: bool | None = None
    """Whether a fallback model may take over for the reason."""


@dataclass(frozen=True, slots=True)
class Resume:
    """How a text is resumed, and how much of it must have been delivered."""

    strategy: Strategy = Strategy.AUTO
    prompt: str | None = None
    """Text of the user's turn. `{anchor}` stands for the end of the partial answer. None for the built-in text."""
    anchor_chars: int = 48
    """Characters that the model is asked to repeat, to find the seam."""
    min_partial_chars: int = 64
    """A shorter text is not resumed, since its anchor would match anywhere."""
    min_overlap: int = 8
    """Characters that must match if the anchor is not repeated completely."""
    on_seam_mismatch: OnSeamMismatch = OnSeamMismatch.FAIL


@dataclass(frozen=True, slots=True)
class Commit:
    """The content that counts as output. Once output is delivered, a retry would duplicate it."""

    thinking_is_output: bool = True
    """False for a caller that does not show thinking. A retry then drops the thinking of the later attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The retry policy of a call. The default only observes."""

    mode: Mode = Mode.OBSERVE
    sdk_retries: SdkRetries = SdkRetries.KEEP
    limits: RetryLimits = field(default_factory=RetryLimits)
    backoff: Backoff = field(default_factory=Backoff)
    retry_after: RetryAfter = field(default_factory=RetryAfter)
    budget: Budget = field(default_factory=Budget)
    concurrency: Concurrency = field(default_factory=Concurrency)
    watchdog: Watchdog = field(default_factory=Watchdog)
    rules: tuple[Rule, ...] = ()
    """The first rule that names the reason wins. The built-in rules come after these."""
    fallback: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Other models, in the order of preference, by a pattern of models. The most specific pattern wins."""
    resume: Resume = field(default_factory=Resume)
    commit: Commit = field(default_factory=Commit)
    models: tuple[tuple[str, RetryPolicy], ...] = ()
    """Complete policies by a pattern of models such as ``claude-haiku-*``. The most specific pattern wins."""
    raise_on_truncation: bool = False
    """Raise for a body that ends without `message_stop`, where the SDK does not. Not in `observe`."""
    kill_switch: bool = False
    """True acts as `observe` in every mode. Read again for each stream."""
    kill_switch_file: str | None = None
    """Path of a file. While it exists, the policy acts as `observe`. Checked for each stream of the process."""

    def for_model(self, model: str) -> RetryPolicy:
        """Return the policy for a model."""
        return _most_specific(self.models, model) or self

    def fallbacks_for(self, model: str) -> tuple[str, ...]:
        """Return the models that may take over from a model."""
        return (_most_specific(self.fallback, model) or ()) if self.fallback else ()


def _most_specific(values: tuple[tuple[str, T], ...], model: str) -> T | None:
    """Return the value of the matching pattern with the most characters besides its asterisks; None without one."""
    matching = [pair for pair in values if fnmatchcase(model, pair[0])]
    return max(matching, key=lambda pair: len(pair[0].replace("*", "")))[1] if matching else None
