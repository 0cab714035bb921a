"""The table of the policy's keys: path, kind, meaning, and why the default is what it is.

Environment variables, checks, the JSON Schema and the documentation are made from it; the defaults themselves stand in
`RetryPolicy`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from otel_claude_stream._config import durations
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.value_types import Boolean, Choice, Duration, Integer, Kind, Number, Text, words
from otel_claude_stream._config.settings import PREFIX
from otel_claude_stream._core.retry.policy import (
    Jitter,
    Mode,
    OnExceed,
    OnSeamMismatch,
    RetryPolicy,
    Scope,
    SdkRetries,
    Strategy,
)

Path = tuple[str | int, ...]
"""The way to a value in a file: keys, and numbers of items."""

DAY: Final = 86400.0
"""The longest duration of the table: nothing here is meant to last longer than a day."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that holds a single value."""

    name: str
    """Its path with dots."""
    kind: Kind
    doc: str
    why: str = ""
    """Where the default comes from."""

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
        """What holds where nothing is said, of a key of the policy."""
        return attrgetter(self.name)(RetryPolicy()) if self in KEYS or self is KILL_SWITCH else None

    @property
    def default_written(self) -> object:
        """The same as a file would say it."""
        value = self.default
        if isinstance(self.kind, Duration) and isinstance(value, float):
            return durations.written(value)
        return value.value if isinstance(value, Enum) else value


_POSITIVE: Final = 0.001

HEAD: Final = (
    Key("version", Integer(1, 1), "The version of this schema."),
    Key(
        "preset",
        Choice(tuple(PRESETS)),
        "A set of values to start from; whatever is said beside it wins over it, wherever it is said.",
    ),
)
"""Keys of a file that are no part of the policy itself."""

KILL_SWITCH: Final = Key(
    "kill_switch",
    Boolean(),
    "True: as `observe`, whatever the mode says. The environment variable is read anew for each stream.",
)

KEYS: Final = (
    Key(
        "mode",
        words(Mode),
        "What may be done about a stream that broke. `observe`: nothing, what would be done is recorded as a dry run. "
        "`retry`: again from the start, while the caller holds nothing that a replay would duplicate. `resume`: as "
        "`retry`, and a text that broke is continued by a further request.",
        "Installing an instrumentation changes nothing.",
    ),
    Key(
        "sdk_retries",
        words(SdkRetries),
        "Who retries before the response headers. `keep`: the SDK, as its client says (`max_retries`). `replace`: this "
        "policy; the SDK's own loop is off for the call.",
        "The SDK does it well, and its users have set it.",
    ),
    Key(
        "limits.max_attempts",
        Integer(1, 5),
        "Attempts of the policy for one call, the first included.",
        "gRPC (A6) counts like this and allows 5; the SDK's own default is 3.",
    ),
    Key(
        "limits.max_resumes",
        Integer(0, 3),
        "How many of those may be continuations. Fewer than `max_attempts`.",
        "Each is one more seam in the text.",
    ),
    Key(
        "limits.max_requests",
        Integer(1, 50),
        "HTTP requests sent for one call, the SDK's own retries included.",
        "Twice the attempts: attempts of the SDK and of the policy add up, and do not multiply.",
    ),
    Key(
        "limits.deadline",
        Duration(_POSITIVE, DAY, optional=True),
        "From the start of the call; no attempt begins after it, the sleep before it counted. `null`: none.",
        "The read time-out of the SDK.",
    ),
    Key(
        "backoff.type",
        words(Jitter),
        "How delays are spread. `full_jitter`: from 0 to the rising bound. `equal_jitter`: half of the bound, and "
        "anything up to it. `decorrelated_jitter`: from the base to three times the delay before, at most the cap. "
        "`none`: the bound itself.",
        "AWS: the least work for the server, and clients that failed together do not return together.",
    ),
    Key("backoff.base", Duration(0.0, DAY), "The bound of the first delay.", "The SDK's."),
    Key("backoff.cap", Duration(0.0, DAY), "The bound never rises above this.", "The SDK's."),
    Key("backoff.multiplier", Number(1.0, 10.0), "How fast the bound rises.", "The SDK's."),
    Key(
        "retry_after.honour",
        Boolean(),
        "Whether the server's `retry-after` takes the place of the back-off. A 429 without one is never retried.",
        "The server knows; a 429 without one is a spend limit.",
    ),
    Key(
        "retry_after.max",
        Duration(0.0, DAY),
        "The longest wait that is accepted. Outside `observe` it holds for the SDK's own retries too.",
        "The SDK up to 1.5; from 1.6 on it sleeps for whatever is asked, a day included.",
    ),
    Key(
        "retry_after.on_exceed",
        words(OnExceed),
        "What is done if the server asks for more. `fail`: the error is raised at once. `cap`: the longest wait is "
        "taken.",
        "A request before its time is refused again.",
    ),
    Key(
        "budget.scope",
        words(Scope),
        "Which streams of the process share a budget of retries.",
        "One model is overloaded on one host; others need not suffer.",
    ),
    Key(
        "budget.ratio",
        Number(0.0, 1.0),
        "Retries allowed for each first attempt of the window. An empty budget suppresses retries, never first "
        "attempts.",
        "Finagle and Linkerd: at most a fifth more load in an incident.",
    ),
    Key(
        "budget.min_per_window",
        Integer(0, 10_000),
        "Retries allowed in the window in any case, so that little traffic may retry too.",
        "Three calls may use up their attempts.",
    ),
    Key(
        "budget.window",
        Duration(_POSITIVE, DAY),
        "The window of the budget.",
        "Longer than the usual back-off, shorter than an incident.",
    ),
    Key(
        "watchdog.first_event",
        Duration(_POSITIVE, DAY, optional=True),
        "From the response headers to the first event. Noticed when something arrives, or by `silence`.",
        "Off: no stream is given up that would have come.",
    ),
    Key(
        "watchdog.silence",
        Duration(_POSITIVE, DAY, optional=True),
        "Without a byte; pings and comments are bytes. Lowers the transport's read time-out for the body.",
        "Off, as above. Healthy streams were silent for 330 s (tool input that the server buffers).",
    ),
    Key(
        "watchdog.no_progress",
        Duration(_POSITIVE, DAY, optional=True),
        "Without an event of the message, though pings may come. Noticed when something arrives.",
        "Off, as above.",
    ),
    Key(
        "resume.strategy",
        words(Strategy),
        "How a text is continued. `prefill`: the partial answer is the start of the assistant's turn. "
        "`user_continue`: it is a turn of the assistant's, and one of the user's asks to go on. `auto`: `prefill` "
        "where the model accepts it.",
        "Claude 4.6 and later refuse a prefill, and others continue more exactly with it.",
    ),
    Key(
        "resume.prompt",
        Text(2000),
        "What the user's turn says; `{anchor}` stands for the end of the partial answer. `null`: the built-in one.",
    ),
    Key(
        "resume.anchor_chars",
        Integer(8, 400),
        "Characters that the model is asked to repeat, so that the seam can be found.",
        "Long enough to be unique in prose, short enough to be repeated exactly.",
    ),
    Key(
        "resume.min_partial_chars",
        Integer(1, 100_000),
        "A shorter text is not continued.",
        "Longer than the anchor.",
    ),
    Key(
        "resume.min_overlap",
        Integer(1, 400),
        "Characters that must agree where the anchor was not repeated as a whole.",
        "Shorter ones agree by chance.",
    ),
    Key(
        "resume.on_seam_mismatch",
        words(OnSeamMismatch),
        "What is done if the continuation does not fit. `fail`: the original error is raised. `newline`: it follows "
        "after a line break. `append`: it follows as it is.",
        "A wrong text is worse than an error.",
    ),
    Key(
        "commit.thinking_is_output",
        Boolean(),
        "Whether a replay would duplicate thinking. `false`: for a caller that shows none.",
        "Nobody knows what the caller shows.",
    ),
    Key(
        "raise_on_truncation",
        Boolean(),
        "Raise for a body that ends without `message_stop`, where the SDK raises nothing. Not in `observe`.",
        "The caller gets what it got before.",
    ),
)
"""Keys of the policy, which may also differ by model."""

RULE_KEYS: Final = (
    Key("rules.retry", Boolean(), "Whether these are retried from the start at all."),
    Key("rules.resume", Boolean(), "Whether a text that these broke is continued."),
    Key("rules.max_attempts", Integer(1, 5), "As `limits.max_attempts`, and at most that."),
    Key("rules.require_retry_after", Boolean(), "Retried only if the server says when."),
)
"""Keys of a rule beside `reasons` and `backoff`. What a rule does not say is as it is for the other reasons."""

SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "limits": "How much one call may cost, over all its attempts.",
        "backoff": "The delay before a retry.",
        "retry_after": "What is made of the server's `retry-after`.",
        "budget": "How many retries the process may make: a share of its calls, and a floor.",
        "watchdog": "When a stream that stalls is given up. In `observe` it only reports.",
        "resume": "How a text is continued, and how much of it has to be there.",
        "commit": "What counts as output: once the caller holds some, a replay would duplicate it.",
    }
)
LISTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rules": "What holds for some reasons only. The first rule that names the reason wins; the built-in ones come "
        "after these.",
        "rules.reasons": "The reasons that the rule is for.",
        "models": "What differs for some models, by a pattern such as `claude-haiku-*`. The most specific one wins.",
    }
)
PRESET: Final = HEAD[1]


@functools.cache
def variables() -> Mapping[str, Key]:
    """The environment variables of the policy. The kill switch is one of them, though it is read apart."""
    return {key.variable: key for key in (*KEYS, KILL_SWITCH, PRESET)}


def dotted(path: Path) -> str:
    """A path as one writes it: ``rules[0].backoff.base``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
