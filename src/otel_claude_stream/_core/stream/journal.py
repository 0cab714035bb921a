"""The events of one stream that are worth telling, within a budget that keeps the beginning, the rare and the end."""

from __future__ import annotations

from collections import deque

_MAX_TYPES = 24
"""Event types whose first event has a place, in budgets of 96 or more. The API has a dozen types."""
_TAIL_SHARE = 4
"""A quarter of the budget is for the newest events: how a stream ended matters as much as how it began."""


class Entry:
    """One event to tell: one SSE event, several of a kind, or one of our own. Mutable while it is counted up.

    Times are nanoseconds of the monotonic clock; `gap` is the longest wait before one of the events it stands for.
    """

    __slots__ = (
        "at",
        "block",
        "characters",
        "content",
        "count",
        "detail",
        "gap",
        "index",
        "last_at",
        "open",
        "order",
        "said",
        "type",
    )

    def __init__(
        self,
        type_: str,
        at: int,
        gap: int = 0,
        *,
        characters: int = 0,
        index: object = None,
        block: str = "",
        said: str = "",
        detail: object = None,
    ) -> None:
        self.type = type_
        self.at = at
        self.last_at = at
        self.gap = gap
        self.count = 1
        self.characters = characters
        self.index = index
        self.block = block
        self.said = said
        """The one word that an event of this type brings: the stop reason, the error type."""
        self.content = ""
        """For a run of deltas: the attribute of a delta that holds its content."""
        self.open = False
        """For a run of deltas: the next delta that comes without a wait may be counted on it directly."""
        self.order = 0
        """How many events came before it: several in one segment have one time."""
        self.detail = detail


class Journal:
    """Keeps at most `budget` entries: the first of each type, the head, and the newest. Counts what it leaves out."""

    __slots__ = ("_head", "_reserved", "_room", "_tail", "_tail_room", "_types", "dropped")

    def __init__(self, budget: int) -> None:
        self._tail_room = max(4, budget // _TAIL_SHARE)
        self._reserved = min(_MAX_TYPES, budget // 4)
        """Places of the head that only the first events of further types may take."""
        self._room = max(1, budget - self._tail_room - self._reserved)
        self._head: list[Entry] = []
        self._tail: deque[Entry] | None = None  # most streams never need it, and an empty deque takes 760 bytes
        self._types: list[str] = []
        self.dropped = 0
        """SSE events (not entries) that were left out."""

    def add(self, entry: Entry) -> None:
        """Keep an entry, at the cost of the oldest in the tail if there is no room."""
        if self._room > -self._reserved and entry.type not in self._types and len(self._types) < _MAX_TYPES:
            self._types.append(entry.type)
            self._head.append(entry)
            self._room -= 1
        elif self._room > 0:
            self._head.append(entry)
            self._room -= 1
        else:
            if self._tail is None:
                self._tail = deque(maxlen=self._tail_room)
            if len(self._tail) == self._tail_room:
                self.dropped += self._tail[0].count
            self._tail.append(entry)

    def entries(self) -> list[Entry]:
        """What was kept, in the order of time, and of arrival where that is the same."""
        return sorted([*self._head, *(self._tail or ())], key=lambda entry: (entry.at, entry.order))
