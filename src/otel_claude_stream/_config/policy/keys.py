"""The table of policy keys: name, type, meaning, and the reason for the default.

Environment variables, validation, the JSON Schema and the documentation are generated from it. `RetryPolicy` holds the
defaults.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Final

from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._config.value_types import (
    ValueType,
    boolean,
    choice,
    choice_of,
    duration,
    integer,
    integer_or_word,
    name,
    number,
    text,
)
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.policy import (
    AUTO,
    MAX_CONCURRENCY,
    PLACES,
    Jitter,
    Mode,
    OnExceed,
    OnSeamMismatch,
    RetryPolicy,
    Scope,
    SdkRetries,
    Strategy,
)
from otel_claude_stream._core.vocabulary import AbortReason, Phase

Path = tuple[str | int, ...]
"""The keys and list indices that lead to a value in a file."""

DAY: Final = 86400.0
"""The upper bound of every duration in the table."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that holds a single value."""

    name: str
    """Its path, joined by dots."""
    type: ValueType
    doc: str
    why: str = ""
    """The reason for the default."""

    @property
    def path(self) -> tuple[str, ...]:
        """Its path."""
        return tuple(self.name.split("."))

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def default(self) -> object:
        """Its value in `RetryPolicy()`; None for a key that is not part of it."""
        return self.value_in(RetryPolicy()) if self in (*KEYS, *PROCESS_KEYS) else None

    @property
    def default_text(self) -> object:
        """Its default as a file would set it."""
        return self.in_file(self.default)

    def value_in(self, policy: RetryPolicy) -> object:
        """Return its value in a policy."""
        return attrgetter(self.name)(policy)

    def in_file(self, value: object) -> object:
        """Return one of its values as a file would set it. A value of the wrong type stays."""
        if self.type.is_duration and isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return format_duration(float(value))
            except (ArithmeticError, ValueError):  # not a finite number
                return str(value)
        return value.value if isinstance(value, Enum) else value


_POSITIVE: Final = 0.001
_CLOCK: Final = duration(_POSITIVE, DAY, optional=True)

HEAD: Final = (
    Key("version", integer(1, 1), "The version of this schema."),
    Key(
        "preset",
        choice(*PRESETS),
        "A set of values to start from. Any other value overrides those of the preset, wherever it is set.",
    ),
)
"""Keys of a file that are not part of the policy itself."""

KILL_SWITCH: Final = Key(
    "kill_switch",
    boolean(),
    "`true`: only observe, whatever `mode` is. The environment variable overrides it.",
)
KILL_SWITCH_FILE: Final = Key(
    "kill_switch_file",
    text(1000),
    "Path of a file. While it exists, streams that begin are only observed, also in a running process. Created or "
    "removed, it takes effect within 100 ms. Use an absolute path.",
)
PROCESS_KEYS: Final = (KILL_SWITCH, KILL_SWITCH_FILE)
"""Keys of the whole process, which models cannot override."""

_PHASES: Final = frozenset(phase.value for phase in Phase)
_PLACES: Final = {x: f"in the phase `{x}`" if x in _PHASES else f"in blocks of the type `{x}`" for x in PLACES}

KEYS: Final = (
    Key(
        "mode",
        choice_of(Mode),
        "The action on a stream that broke. `observe`: none; what would be done is recorded as a dry run. "
        "`retry`: the request is sent again from the start, as long as the caller received nothing that a retry would "
        "duplicate. `resume`: as `retry`, and a text that broke is continued by a further request.",
        "Installing an instrumentation changes nothing.",
    ),
    Key(
        "sdk_retries",
        choice_of(SdkRetries),
        "Which layer retries before the response headers. `keep`: the SDK, by the `max_retries` of the client. "
        "`replace`: this policy; the SDK's loop is off for the call.",
        "The SDK does it well, and its users have configured it.",
    ),
    Key(
        "limits.max_attempts",
        integer(1, 5),
        "Maximum number of attempts of the policy for one call, including the first.",
        "gRPC (A6) counts like this and allows 5; the SDK's default is 3.",
    ),
    Key(
        "limits.max_resumes",
        integer(0, 3),
        "Maximum number of attempts that resume a text. Must be less than `max_attempts`.",
        "Each is one more seam in the text.",
    ),
    Key(
        "limits.max_requests",
        integer(1, 50),
        "Maximum number of HTTP requests for one call, including the SDK's retries.",
        "Twice the attempts: attempts of the SDK and of the policy add up, and do not multiply.",
    ),
    Key(
        "limits.deadline",
        duration(_POSITIVE, DAY, optional=True),
        "Time from the start of the call after which no attempt begins. The delay before an attempt counts. `null`: "
        "no deadline.",
        "The read timeout of the SDK.",
    ),
    Key(
        "backoff.type",
        choice_of(Jitter),
        "How delays are spread. `full_jitter`: from 0 to the growing bound. `equal_jitter`: from half of the bound to "
        "the bound. `decorrelated_jitter`: from the base to three times the previous delay, at most the cap. "
        "`none`: the bound itself.",
        "AWS: the least work for the server, and clients that failed together do not return together.",
    ),
    Key("backoff.base", duration(0.0, DAY), "The bound of the first delay.", "The SDK's."),
    Key("backoff.cap", duration(0.0, DAY), "The maximum of the bound.", "The SDK's."),
    Key("backoff.multiplier", number(1.0, 10.0), "The factor by which the bound grows with each retry.", "The SDK's."),
    Key(
        "retry_after.honour",
        boolean(),
        "Whether the server's `retry-after` replaces the back-off. A 429 without one is never retried.",
        "The server knows; a 429 without one is a spend limit.",
    ),
    Key(
        "retry_after.max",
        duration(0.0, DAY),
        "The longest `retry-after` that is accepted. Except in `observe`, it also limits the SDK's retries.",
        "That of the SDK up to 1.5; from 1.6 on the SDK waits as long as the server asks, even a day.",
    ),
    Key(
        "retry_after.on_exceed",
        choice_of(OnExceed),
        "The action if the server asks for a longer wait. `fail`: raise the error at once. `cap`: wait for "
        "`retry_after.max`.",
        "A request before its time is refused again.",
    ),
    Key(
        "budget.scope",
        choice_of(Scope),
        "Which streams of the process share a budget of retries: those for which the parts that the value names are "
        "the same. `label` is all labels of the caller.",
        "One model is overloaded on one host; others need not suffer.",
    ),
    Key(
        "budget.ratio",
        number(0.0, 1.0),
        "Retries allowed for each first attempt of the window. An empty budget suppresses retries, never first "
        "attempts.",
        "Finagle and Linkerd: at most a fifth more load in an incident.",
    ),
    Key(
        "budget.min_per_window",
        integer(0, 10_000),
        "Retries allowed in the window in any case, so that an application with few calls may retry too.",
        "Three calls may use all their attempts.",
    ),
    Key(
        "budget.window",
        duration(_POSITIVE, DAY),
        "The window of the budget.",
        "Longer than the usual back-off, shorter than an incident.",
    ),
    Key(
        "concurrency.max",
        integer_or_word(1, MAX_CONCURRENCY, AUTO),
        "Maximum number of requests that are open at once, each from its start to the end of its stream. Further ones "
        "wait. `auto`: fewer after `overloaded` and `rate_limited`, more while requests are accepted. `null`: no "
        "limit.",
        "Only the application knows how many it needs.",
    ),
    Key(
        "concurrency.queue",
        duration(0.0, DAY),
        "The longest wait for a permit. A call that gets none in time raises `anthropic.APITimeoutError`, as with a "
        "full connection pool.",
        "Longer than a short overload, shorter than the patience of a person.",
    ),
    Key(
        "concurrency.scope",
        choice_of(Scope),
        "Which requests of the process count together, as in `budget.scope`.",
        "As for the budget.",
    ),
    Key(
        "watchdog.first_event",
        _CLOCK,
        "Time from the response headers to the first event. Pings are events.",
        "Off: no stream is aborted that would have continued.",
    ),
    Key(
        "watchdog.first_content",
        _CLOCK,
        "Time from the response headers to the first content. Pings, and blocks that begin empty, are no content.",
        "Off: thinking that is not shown may take minutes.",
    ),
    Key(
        "watchdog.silence",
        _CLOCK,
        "Time without a byte; pings and comments are bytes.",
        "Off: healthy streams were silent for 330 s (tool input that the server buffers).",
    ),
    Key(
        "watchdog.no_progress",
        _CLOCK,
        "Time without an event of the message, even if pings arrive.",
        "Off: no stream is aborted that would have continued.",
    ),
    Key(
        "watchdog.lifetime",
        _CLOCK,
        "Time from the response headers to the end. Nothing that arrives resets it, and the time of the caller counts.",
        "Off: only the application knows how long an answer may take.",
    ),
    *(
        Key(f"watchdog.{x}.{clock}", _CLOCK, f"`watchdog.{clock}` {where}. `null`: the general value.")
        for x, where in _PLACES.items()
        for clock in ("first_content", "silence", "no_progress", "lifetime")
    ),
    Key(
        "resume.strategy",
        choice_of(Strategy),
        "How a text is continued. `prefill`: the partial answer is the start of the assistant's turn. "
        "`user_continue`: the partial answer is a turn of the assistant, and a turn of the user asks to continue. "
        "`auto`: `prefill` if the model accepts it, otherwise `user_continue`.",
        "Claude 4.6 and later refuse a prefill, and others continue more exactly with it.",
    ),
    Key(
        "resume.prompt",
        text(2000),
        "The text of the user's turn; `{anchor}` stands for the end of the partial answer. `null`: the built-in text.",
    ),
    Key(
        "resume.anchor_chars",
        integer(8, 400),
        "Number of characters that the model is asked to repeat, so that the seam can be found. In repetitive text "
        "they are more, up to 400, so that they fit at one place only.",
        "Long enough to be unique in prose, short enough to be repeated exactly.",
    ),
    Key(
        "resume.min_partial_chars",
        integer(1, 100_000),
        "Minimum length of a text that is resumed.",
        "Longer than the anchor.",
    ),
    Key(
        "resume.min_overlap",
        integer(1, 400),
        "Number of characters that must agree if the model did not repeat the whole anchor. In repetitive text "
        "they are more.",
        "Shorter ones agree by chance.",
    ),
    Key(
        "resume.on_seam_mismatch",
        choice_of(OnSeamMismatch),
        "The action if the continuation does not fit. `fail`: raise the original error. `newline`: append it after a "
        "line break. `append`: append it unchanged.",
        "A wrong text is worse than an error.",
    ),
    Key(
        "commit.thinking_is_output",
        boolean(),
        "Whether a retry would duplicate thinking that the caller received. `false`: for a caller that does not show "
        "thinking.",
        "An instrumentation cannot know what the caller shows.",
    ),
    Key(
        "raise_on_truncation",
        boolean(),
        "Whether to raise an error for a body that ends without `message_stop`; the SDK raises none. No effect in "
        "`observe`.",
        "The caller gets what it got before.",
    ),
)
"""Keys of the policy. Models may override each of them."""

RULE_KEYS: Final = (
    Key("rules.retry", boolean(), "Whether these reasons are retried from the start."),
    Key("rules.resume", boolean(), "Whether a text that broke for these reasons is continued."),
    Key("rules.max_attempts", integer(1, 5), "As `limits.max_attempts`, and at most that."),
    Key("rules.require_retry_after", boolean(), "Whether to retry only if the server sent `retry-after`."),
    Key("rules.fallback", boolean(), "Whether a model of `fallback` may take over."),
)
"""Keys of a rule besides `reasons` and `backoff`. A key that a rule does not set has the value for other reasons."""

FALLBACK_MODEL: Final = Key("fallback.model", name(200), "The name of a model.")

SECTIONS: Final[Mapping[str, str]] = {
    "limits": "The maximum cost of one call, over all its attempts.",
    "backoff": "The delay before a retry.",
    "retry_after": "How the server's `retry-after` is used.",
    "budget": "How many retries the process may make: a share of its calls, and a minimum.",
    "concurrency": "How many requests may be open at once. In `observe` none waits.",
    "watchdog": "When a stalled stream is aborted. In `observe` the abort is only recorded, as a dry run.",
    **{f"watchdog.{place}": f"The clocks {where}." for place, where in _PLACES.items()},
    "resume": "How a text is continued, and how much of it must have arrived.",
    "commit": "Which content counts as output. Once the caller received output, a retry would duplicate it.",
}
PRESET: Final = HEAD[1]
REASON: Final = choice_of(AbortReason)
"""The type of a reason in a rule."""


_WITHOUT_VARIABLE: Final = frozenset({"version", "models", "rules", "fallback"})
"""The keys that are set in a file or in code only, since their values are lists or mappings, or describe the file."""


def without_variable(name: str) -> str:
    """Return why no environment variable sets the key of the policy that a variable names; empty if one may."""
    key = name.removeprefix(PREFIX).partition("__")[0].lower()
    if key not in _WITHOUT_VARIABLE:
        return ""
    return f"no variable sets {key} of the retry policy; set it in the file that {PREFIX}CONFIG names, or in code"


@functools.cache
def variables() -> Mapping[str, Key]:
    """Return the environment variables of the policy, with the kill switch, which is read elsewhere."""
    return {key.variable: key for key in (*KEYS, *PROCESS_KEYS, PRESET)}


def dotted(path: Path) -> str:
    """Return a path as text, such as ``rules[0].backoff.base``."""
    joined = ""
    for part in path:
        joined += f"[{part}]" if isinstance(part, int) else f".{part}" if joined else part
    return joined
