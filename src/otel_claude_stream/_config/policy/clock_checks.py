"""Check the clocks of the watchdog against each other, in general and in each phase and type of block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from otel_claude_stream._config.policy.checked import CheckedPolicy, Finding, error, warning
from otel_claude_stream._config.policy.keys import KEYS, Path
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.policy import PLACES, Clocks
from otel_claude_stream._core.vocabulary import Phase

PING_INTERVAL: Final = 30.0
"""Seconds. Users report pings every 15 to 30 s, so a shorter watchdog aborts healthy streams."""
LONGEST_SILENCE: Final = 330.0
"""Seconds. Tool input that the server buffered came after 329.5 s without a byte (github/copilot-cli#4286)."""
SDK_TIMEOUT: Final = 600.0
"""Seconds that a client of the SDK waits for a byte by default (`anthropic.DEFAULT_TIMEOUT`)."""
READ_TIMEOUT_FIRST: Final = f"the read timeout of the client expires first ({format_duration(SDK_TIMEOUT)} by default)"

_PINGED: Final = ("first_event", "silence", "no_progress")
"""Clocks that abort healthy streams if they are shorter than the interval of pings."""
_COVERED: Final = (("first_event", "first_content"), *((name, "lifetime") for name in ("first_content", *_PINGED)))
"""Clocks that have no effect if the other one is shorter."""

_NO_CLOCKS: Final = Clocks()
_FIRST: Final = Phase.AWAITING_FIRST_EVENT.value
"""The only phase in which `first_event` runs."""
_WITH_BLOCKS: Final = (Phase.AWAITING_FIRST_TOKEN.value, Phase.STREAMING.value)
"""The phases in which blocks are open."""


class ClockValue(NamedTuple):
    """The value of a clock that applies in a phase or a type of block."""

    seconds: float
    path: Path

    def is_of(self, place: str) -> bool:
        """Whether it was set for the place itself; the empty text is the general one."""
        return self.path[1:-1] == ((place,) if place else ())

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path[1:]))} ({format_duration(self.seconds)})"


def value_of(checked: CheckedPolicy, clock: str, *places: str) -> ClockValue | None:
    """Return the value from the first of the places that has one, or else the general one.

    None if the clock is off, or if its value is not known.
    """
    for place in (*places, ""):
        path = ("watchdog", place, clock) if place else ("watchdog", clock)
        part = getattr(checked.policy.watchdog, place) if place else checked.policy.watchdog
        if not checked.knows(path):
            return None
        if (seconds := getattr(part, clock, None)) is not None:
            return ClockValue(seconds, path)
    return None


def own_values(checked: CheckedPolicy, clock: str) -> Iterator[tuple[str, ClockValue]]:
    """Yield the general value of a clock, and that of each place which has one."""
    watchdog = checked.policy.watchdog
    for place in ("", *PLACES) if watchdog.is_set else ():
        if place and getattr(watchdog, place) == _NO_CLOCKS:  # as in most policies, of which a file may have a hundred
            continue
        value = value_of(checked, clock, place)
        if value is not None and value.is_of(place):
            yield place, value


def watchdogs_spare_healthy_streams(checked: CheckedPolicy) -> Iterator[Finding]:
    """Pings come every 15 to 30 s, healthy streams may be silent between them, and the server buffers tool input."""
    if not checked.policy.watchdog.is_set:
        return
    for key in (key for key in KEYS if key.path[0] == "watchdog" and key.path[-1] in _PINGED):
        value = key.value_in(checked.policy)
        if isinstance(value, float) and value < PING_INTERVAL and checked.knows(key.path):
            yield warning(key.name, "shorter than the interval of pings (15 to 30 s), so it aborts healthy streams")
    with_tools = (value_of(checked, "no_progress", "tool_use", phase) for phase in _WITH_BLOCKS)
    for found in dict.fromkeys(with_tools):
        if found is not None and PING_INTERVAL <= found.seconds < LONGEST_SILENCE:
            yield warning(
                found.path,
                f"it may abort healthy streams with tools, which made no progress for "
                f"{format_duration(LONGEST_SILENCE)} while the server buffered the input of a tool "
                "(eager_input_streaming avoids that)",
            )


def silence_expires_first(checked: CheckedPolicy) -> Iterator[Finding]:
    """Without bytes there is no progress, and the read timeout of the client applies if it is shorter."""
    for place, silence in own_values(checked, "silence"):
        no_progress = value_of(checked, "no_progress", place)
        if no_progress is not None and silence.seconds >= no_progress.seconds:
            if no_progress.is_of(place):
                yield error(
                    silence.path if checked.sets(silence.path) else no_progress.path,
                    f"{silence} must be shorter than {no_progress}, which otherwise always expires first",
                )
            else:
                yield warning(silence.path, f"it never expires before {no_progress}")
        if silence.seconds > SDK_TIMEOUT:
            yield warning(silence.path, READ_TIMEOUT_FIRST)


def clocks_may_expire(checked: CheckedPolicy) -> Iterator[Finding]:
    """A clock has no effect if a shorter one covers at least the same time."""
    for name, other in _COVERED:
        for place, value in own_values(checked, name):
            shorter = value_of(checked, other, _FIRST if name == "first_event" else place)
            if shorter is not None and value.seconds > shorter.seconds:
                yield warning(value.path, f"it never expires before {shorter}")


def deadline_allows_clocks(checked: CheckedPolicy) -> Iterator[Finding]:
    """A stream that the watchdog aborts after the deadline is not retried."""
    deadline = checked.policy.limits.deadline
    for name in ("first_event", "first_content"):
        for _, value in own_values(checked, name):
            if deadline is not None and value.seconds > deadline:
                yield warning(
                    value.path,
                    f"when it expires, limits.deadline ({format_duration(deadline)}) allows no further attempt",
                )
