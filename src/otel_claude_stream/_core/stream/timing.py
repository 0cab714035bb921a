"""The clocks of one stream, and its stall thresholds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache

from otel_claude_stream._core.stream.hot_path import HotPath

_NS = 1_000_000_000

BURST_NS = 1_000_000
"""Events less than this apart are one burst. Several arrive in one TCP segment, and a gap costs 6 to 10 us."""

WAIT_NS = 50_000
"""A read that took longer than this waited for the network. A shorter one took buffered bytes, as a read from memory
takes some 5 us. The time of a call that is no wait was spent by the SDK and the caller."""

WINDOW_NS = 5 * _NS
"""Bytes of the last five seconds distinguish a limit on the total duration (they flowed) from an idle limit."""

_SAMPLE_INTERVAL_NS = _NS
_SAMPLES = 8


@dataclass(slots=True, eq=False)
class Timing:
    """The clocks of a call that began at `started` of the monotonic clock. All times and waits are in nanoseconds."""

    _hot: HotPath
    started: int
    started_wall: int
    """The wall time of the start."""
    opened_at: int | None = None
    """When the response arrived whose body is the stream."""
    _failed_at: int = 0
    head_wait: int | None = None
    """How long the call waited for its first response."""
    first_event: int | None = None
    """Waits until the first event of any type, including the wait for the response."""
    first_token: int | None = None
    """Waits until the first content delta, including the wait for the response."""
    reading_since: int | None = None
    """When the SDK began to read the body, if its work until the first token is one-time work."""
    one_time_work: int = 0
    """Time before the first token in which the SDK built its models, which no wait and no caller accounts for."""
    longest_read: int = 0
    """The longest wait of a read that returned bytes."""
    _longest_failed_wait: int = 0
    """The longest wait that ended with the failure of an attempt which another one followed."""
    _samples: tuple[tuple[int, int], ...] = ()
    """Pairs of a time and the number of bytes until then, over `WINDOW_NS` and a little more."""

    def wall(self, at: int) -> int:
        """Return the wall time at a reading of the monotonic clock."""
        return at - self.started + self.started_wall

    # --- Reading the body ----------------------------------------------------------------------------------------
    def bytes_read(self, n: int, waited: int, at: int) -> None:
        """Record that a read blocked for `waited` ns before `n` bytes arrived `at`. See `StreamListener`."""
        hot = self._hot
        if hot.in_burst:  # the next delta has a gap to report
            hot.in_burst = False
            hot.last_delta_at = hot.last_byte_at
        hot.waited += waited
        if waited > self.longest_read:
            self.longest_read = waited
        samples = self._samples
        if not samples or at - samples[-1][0] > _SAMPLE_INTERVAL_NS:
            self._samples = (*samples[1 - _SAMPLES :], (at, hot.bytes))
        hot.last_byte_at = at
        hot.reads += 1
        hot.bytes += n

    def opened(self) -> None:
        """Record the response whose body is the stream: the first one, or that of a later attempt."""
        hot = self._hot
        now = hot.clock()
        self.opened_at = hot.last_byte_at = now
        if self.head_wait is None:
            self.head_wait = now - self.started
        else:  # a later attempt: all the time since the failure was spent waiting for the network
            hot.waited += max(0, now - self._failed_at)
            self._longest_failed_wait = max(self._longest_failed_wait, hot.last_wait)
            hot.last_wait = hot.read_started_at = 0

    def began_to_read(self) -> None:
        """Record that the SDK begins to read the body, for a stream in which it has one-time work to do."""
        self.reading_since = self._hot.clock()

    def attempt_failed(self, now: int) -> None:
        """Record the failure of an attempt that another one follows."""
        self._failed_at, self.reading_since = now, None

    # --- Events --------------------------------------------------------------------------------------------------
    def note_event(self, waited: int) -> None:
        """Record an event that came after `waited` ns of reads, if it is the first one."""
        if self.first_event is None:
            self.first_event = (self.head_wait or 0) + waited + self._one_time_work(waited, self._hot.last_byte_at)

    def note_first_token(self, waited: int, at: int) -> int:
        """Record the first content delta, which came `at` after `waited` ns of reads. Return the time to it."""
        self.note_event(waited)
        self.first_token = (self.head_wait or 0) + waited
        self.one_time_work = self._one_time_work(waited, at)
        return self.first_token + self.one_time_work

    def _one_time_work(self, waited: int, at: int) -> int:
        return max(0, at - self.reading_since - waited) if self.reading_since is not None else 0

    # --- Derived figures -----------------------------------------------------------------------------------------
    @property
    def time_to_first_token(self) -> int | None:
        """`first_token` with the one-time work of the SDK, during which more bytes may have arrived unnoticed."""
        return None if self.first_token is None else self.first_token + self.one_time_work

    @property
    def age(self) -> int:
        """Time since the start of the call."""
        return self._hot.clock() - self.started

    @property
    def is_waiting(self) -> bool:
        """Whether a read blocks now; otherwise the caller has bytes to work on."""
        return self._hot.read_started_at > self._hot.last_byte_at

    @property
    def gap(self) -> int:
        """How long reads have blocked since the last event of the message, up to the last bytes."""
        return self._hot.waited - self._hot.wait_at_last_event

    @property
    def longest_silence(self) -> int:
        """The longest wait in any attempt, whatever ended it."""
        return max(self.longest_read, self._hot.last_wait, self._longest_failed_wait)

    def gap_at(self, now: int) -> int:
        """Return the gap including the wait of the read that blocks now."""
        return self.gap + now - self._hot.read_started_at

    def silence(self, now: int) -> int:
        """Return how long the last read blocked by `now`; 0 if the caller had bytes to work on."""
        if self.is_waiting:  # the stream was ended by another thread or task than its reader
            return max(0, now - self._hot.read_started_at)
        return self._hot.last_wait

    def recent_bytes(self, now: int) -> int:
        """Return how many bytes came within the window before `now`."""
        hot = self._hot
        if now - hot.last_byte_at > WINDOW_NS:
            return 0
        before = 0
        for at, total in self._samples:
            if now - at > WINDOW_NS:
                before = total
        return hot.bytes - before

    def caller_time(self, now: int) -> int:
        """Return the time that the SDK and the caller spent while the stream was open, without one-time work."""
        hot = self._hot
        if self.head_wait is None or not hot.reads:
            return 0
        return max(0, now - self.started - self.head_wait - hot.waited - self.one_time_work)

    def writing_time(self) -> int | None:
        """Return the waits from the first token to the last event of the message; None without a token."""
        if self.first_token is None:
            return None
        return (self.head_wait or 0) + self._hot.wait_at_last_event - self.first_token


# --- Stalls ------------------------------------------------------------------------------------------------------
def label(seconds: float) -> str:
    """Return a threshold as a label: ``30s``, ``0.5s``."""
    return f"{seconds:g}s"


@cache
def _in_nanoseconds(thresholds: tuple[float, ...]) -> tuple[tuple[int, str], ...]:
    """Return nanoseconds and label of each threshold."""
    return tuple((int(seconds * _NS), label(seconds)) for seconds in thresholds)


class StallThresholds:
    """The thresholds of one stream. Each is reported once for each wait that exceeds it."""

    __slots__ = ("_thresholds", "_unreported", "lowest")

    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self._thresholds = _in_nanoseconds(thresholds)
        self.lowest = self._thresholds[0][0] if thresholds else 1 << 62
        """Nanoseconds of the lowest one; a wait that is shorter exceeds none."""
        self._unreported: deque[tuple[int, str]] | None = None  # made with the first stall: most streams have none

    def newly_exceeded(self, waited: int) -> list[str]:
        """Return the labels that a finished or running wait has reached and that were not returned for it before."""
        if self._unreported is None:
            self._unreported = deque(self._thresholds)
        found: list[str] = []
        while self._unreported and self._unreported[0][0] <= waited:
            found.append(self._unreported.popleft()[1])
        return found

    @property
    def exceeded(self) -> str:
        """The label of the highest threshold that was returned for the wait; empty without any. For any thread."""
        unreported = self._unreported
        reported = 0 if unreported is None else len(self._thresholds) - len(unreported)
        return self._thresholds[reported - 1][1] if reported else ""

    def reset(self) -> None:
        """Begin anew: an event of the message came."""
        self._unreported = None
