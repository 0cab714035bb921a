"""The state of one stream as its events come in: phase, counts, usage, and a journal of what to tell.

Time comes in as nanoseconds of a monotonic clock (`at`), waits as nanoseconds (`gap`). Nothing here raises for odd
input: an event out of order, twice, or of an unknown type moves the state no further back and is counted.
"""

from __future__ import annotations

from otel_claude_stream._core.retry.context import Delivered
from otel_claude_stream._core.stream.journal import Entry, Journal
from otel_claude_stream._core.vocabulary import Phase

TRANSITIONS: dict[str, Phase] = {
    "message_start": Phase.AWAITING_FIRST_TOKEN,
    "content_block_start": Phase.AWAITING_FIRST_TOKEN,
    "content_block_delta": Phase.STREAMING,
    "content_block_stop": Phase.AWAITING_FIRST_TOKEN,
    "message_delta": Phase.FINISHING,
    "message_stop": Phase.FINISHING,
}
"""The phase that an event shows to be reached. Any other event (ping, error, unknown) shows that events come."""

_PHASES = tuple(Phase)
_NO_EVENT, _EVENTS, _CONTENT = (
    _PHASES.index(phase) for phase in (Phase.AWAITING_FIRST_EVENT, Phase.AWAITING_FIRST_TOKEN, Phase.STREAMING)
)
_REACHED = {kind: _PHASES.index(phase) for kind, phase in TRANSITIONS.items()}
"""Phases as places in their order, which is what is compared: the hash of an enum's member is a call."""

DELTA = "content_block_delta"

TEXT = "text"
"""The attribute of a delta of text that holds it; what the run of such deltas has as its `content`."""

CORE_TYPES = frozenset(TRANSITIONS)
"""The event types of a message, which the SDK parses and hands to the caller."""

_BLOCK_KINDS = {"text": "text", "thinking": "thinking", "redacted_thinking": "thinking"}
_DELTA_KINDS = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
"""The block that a delta belongs to, for a stream that did not say so before."""

_CONTENT_OF = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The attribute of a delta that holds its content."""

_NO_RUN = Entry("", 0, index=object())
"""No deltas are being counted up. No index is equal to this one's."""
_NO_RUN.count = 0

MAX_NAME = 64
"""Longest event type that is kept as it is: names come from the network."""


def block_kind(block_type: str) -> str:
    """The closed set of block types: text, thinking, tool_use (of every kind of tool), other."""
    if block_type.endswith("tool_use"):
        return "tool_use"
    return _BLOCK_KINDS.get(block_type, "other")


class MessageState:
    """What one stream has shown so far."""

    __slots__ = (
        "_all",
        "_none",
        "_open_index",
        "_pings",
        "_reached",
        "blocks",
        "cache_creation",
        "cache_read",
        "characters",
        "citations",
        "deltas",
        "error_type",
        "first_block",
        "input_tokens",
        "journal",
        "longest_ping_gap",
        "longest_gap",
        "last_ping_at",
        "message_delta",
        "message_id",
        "message_start",
        "message_stop",
        "model",
        "odd",
        "open_block",
        "others",
        "output_tokens",
        "pings",
        "reasoning_tokens",
        "run",
        "stop_reason",
        "text",
        "thinking",
        "tool",
    )

    def __init__(self, *, deltas: str = "coalesce", budget: int = 96) -> None:
        self.journal = Journal(budget)
        self._all = deltas == "all"
        self._none = deltas == "none"
        self.run: Entry = _NO_RUN
        """The deltas that are being counted up. While it is `open`, the shells count on it directly."""
        self._pings: Entry | None = None
        self._open_index: int | None = None
        self._reached = _NO_EVENT
        self.deltas = 0
        self.others = 0
        self.pings = 0
        self.blocks = 0
        self.characters = 0
        self.first_block = ""
        self.open_block = ""
        self.text = 0
        """Characters of text in the runs that are over."""
        self.thinking = self.tool = self.citations = self.odd = False
        """Whether there was content of this kind; `odd` is what nobody knows how to join."""
        self.longest_gap = 0
        self.longest_ping_gap = 0
        self.last_ping_at: int | None = None
        self.message_start = False
        self.message_delta = False
        self.message_stop = False
        self.message_id: str | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cache_read: int | None = None
        self.cache_creation: int | None = None
        self.reasoning_tokens: int | None = None

    @property
    def phase(self) -> Phase:
        """How far the stream has come."""
        return _PHASES[self._reached]

    @property
    def events(self) -> int:
        """SSE events of every type so far."""
        return self.deltas + self.others + self.run.count

    @property
    def all_characters(self) -> int:
        """Characters of content, those of the run that is being counted up included."""
        return self.characters + self.run.characters

    def said(self, *, final: bool) -> tuple[int, int]:
        """Input tokens (cache included), and if they are `final`, output tokens; 0 for what was not said."""
        said = (self.input_tokens or 0) + (self.cache_read or 0) + (self.cache_creation or 0)
        return said, (self.output_tokens or 0) if final else 0

    @property
    def delivered(self) -> Delivered:
        """What the caller has been handed."""
        run = self.run
        return Delivered(
            started=self.message_start,
            thinking=self.thinking,
            text=self.text + (run.characters if run.block == "text" else 0),
            tool=self.tool,
            citations=self.citations,
            other=self.odd,
            finished=self.message_delta,
        )

    def delta(self, index: int | None, kind: str, size: int, at: int, gap: int) -> bool:
        """A content delta of `size` characters. True if it is the first of the stream."""
        run = self.run
        if run.index == index and not self._all:
            if kind == "citations_delta":
                self.citations = True
            run.count += 1
            run.characters += size
            run.last_at = at
            run.gap = max(run.gap, gap)
            run.open = run.content != ""
            return False
        return self._begin_run(index, kind, size, at, gap)

    def _begin_run(self, index: int | None, kind: str, size: int, at: int, gap: int) -> bool:
        self._close_run(at)
        first = self._reached < _CONTENT
        block = (self.open_block if index == self._open_index else "") or _DELTA_KINDS.get(kind, "other")
        if first:
            self._reached = _CONTENT
            self.first_block = block
        # The wait before the first token is the time to first token, not a gap between chunks.
        run = Entry(DELTA, at, 0 if first else gap, characters=size, index=index, block=block)
        if kind != "text_delta":
            self._hold(block, kind)
        run.content = _CONTENT_OF.get(kind, "")
        run.open = run.content != "" and not self._all
        run.order = self.events
        self.run = run
        return first

    def _hold(self, block: str, kind: str) -> None:
        """The caller holds content that is not plain text."""
        if kind == "citations_delta":
            self.citations = True
        elif block == "thinking":
            self.thinking = True
        elif "tool" in block:
            self.tool = True
        else:
            self.odd = True

    def waits(self, since: int) -> None:
        """The reader waits; the last bytes came at `since`. The run goes on, but its next delta has a gap to tell."""
        run = self.run
        if run.open:
            run.open = False
            run.last_at = since

    def _close_run(self, at: int) -> None:
        run = self.run
        if run is _NO_RUN:
            return
        if run.open:
            run.open = False
            run.last_at = at
        self.run = _NO_RUN
        self.deltas += run.count
        self.characters += run.characters
        if run.block == "text":
            self.text += run.characters
        self.longest_gap = max(self.longest_gap, run.gap)
        if not self._none:
            self.journal.add(run)

    def _note(
        self, type_: str, at: int, gap: int, *, index: int | None = None, block: str = "", said: str = ""
    ) -> None:
        if self.run is not _NO_RUN:
            self._close_run(at)
        if self._pings is not None:
            self._close_pings()
        entry = Entry(type_, at, gap, index=index, block=block, said=said)
        entry.order = self.deltas + self.others  # all events: no run is open
        self.others += 1
        before = self._reached
        if before >= _CONTENT and gap > self.longest_gap:
            self.longest_gap = gap
        reached = _REACHED.get(type_, _EVENTS)
        if reached > before:
            self._reached = reached
        self.journal.add(entry)

    def start(self, message_id: str | None, model: str | None, at: int, gap: int) -> None:
        """`message_start`. Its usage is given to `usage`."""
        self.message_start = True
        self.message_id = self.message_id or message_id
        self.model = self.model or model
        self._note("message_start", at, gap)

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read: int | None = None,
        cache_creation: int | None = None,
        reasoning: int | None = None,
        final: bool,
    ) -> None:
        """What an event said of the usage; None is not said. Only a `final` one has output tokens worth keeping.

        `message_start` carries a placeholder of one to four output tokens: published, it would make an answer that
        broke look almost free (litellm#30787).
        """
        if input_tokens is not None:
            self.input_tokens = input_tokens
        if cache_read is not None:
            self.cache_read = cache_read
        if cache_creation is not None:
            self.cache_creation = cache_creation
        if final and output_tokens is not None:
            self.output_tokens = output_tokens
        if final and reasoning is not None:
            self.reasoning_tokens = reasoning

    def block_start(self, index: int | None, block_type: str, at: int, gap: int) -> None:
        """`content_block_start`."""
        kind = block_kind(block_type)
        if kind != "text" and block_type != "thinking":  # an empty block of thinking holds nothing yet
            self._hold("tool_use" if "tool" in block_type else kind, block_type)
        self._open_index = index
        self.blocks += 1
        self.open_block = kind
        self._note("content_block_start", at, gap, index=index, block=kind)

    def begins_with(self, text: int, *, thinking: bool, citations: bool) -> None:
        """What the block that began holds already: so many characters of text, or the others."""
        self.text += text
        self.thinking = self.thinking or thinking
        self.citations = self.citations or citations

    def block_stop(self, index: int | None, at: int, gap: int) -> None:
        """`content_block_stop`."""
        self._note("content_block_stop", at, gap, index=index)
        self.open_block = ""

    def finishing(self, stop_reason: str | None, at: int, gap: int) -> None:
        """`message_delta`: the stop reason and the usage that counts."""
        self.message_delta = True
        self.stop_reason = stop_reason or self.stop_reason
        self._note("message_delta", at, gap, said=stop_reason or "")

    def stop(self, at: int, gap: int) -> None:
        """`message_stop`: the message is complete, whatever the wire does next."""
        self.message_stop = True
        self._note("message_stop", at, gap)

    def ping(self, at: int, gap: int) -> None:
        """A ping. Those with nothing but deltas between them are told as one."""
        order = self.events
        self.pings += 1
        self.others += 1
        if self._reached == _NO_EVENT:
            self._reached = _EVENTS
        if self.last_ping_at is not None:
            since = at - self.last_ping_at
            self.longest_ping_gap = max(self.longest_ping_gap, since)
            gap = min(gap, max(since, 0))  # `gap` is the wait since the last content
        self.last_ping_at = at
        pings = self._pings
        if pings is not None:
            pings.count += 1
            pings.last_at = at
            pings.gap = max(pings.gap, gap)
            return
        self._pings = Entry("ping", at, gap)
        self._pings.order = order
        if self._all:
            self._close_pings()

    def _close_pings(self) -> None:
        if self._pings is not None:
            self.journal.add(self._pings)
            self._pings = None

    def error(self, error_type: str | None, at: int, gap: int) -> None:
        """An `error` event."""
        self.error_type = error_type or self.error_type
        self._note("error", at, gap, said=error_type or "")

    def other(self, type_: str, at: int, gap: int) -> None:
        """An event of a type that is not of a message: unknown to this version, counted and told."""
        self._note(type_[:MAX_NAME], at, gap)

    def own(self, type_: str, at: int, detail: object, gap: int = 0) -> None:
        """One of our own events (`stall`, `retry`, `abort`): no SSE event, so not counted as one."""
        entry = Entry(type_, at, gap, detail=detail)
        entry.count = 0
        entry.order = self.events
        self.journal.add(entry)

    def settle(self, at: int) -> None:
        """Put what is still being counted up into the journal: at the end. The last bytes came at `at`."""
        self._close_run(at)
        self._close_pings()
