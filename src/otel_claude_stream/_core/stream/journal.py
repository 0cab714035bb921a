"""The events of one stream that are recorded, within a budget that keeps the beginning, the rare and the end."""

from __future__ import annotations

from collections import deque
from operator import attrgetter

_MAX_TYPES = 24
"""Event types whose first event has a place, in budgets of 96 or more. The API has a dozen types."""
_TAIL_SHARE = 4
"""A quarter of the budget is for the newest events, as the end of a stream matters as much as its beginning."""


class Entry:
    """An entry of the journal: one SSE event, several of a kind, or a synthetic event.

    Times are nanoseconds of the monotonic clock. `gap` is the longest wait before one of the events it stands for.
    """

    __slots__ = ("at", "block", "characters", "count", "detail", "gap", "index", "last_at", "order", "reason", "type")

    def __init__(
        self,
        type_: str,
        at: int,
        gap: int = 0,
        *,
        last_at: int | None = None,
        count: int = 1,
        characters: int = 0,
        index: object = None,
        block: str = "",
        reason: str = "",
        detail: object = None,
        order: int = 0,
    ) -> None:
        self.type = type_
        self.at = at
        self.last_at = at if last_at is None else last_at
        self.gap = gap
        self.count = count
        """SSE events that it stands for; 0 for a synthetic event."""
        self.characters = characters
        self.index = index
        self.block = block
        self.reason = reason
        """The stop reason of a `message_delta`, the type of an `error`."""
        self.detail = detail
        """Attributes of a synthetic event."""
        self.order = order
        """How many events came before it. Several in one segment have the same time."""

    def add(self, at: int, gap: int) -> None:
        """Let it stand for one more event."""
        self.count += 1
        self.last_at = at
        self.gap = max(self.gap, gap)


_PLACE = attrgetter("at", "order")


class Journal:
    """At most `budget` entries: the first of each type, the oldest and the newest. Counts the events it drops."""

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
        """SSE events (not entries) that were dropped."""

    def add(self, entry: Entry) -> None:
        """Add an entry. Without room it replaces the oldest one of the tail."""
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
        """Return the entries by time, and by arrival where that is the same."""
        return sorted([*self._head, *(self._tail or ())], key=_PLACE)
