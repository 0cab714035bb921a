"""The two clocks of one stream: when bytes came, and how long the reader waited before each event of the message."""

from __future__ import annotations

from collections.abc import Callable

from otel_claude_stream._core.stream.recent import RecentBytes

BURST_NS = 1_000_000
"""Events less than this apart are one burst: several arrive in one TCP segment, and a gap costs 6 to 10 us to tell."""

WAIT_NS = 50_000
"""A read that took longer than this waited for the wire; a shorter one took what was there (a read from memory takes
some 5 us). Waits are added up; what is no wait, the SDK and the caller spent."""


class Clocks:
    """All in nanoseconds of the monotonic clock. The shells write the fields of the hot path without a call."""

    __slots__ = (
        "_failed_at",
        "_lost_wait",
        "_recent",
        "_wall_offset",
        "arrived",
        "asked",
        "bytes",
        "first_event",
        "first_token",
        "head_wait",
        "last_wait",
        "longest",
        "now",
        "opened_at",
        "progress",
        "reads",
        "started",
        "waited",
    )

    def __init__(self, now: Callable[[], int], started: int, wall: int) -> None:
        """
        Args:
            now: The monotonic clock.
            started: Its reading when the call began.
            wall: The wall time then.
        """
        self.now = now
        self.started = started
        self._wall_offset = wall - started
        self.opened_at: int | None = None
        """When the response whose body is the stream came."""
        self._failed_at = 0
        self.head_wait: int | None = None
        """How long the call waited for its first response."""
        self.first_event: int | None = None
        """Waits until the first event of any kind, that for the response included."""
        self.first_token: int | None = None
        """Waits until the first content delta, that for the response included."""
        self.last_wait = 0
        """How long the reader had waited when the body ended or the read raised."""
        self._lost_wait = 0
        """The longest wait at whose end an attempt broke that another followed."""
        self._recent = RecentBytes()
        # The hot path's.
        self.asked = 0
        """When the reader last began to wait for bytes."""
        self.arrived = started
        """When the last bytes came."""
        self.waited = 0
        """How long reads waited, in all."""
        self.progress = 0
        """`waited` at the last event of the message."""
        self.bytes = 0
        self.reads = 0
        self.longest = 0
        """The longest wait of one read that returned bytes."""

    def wall(self, at: int) -> int:
        """Wall time of a reading of the monotonic clock."""
        return at + self._wall_offset

    def opened(self) -> None:
        """The response whose body is the stream is there: the first, or that of a further attempt."""
        now = self.now()
        self.opened_at = self.arrived = now
        if self.head_wait is None:
            self.head_wait = now - self.started
        else:  # once more: all since the failure was a wait for the wire
            self.waited += max(0, now - self._failed_at)
            self._lost_wait = max(self._lost_wait, self.last_wait)
            self.last_wait = 0
            self.asked = 0

    def failed(self, now: int) -> None:
        """An attempt broke, and another follows."""
        self._failed_at = now

    def on_wait(self, waited: int, now: int) -> None:
        """A read waited for the wire, until bytes came at `now`."""
        self.waited += waited
        if waited > self.longest:
            self.longest = waited
        self._recent.note(now, self.bytes)

    def stop_waiting(self) -> None:
        """The reader waited for bytes, and none came: the body ended, or the read raised."""
        self.last_wait = max(0, self.now() - self.asked)
        self.waited += self.last_wait
        self.asked = 0

    def note_first_event(self) -> None:
        """An event came: if it is the first, this is the time to it, without what the caller spent elsewhere."""
        if self.first_event is None:
            self.first_event = (self.head_wait or 0) + self.waited

    def note_first_token(self) -> int:
        """The first content delta came: the time to it."""
        self.note_first_event()
        self.first_token = (self.head_wait or 0) + self.waited
        return self.first_token

    @property
    def is_waiting(self) -> bool:
        """Whether the reader waits for bytes; else the caller has some to work on."""
        return self.asked > self.arrived

    @property
    def gap(self) -> int:
        """How long the reader has waited since the last event of the message, up to the last bytes."""
        return self.waited - self.progress

    @property
    def longest_silence(self) -> int:
        """The longest wait, whatever came at its end, in all attempts."""
        return max(self.longest, self.last_wait, self._lost_wait)

    def bytes_lately(self, now: int) -> int:
        """Bytes of the last five seconds."""
        return self._recent.within(now, self.arrived, self.bytes)

    def others_time(self, now: int) -> int:
        """What the SDK and the caller spent while the stream was open: all that was no wait."""
        if self.head_wait is None or not self.reads:
            return 0
        return max(0, now - self.started - self.head_wait - self.waited)

    def writing_time(self) -> int | None:
        """From the first token to the last event of the message, the caller's time left out; None without a token."""
        if self.first_token is None:
            return None
        return (self.head_wait or 0) + self.progress - self.first_token
