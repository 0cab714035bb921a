"""The state of one message, updated event by event: phase, counts, usage, what was delivered, and the journal.

The session of the call passes each event here with its time and its gap. Nothing here knows a clock, the SDK or
OpenTelemetry.

Most events are deltas of one block that arrive in bursts. They are counted as one *batch*, which becomes one entry of
the journal when it ends. The first delta of a burst opens it for the shell (`HotPath.in_burst`), which then counts
further ones itself, without a call. A read that waits ends the burst, but not the batch: the next delta comes here
again, since it has a gap. Any other event but a ping ends the batch.

The phase only moves forward. An event out of order, repeated, or of an unknown type is counted, and never raises.
Times (`at`) are nanoseconds of a monotonic clock; gaps are nanoseconds that reads blocked since the event before.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.journal import Entry, Journal
from otel_claude_stream._core.stream.usage import NO_USAGE, Usage
from otel_claude_stream._core.vocabulary import Phase

TRANSITIONS: dict[str, Phase] = {
    "message_start": Phase.AWAITING_FIRST_TOKEN,
    "content_block_start": Phase.AWAITING_FIRST_TOKEN,
    "content_block_delta": Phase.STREAMING,
    "content_block_stop": Phase.AWAITING_FIRST_TOKEN,
    "message_delta": Phase.FINISHING,
    "message_stop": Phase.FINISHING,
}
"""The phase that an event proves to be reached. Any other event (ping, error, unknown) only proves that events come."""

_PHASES = tuple(Phase)
_NO_EVENT, _EVENTS, _CONTENT = (
    _PHASES.index(phase) for phase in (Phase.AWAITING_FIRST_EVENT, Phase.AWAITING_FIRST_TOKEN, Phase.STREAMING)
)
_REACHED = {kind: _PHASES.index(phase) for kind, phase in TRANSITIONS.items()}
"""Phases are compared by their place in the order, since the hash of an enum's member is a call."""

DELTA = "content_block_delta"

TEXT = "text"
"""The attribute of a text delta that holds its text."""

CORE_TYPES = frozenset(TRANSITIONS)
"""The types of events that belong to a message, which the SDK parses and delivers to the caller."""

_BLOCK_KINDS = {"text": "text", "thinking": "thinking", "redacted_thinking": "thinking", "compaction": "compaction"}
_KIND_OF_DELTA = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
    "compaction_delta": "compaction",
}
"""The kind of block that a delta belongs to, if the start of that block was not seen."""

_BEFORE_CONTENT = frozenset({"signature_delta", "compaction_delta"})
"""Types of deltas that do not end the time to the first token. Empty thinking does not either."""

CONTENT_OF = {"text_delta": TEXT, "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The attribute of a delta that holds its content, by type of delta."""

_NO_BATCH = object()
"""Index of the batch while none is open. It equals no index of an event."""


def block_kind(block_type: str) -> str:
    """Return `text`, `thinking`, `tool_use` (for any kind of tool), `compaction` or `other` for a type of block."""
    if block_type.endswith("tool_use"):
        return "tool_use"
    return _BLOCK_KINDS.get(block_type, "other")


@dataclass(slots=True, eq=False)
class MessageState:
    """The state of one message. Deltas are recorded as batches, one by one (`all`), or not at all (`none`)."""

    _hot: HotPath
    delta_mode: InitVar[str] = "coalesce"
    budget: InitVar[int] = 96
    ledger: Delivered = field(default_factory=Delivered)
    """The ledger of what the caller was handed, without the open batch."""
    journal: Journal = field(init=False)
    _all: bool = field(init=False)
    _none: bool = field(init=False)
    # The open batch; `HotPath` has its counts.
    _batch_index: object = _NO_BATCH
    _batch_block: str = ""
    _batch_at: int = 0
    _batch_gap: int = 0
    _batch_order: int = 0
    _pings: Entry | None = None
    _open_index: int | None = None
    _reached: int = _NO_EVENT
    deltas: int = 0
    """Deltas of the batches that ended."""
    others: int = 0
    pings: int = 0
    blocks: int = 0
    characters: int = 0
    """Characters of the batches that ended."""
    first_block: str = ""
    open_block: str = ""
    longest_gap: int = 0
    longest_ping_gap: int = 0
    last_ping_at: int | None = None
    stopped: bool = False
    """`message_stop` came."""
    model: str | None = None
    stop_reason: str | None = None
    error_type: str | None = None
    compacted: bool = False
    usage: Usage = NO_USAGE
    _handed_over: bool = False

    def __post_init__(self, delta_mode: str, budget: int) -> None:
        self.journal = Journal(budget)
        self._all = delta_mode == "all"
        self._none = delta_mode == "none"

    @property
    def phase(self) -> Phase:
        """The furthest phase that was reached."""
        return _PHASES[self._reached]

    @property
    def events(self) -> int:
        """SSE events of every type so far."""
        return self.deltas + self.others + self._hot.deltas

    @property
    def all_characters(self) -> int:
        """Characters of content so far, including the open batch."""
        return self.characters + self._hot.characters

    @property
    def delivered(self) -> Delivered:
        """The ledger of what the caller was handed, including the open batch."""
        if self._batch_block != "text":
            return self.ledger
        return replace(self.ledger, text=self.ledger.text + self._hot.characters)

    @property
    def fallback(self) -> bool:
        """Whether a fallback model serves the answer. The usage at the end decides, if it has iterations."""
        return self._handed_over if self.usage.fallback is None else self.usage.fallback

    # --- Deltas --------------------------------------------------------------------------------------------------
    def block_delta(self, index: int | None, kind: str, size: int, at: int, gap: int) -> bool:
        """Count a delta with `size` characters of content. Return True if it has the first content of the stream."""
        if (
            self._batch_index == index
            and not self._all
            and (self._reached >= _CONTENT or self._block_of(index, kind) == self._batch_block)
        ):
            hot = self._hot
            if kind == "citations_delta":
                self.ledger.block_delta(index, kind, self._batch_block)
            hot.deltas += 1
            hot.characters += size
            hot.last_delta_at = at
            if self._reached < _CONTENT:
                return self._begins_content(kind, size)
            self._batch_gap = max(self._batch_gap, gap)
            hot.in_burst = hot.content != ""
            return False
        return self._begin_batch(index, kind, size, at, gap)

    def _begin_batch(self, index: int | None, kind: str, size: int, at: int, gap: int) -> bool:
        if self._batch_index is not _NO_BATCH:
            self._close_batch(at)
        block = self._block_of(index, kind)
        ledger = self.ledger
        if kind != "text_delta" or index != ledger.open_index:
            ledger.block_delta(index, kind, block)
            if kind == "compaction_delta" and size:
                self.compact()
        self._batch_index, self._batch_block, self._batch_at = index, block, at
        # The wait for the first token is reported as the time to it.
        self._batch_gap = gap if self._reached >= _CONTENT else 0
        self._batch_order = self.deltas + self.others
        hot = self._hot
        hot.deltas, hot.characters, hot.last_delta_at = 1, size, at
        hot.content = CONTENT_OF.get(kind, "")
        hot.on_text = ledger.pieces.append if hot.content == TEXT and ledger.pieces is not None else None
        first = self._reached < _CONTENT and self._begins_content(kind, size)
        hot.in_burst = hot.content != "" and not self._all and self._reached >= _CONTENT
        return first

    def _block_of(self, index: int | None, kind: str) -> str:
        return (self.open_block if index == self._open_index else "") or _KIND_OF_DELTA.get(kind, "other")

    def _begins_content(self, kind: str, size: int) -> bool:
        """Record the first delta with content. Return False for one without."""
        if kind in _BEFORE_CONTENT or (kind == "thinking_delta" and not size):
            return False
        self._reached = _CONTENT
        self.first_block = self._batch_block
        return True

    def _close_batch(self, at: int) -> None:
        hot = self._hot
        count, characters = hot.deltas, hot.characters
        self.deltas += count
        self.characters += characters
        if self._batch_block == "text":
            self.ledger.count_text(characters)
        self.longest_gap = max(self.longest_gap, self._batch_gap)
        if not self._none:
            self.journal.add(
                Entry(
                    DELTA,
                    self._batch_at,
                    self._batch_gap,
                    last_at=at if hot.in_burst else hot.last_delta_at,
                    count=count,
                    characters=characters,
                    index=self._batch_index,
                    block=self._batch_block,
                    order=self._batch_order,
                )
            )
        self._batch_index, self._batch_block = _NO_BATCH, ""
        hot.deltas = hot.characters = 0
        hot.in_burst, hot.on_text = False, None

    # --- Other events --------------------------------------------------------------------------------------------
    def _record(
        self, type_: str, at: int, gap: int, *, index: int | None = None, block: str = "", reason: str = ""
    ) -> None:
        if self._batch_index is not _NO_BATCH:
            self._close_batch(at)
        if self._pings is not None:
            self._close_pings(self._pings)
        order = self.deltas + self.others  # all events: no batch is open
        self.others += 1
        before = self._reached
        if before >= _CONTENT and gap > self.longest_gap:
            self.longest_gap = gap
        reached = _REACHED.get(type_, _EVENTS)
        if reached > before:
            self._reached = reached
        self.journal.add(Entry(type_, at, gap, index=index, block=block, reason=reason, order=order))

    def message_start(self, message_id: str | None, model: str | None, at: int, gap: int) -> None:
        """Record `message_start`."""
        self.ledger.message_start(message_id)
        self.model = self.model or model
        self._record("message_start", at, gap)

    def record_usage(self, found: Usage) -> None:
        """Record the usage in an event."""
        self.usage = self.usage.updated(found)
        self.model = found.model or self.model

    def hand_over(self, model: str | None) -> None:
        """Record that a fallback model writes what follows."""
        self.model = model or self.model
        self._handed_over = True

    def compact(self) -> None:
        """Record that the server replaced earlier parts of the conversation with a summary."""
        self.compacted = True

    def block_start(
        self,
        index: int | None,
        block_type: str,
        at: int,
        gap: int,
        *,
        text: str = "",
        thinking: bool = False,
        citations: bool = False,
    ) -> None:
        """Record `content_block_start`, and the content that the block begins with."""
        kind = block_kind(block_type)
        self._open_index = index
        self.blocks += 1
        self.open_block = kind
        self._record("content_block_start", at, gap, index=index, block=kind)
        self.ledger.block_start(index, block_type, thinking=thinking, citations=citations)
        self.ledger.count_text(len(text))
        if kind == "text" and text:
            self.ledger.keep_text(text)

    def block_stop(self, index: int | None, at: int, gap: int) -> None:
        """Record `content_block_stop`."""
        self._record("content_block_stop", at, gap, index=index)
        self.open_block = ""
        self.ledger.block_stop(index)

    def message_delta(self, stop_reason: str | None, at: int, gap: int) -> None:
        """Record `message_delta`, which brings the stop reason."""
        self.ledger.message_delta()
        self.stop_reason = stop_reason or self.stop_reason
        self._record("message_delta", at, gap, reason=stop_reason or "")

    def message_stop(self, at: int, gap: int) -> None:
        """Record `message_stop`: the message is complete, whatever happens to the connection."""
        self.stopped = True
        self._record("message_stop", at, gap)

    def ping(self, at: int, gap: int) -> None:
        """Record a ping. Pings with nothing but deltas between them become one entry."""
        order = self.events
        self.pings += 1
        self.others += 1
        if self._reached == _NO_EVENT:
            self._reached = _EVENTS
        if self.last_ping_at is not None:
            since = at - self.last_ping_at
            self.longest_ping_gap = max(self.longest_ping_gap, since)
            gap = min(gap, max(since, 0))  # `gap` is the wait since the last event of the message
        self.last_ping_at = at
        if self._pings is not None:
            self._pings.add(at, gap)
            return
        self._pings = Entry("ping", at, gap, order=order)
        if self._all:
            self._close_pings(self._pings)

    def _close_pings(self, pings: Entry) -> None:
        self.journal.add(pings)
        self._pings = None

    def error(self, error_type: str | None, at: int, gap: int) -> None:
        """Record an `error` event."""
        self.error_type = error_type or self.error_type
        self._record("error", at, gap, reason=error_type or "")

    def unknown_event(self, type_: str, at: int, gap: int) -> None:
        """Record an event of a type that this version does not know."""
        self._record(bounds.text(type_, bounds.EVENT_TYPE) or "unknown", at, gap)

    def record_synthetic_event(self, type_: str, at: int, detail: object, gap: int = 0) -> None:
        """Record an event of this package in the journal (`stall`, `retry`, `abort`). It does not count as an event."""
        self.journal.add(Entry(type_, at, gap, count=0, detail=detail, order=self.events))

    def close_batches(self, at: int) -> None:
        """Move the open batches of deltas and pings into the journal. The last bytes arrived `at`."""
        if self._batch_index is not _NO_BATCH:
            self._close_batch(at)
        if self._pings is not None:
            self._close_pings(self._pings)
