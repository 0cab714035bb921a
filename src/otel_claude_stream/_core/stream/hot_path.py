"""The fields that each read and each delta of a stream change, written without a call.

A call costs 0.1 to 0.2 us, which is as much as a delta in a burst may cost in all. `HotPath` is therefore the one
object whose attributes are assigned from outside its class. The comments name the writers of each field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class ReadMode(str, Enum):
    """How the body of a stream is read."""

    NOT_READ = "none"
    BYTES = "bytes"
    """The caller reads bytes."""
    EVENTS = "events"
    """The SDK decodes the body, and its events pass through the shells."""


class Arrival(NamedTuple):
    """When a frame arrived that was buffered before it was parsed. In nanoseconds."""

    at: int
    """When its bytes arrived."""
    waited: int
    """How long all reads of the call had blocked by then."""
    gap: int
    """How long reads had blocked since the event of the message before it."""


@dataclass(slots=True, eq=False)
class HotPath:
    """The fields of one stream that are written for each read and each delta. Times are nanoseconds of `clock`."""

    clock: Callable[[], int]
    """The monotonic clock."""
    last_byte_at: int
    """When the last bytes arrived; the start of the call before the first ones. Written like the fields below."""
    # Written by the shell around the body, and for a read that waited by `Timing`.
    read_started_at: int = 0
    """When the read that blocks now began; 0 after the last one."""
    reads: int = 0
    """Reads that returned."""
    bytes: int = 0
    read_mode: ReadMode = ReadMode.NOT_READ
    # Written by `Timing`.
    waited: int = 0
    """How long reads blocked, in all."""
    last_wait: int = 0
    """How long the read blocked that ended the body or raised."""
    # Written by the session.
    wait_at_last_event: int = 0
    """`waited` at the last event of the message."""
    # Written by the retry gate.
    arrival: Arrival | None = None
    """Arrival of the frame that is being parsed, if it was buffered; None if it came with the last bytes."""
    # Written by `MessageState`; in a burst `deltas` and `characters` by the shell around the events.
    in_burst: bool = False
    """The next delta, if it comes without a wait, is counted below and nowhere else."""
    content: str = ""
    """Name of the attribute that holds the content of a delta of this batch."""
    on_text: Callable[[str], None] | None = None
    """Takes the text of each delta of this batch, if a later attempt may have to continue it."""
    deltas: int = 0
    """Deltas of the open batch."""
    characters: int = 0
    """Characters of the open batch."""
    last_delta_at: int = 0
    """When the last delta of the open batch arrived, unless a burst is going on."""

    def read_ended(self) -> None:
        """Record that the current read brought no bytes: the body ended, or the read raised."""
        self.last_wait = max(0, self.clock() - self.read_started_at)
        self.waited += self.last_wait
        self.read_started_at = 0
