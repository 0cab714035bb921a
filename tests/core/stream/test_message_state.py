"""The state of a message: its phase, counts, journal, and the content delivered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.message_state import (
    CORE_TYPES,
    TRANSITIONS,
    MessageState,
    block_kind,
)
from otel_claude_stream._core.stream.timing import Timing
from otel_claude_stream._core.stream.usage import Usage
from otel_claude_stream._core.vocabulary import Phase

MS = 1_000_000
ORDER = list(Phase)


def new_message(**options):
    """Create the state of a message before its first event."""
    return MessageState(HotPath(int, 0), **options)


def hot(message):
    """Return the fields that the shells write."""
    return message._hot


def wait_until(message, since, at):
    """Record a read that blocks from `since` until `at`."""
    hot(message).last_byte_at = since
    Timing(hot(message), 0, 0).bytes_read(1, at - since, at)


def journal(message, *names):
    """Return the journal as tuples of type, time, and the named fields."""
    return [(entry.type, entry.at, *(getattr(entry, name) for name in names)) for entry in message.journal.entries()]


def send(message, type_, at=0, gap=0):
    """Record an event of a type, without any of its fields."""
    match type_:
        case "message_start":
            message.message_start(None, None, at, gap)
        case "content_block_start":
            message.block_start(0, "text", at, gap)
        case "content_block_delta":
            message.block_delta(0, "text_delta", 1, at, gap)
        case "content_block_stop":
            message.block_stop(0, at, gap)
        case "message_delta":
            message.message_delta(None, at, gap)
        case "message_stop":
            message.message_stop(at, gap)
        case "ping":
            message.ping(at, gap)
        case "error":
            message.error(None, at, gap)
        case _:
            message.unknown_event(type_, at, gap)


# --- Phases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [*TRANSITIONS, "ping", "error", "invented"])
def test_the_first_event_leads_to_its_phase_in_the_table(type_):
    """An event that is not in the table only shows that events arrive."""
    message = new_message()
    send(message, type_)
    assert message.phase is TRANSITIONS.get(type_, Phase.AWAITING_FIRST_TOKEN)
    assert message.events == 1


def test_the_table_covers_the_events_of_a_message():
    assert sorted(CORE_TYPES) == [
        "content_block_delta", "content_block_start", "content_block_stop", "message_delta", "message_start",
        "message_stop",
    ]  # fmt: skip


def test_a_whole_message_goes_through_the_phases_in_order():
    message = new_message()
    phases = [message.phase]
    for type_ in (
        "message_start", "content_block_start", "ping", "content_block_delta", "ping", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ):  # fmt: skip
        send(message, type_)
        phases.append(message.phase)
    first, token, streaming, finishing = ORDER[3:]
    assert phases == [first, *[token] * 3, *[streaming] * 6, *[finishing] * 2]


@pytest.mark.parametrize("late", [*TRANSITIONS, "ping", "error", "invented"])
def test_an_event_out_of_order_does_not_lead_to_an_earlier_phase(late):
    message = new_message()
    message.message_stop(0, 0)
    send(message, late)
    assert message.phase is Phase.FINISHING
    assert message.events == 2


# --- Counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("text", "text"),
        ("thinking", "thinking"),
        ("redacted_thinking", "thinking"),
        ("tool_use", "tool_use"),
        ("server_tool_use", "tool_use"),
        ("mcp_tool_use", "tool_use"),
        ("web_search_tool_result", "other"),
        ("", "other"),
    ],
)
def test_block_types_are_a_closed_set(type_, kind):
    assert block_kind(type_) == kind


@pytest.mark.parametrize(
    ("opened", "delta", "block"),
    [
        ("text", "text_delta", "text"),
        ("thinking", "thinking_delta", "thinking"),
        ("tool_use", "input_json_delta", "tool_use"),
        ("invented", "text_delta", "other"),
        (None, "text_delta", "text"),
        (None, "citations_delta", "text"),
        (None, "thinking_delta", "thinking"),
        (None, "input_json_delta", "tool_use"),
        (None, "invented_delta", "other"),
    ],
)
def test_the_first_token_belongs_to_the_open_block_or_to_that_of_its_delta(opened, delta, block):
    message = new_message()
    if opened is not None:
        message.block_start(0, opened, 1, 0)
    assert message.block_delta(0, delta, 3, 2, 0) is True
    assert message.first_block == block
    assert message.block_delta(0, delta, 3, 2, 0) is False


def test_a_delta_outside_the_open_block_belongs_to_the_block_of_its_type():
    """The API is not known to overlap blocks, but the type of a delta would still be right."""
    message = new_message()
    message.block_start(0, "tool_use", 1, 0)
    message.block_delta(1, "text_delta", 3, 2, 0)
    assert message.first_block == "text"


@pytest.mark.parametrize("mode", ["coalesce", "all", "none"])
def test_empty_thinking_and_text_without_starts_are_two_batches(mode):
    """Both have no index here. The first token is the text, and its characters were delivered as text."""
    message = new_message(delta_mode=mode)
    assert not message.block_delta(None, "thinking_delta", 0, 1, 0)
    assert message.block_delta(None, "text_delta", 3, 2, 0)
    assert (message.first_block, message.delivered.text) == ("text", 3)


def test_the_wait_for_the_first_token_is_no_gap():
    """It is reported as the time to first token. Gaps are between chunks."""
    message = new_message()
    message.message_start("msg", "claude", 1, 900 * MS)
    message.block_delta(0, "text_delta", 5, 2, 800 * MS)
    message.block_delta(0, "text_delta", 5, 3, 40 * MS)
    message.block_delta(0, "text_delta", 5, 4, 30 * MS)
    message.block_stop(0, 5, 20 * MS)
    message.close_batches(5)
    assert message.longest_gap == 40 * MS


def test_a_wait_before_the_stop_reason_is_a_gap():
    message = new_message()
    message.block_delta(0, "text_delta", 5, 2, 0)
    message.message_delta("end_turn", 3, 70 * MS)
    assert message.longest_gap == 70 * MS


def test_the_shells_count_a_burst_directly():
    """During a burst, the shells count without a call, and all totals include their counts."""
    message = new_message()
    message.block_delta(0, "text_delta", 5, 1, 0)
    shared = hot(message)
    assert shared.in_burst is True
    assert shared.content == "text"
    shared.deltas += 2
    shared.characters += 20
    assert (message.events, message.pings) == (3, 0)
    wait_until(message, 4, 5)
    assert shared.in_burst is False
    wait_until(message, 9, 10)  # the burst is over already, so the next wait changes nothing
    message.block_delta(0, "text_delta", 5, 6, 2 * MS)
    assert shared.in_burst is True
    message.close_batches(8)
    assert (message.deltas, message.characters) == (4, 30)
    assert journal(message, "last_at", "count", "characters", "gap") == [("content_block_delta", 1, 8, 4, 30, 2 * MS)]


def test_a_wait_keeps_the_time_of_the_last_delta_of_a_burst():
    """The last delta of the batch came with the bytes before the wait."""
    message = new_message()
    message.block_delta(0, "text_delta", 5, 1, 0)
    hot(message).deltas += 1
    wait_until(message, 4, 80)
    message.close_batches(90)
    assert journal(message, "last_at") == [("content_block_delta", 1, 4)]


def test_a_delta_without_content_is_never_counted_directly():
    """Its size is not known, so each one needs a call."""
    message = new_message()
    for _ in range(3):
        message.block_delta(0, "citations_delta", 0, 1, 0)
        assert hot(message).in_burst is False


def test_later_events_without_names_keep_the_known_ones():
    """A second `message_start` does not change the identifier."""
    message = new_message()
    message.message_start("msg_1", "claude", 0, 0)
    message.message_start("msg_2", None, 1, 0)
    message.message_delta("max_tokens", 2, 0)
    message.message_delta(None, 3, 0)
    message.error("overloaded_error", 4, 0)
    message.error(None, 5, 0)
    assert (message.ledger.message_id, message.model, message.stop_reason, message.error_type) == (
        "msg_1", "claude", "max_tokens", "overloaded_error",
    )  # fmt: skip
    assert journal(message, "reason")[2:] == [
        ("message_delta", 2, "max_tokens"),
        ("message_delta", 3, ""),
        ("error", 4, "overloaded_error"),
        ("error", 5, ""),
    ]


def test_an_event_without_usage_keeps_the_known_usage():
    message = new_message()
    message.record_usage(Usage(input_tokens=9, cache_read=8, cache_write=7))
    message.record_usage(Usage(output_tokens=60, reasoning=50))
    message.record_usage(Usage())
    assert message.usage == Usage(9, 60, 8, 7, 50)


@pytest.mark.parametrize(
    ("handed_over", "usage", "model", "fallback"),
    [
        ((), Usage(), "claude-a", False),
        (("claude-b",), Usage(), "claude-b", True),
        (("claude-b", None), Usage(), "claude-b", True),
        (("claude-b", "claude-c"), Usage(fallback=True, model="claude-c"), "claude-c", True),
        ((), Usage(fallback=True, model="claude-b"), "claude-b", True),
        (("claude-b",), Usage(fallback=False), "claude-b", False),
    ],
    ids=["none", "block", "unnamed block", "two hops", "usage alone", "all declined"],
)
def test_the_model_is_the_last_one_that_wrote(handed_over, usage, model, fallback):
    """The usage decides whether a fallback model served. A stream that breaks before it has only the blocks."""
    message = new_message()
    message.message_start("msg_1", "claude-a", 0, 0)
    for name in handed_over:
        message.hand_over(name)
    message.record_usage(usage)
    assert (message.model, message.fallback) == (model, fallback)


@pytest.mark.parametrize("mode", ["coalesce", "all", "none"])
def test_empty_thinking_and_a_summary_come_before_the_first_content(mode):
    """Waits before it are no gaps. A burst begins with the first content."""
    message = new_message(delta_mode=mode)
    message.message_start("msg_1", "claude", 0, 0)
    message.block_start(0, "compaction", 0, 0)
    assert not message.block_delta(0, "compaction_delta", 400, 60_000 * MS, 60_000 * MS)
    message.block_stop(0, 60_000 * MS, 0)
    message.block_start(1, "thinking", 60_000 * MS, 0)
    assert not message.block_delta(1, "thinking_delta", 0, 61_000 * MS, 1_000 * MS)
    assert not message.block_delta(1, "thinking_delta", 0, 62_000 * MS, 1_000 * MS)
    assert not message.block_delta(1, "signature_delta", 0, 70_000 * MS, 8_000 * MS)
    assert (message.phase, message.first_block, hot(message).in_burst) == (Phase.AWAITING_FIRST_TOKEN, "", False)
    assert message.block_delta(1, "thinking_delta", 4, 71_000 * MS, 1_000 * MS)
    assert not message.block_delta(1, "thinking_delta", 4, 71_001 * MS, 1 * MS)
    assert (message.phase, message.first_block) == (Phase.STREAMING, "thinking")
    assert hot(message).in_burst is (mode != "all")
    message.close_batches(71_001 * MS)
    assert (message.longest_gap, message.compacted, message.deltas) == (1 * MS, True, 6)


def test_a_compaction_without_a_summary_compacts_nothing():
    message = new_message()
    message.block_delta(0, "compaction_delta", 0, 0, 0)
    assert not message.compacted


# --- The journal -----------------------------------------------------------------------------------------------------


def test_deltas_of_a_block_are_one_entry():
    message = new_message()
    message.block_start(0, "text", 1, 0)
    message.block_delta(0, "text_delta", 3, 2, 0)
    message.block_delta(0, "text_delta", 4, 3, 5)
    message.block_delta(1, "text_delta", 5, 4, 0)
    message.close_batches(4)
    assert journal(message, "index", "count", "characters", "gap") == [
        ("content_block_start", 1, 0, 1, 0, 0),
        ("content_block_delta", 2, 0, 2, 7, 5),
        ("content_block_delta", 4, 1, 1, 5, 0),
    ]


def test_pings_with_only_deltas_between_them_are_one_entry():
    """A stall of ten minutes is one line: forty pings, and the longest wait before one."""
    message = new_message()
    for at, gap in ((1, 5), (20, 19), (30, 10)):
        message.ping(at, gap)
        message.block_delta(0, "text_delta", 1, at, 0)
    message.block_stop(0, 31, 0)
    message.ping(40, 9)
    message.close_batches(40)
    assert journal(message, "count", "last_at", "gap") == [
        ("ping", 1, 3, 30, 19),
        ("content_block_delta", 1, 3, 31, 0),
        ("content_block_stop", 31, 1, 31, 0),
        ("ping", 40, 1, 40, 9),
    ]
    assert (message.pings, message.longest_ping_gap) == (4, 19)


def test_events_of_one_segment_stay_in_order():
    """They have the same time. A ping before the first delta stays before the deltas, and a stall after both."""
    message = new_message()
    message.block_start(0, "text", 7, 0)
    message.ping(7, 0)
    message.block_delta(0, "text_delta", 1, 7, 0)
    message.record_synthetic_event("stall", 7, {})
    message.block_stop(0, 7, 0)
    assert journal(message) == [
        ("content_block_start", 7), ("ping", 7), ("content_block_delta", 7), ("stall", 7), ("content_block_stop", 7),
    ]  # fmt: skip


def test_the_gap_of_pings_is_the_longest_wait_for_one_of_them():
    """Pings every fifteen seconds have that gap, however long no content arrives."""
    message = new_message()
    for at in (15, 30, 45):
        message.ping(at, at)
    message.close_batches(45)
    assert journal(message, "count", "gap") == [("ping", 15, 3, 15)]


def test_a_ping_is_no_event_of_the_message():
    message = new_message()
    message.ping(0, 0)
    message.message_start(None, None, 1, 0)
    assert (message.events, message.pings) == (2, 1)


def test_a_long_name_is_cut():
    """Names come from the network, and may be of any length."""
    message = new_message()
    message.unknown_event("x" * 1_000_000, 0, 0)
    assert journal(message) == [("x" * bounds.EVENT_TYPE, 0)]
    assert bounds.EVENT_TYPE == 64


def test_synthetic_events_are_recorded_and_not_counted():
    message = new_message()
    message.record_synthetic_event("stall", 5, {"kind": "silent"}, 9)
    assert journal(message, "count", "detail", "gap") == [("stall", 5, 0, {"kind": "silent"}, 9)]
    assert message.events == 0


# --- Properties ------------------------------------------------------------------------------------------------------

INDEXES = st.one_of(st.none(), st.integers(0, 3))
KINDS = st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "citations_delta", "signature_delta", "?"])
GAPS = st.integers(0, 10_000_000_000)
NAMES = st.one_of(st.none(), st.text(max_size=5))
CALLS = st.one_of(
    st.tuples(st.just("block_delta"), INDEXES, KINDS, st.integers(0, 50), GAPS),
    st.tuples(st.just("burst"), st.integers(0, 50)),
    st.tuples(st.just("waits")),
    st.tuples(st.just("message_start"), NAMES, NAMES, GAPS),
    st.tuples(st.just("block_start"), INDEXES, st.sampled_from(["text", "thinking", "tool_use", "", "?"]), GAPS),
    st.tuples(st.just("block_stop"), INDEXES, GAPS),
    st.tuples(st.just("message_delta"), NAMES, GAPS),
    st.tuples(st.just("message_stop"), GAPS),
    st.tuples(st.just("ping"), GAPS),
    st.tuples(st.just("error"), NAMES, GAPS),
    st.tuples(st.just("unknown_event"), st.text(max_size=100), GAPS),
    st.tuples(st.just("record_synthetic_event")),
    st.tuples(st.just("close_batches")),
)


def apply(message, call, at):
    """Make a call as the session does, and return the number of SSE events that it stands for."""
    match call:
        case ("block_delta", index, kind, size, gap):
            message.block_delta(index, kind, size, at, gap)
        case ("burst", size):
            if not hot(message).in_burst:
                return 0
            hot(message).deltas += 1
            hot(message).characters += size
        case ("message_start", message_id, model, gap):
            message.message_start(message_id, model, at, gap)
        case ("waits",):
            wait_until(message, at, at)
            return 0
        case ("close_batches",):
            message.close_batches(at)
            return 0
        case ("record_synthetic_event",):
            message.record_synthetic_event("stall", at, {})
            return 0
        case (
            (
                "block_start" | "block_stop" | "message_delta" | "error" | "unknown_event" | "message_stop" | "ping"
            ) as name,
            *arguments,
        ):
            *first, gap = arguments
            getattr(message, name)(*first, at, gap)
    return 1


@settings(max_examples=200)
@given(st.sampled_from(["coalesce", "all", "none"]), st.integers(16, 120), st.lists(CALLS, max_size=120))
def test_any_sequence_of_calls_keeps_the_invariants(deltas, budget, calls):
    """No call raises, the phase never goes back, and every event is counted once in totals and journal."""
    message = new_message(delta_mode=deltas, budget=budget)
    events, rank = 0, ORDER.index(message.phase)
    for at, call in enumerate(calls):
        events += apply(message, call, at)
        assert ORDER.index(message.phase) >= rank
        rank = ORDER.index(message.phase)
        assert message.events == events
    message.close_batches(len(calls))
    entries = message.journal.entries()
    assert message.deltas + message.others == message.events == events
    assert len(entries) <= budget
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    journal_events = sum(entry.count for entry in entries) + message.journal.dropped
    assert journal_events == (message.others if deltas == "none" else events)
    assert all(len(entry.type) <= bounds.EVENT_TYPE for entry in entries)


@given(st.lists(CALLS, max_size=120))
def test_the_totals_are_the_same_however_deltas_are_recorded(calls):
    """Counts, sizes, gaps and phases do not depend on the setting `deltas`."""
    totals = []
    for deltas in ("coalesce", "all", "none"):
        message = new_message(delta_mode=deltas)
        for at, call in enumerate(calls):
            match call:
                case ("burst", _):  # only the shells count bursts, which `all` does not have
                    continue
                case _:
                    apply(message, call, at)
        message.close_batches(len(calls))
        totals.append(
            (
                message.events, message.deltas, message.others, message.pings, message.blocks, message.characters,
                message.longest_gap, message.longest_ping_gap, message.phase, message.first_block,
            )
        )  # fmt: skip
    assert totals[0] == totals[1] == totals[2]


DELIVERIES = {
    "nothing": ((), {}),
    "a start": ((("message_start", None, None, 0, 0),), {"started": True}),
    "an empty block": ((("block_start", 0, "text", 0, 0),), {}),
    "text": ((("block_delta", 0, "text_delta", 3, 0, 0), ("block_delta", 0, "text_delta", 4, 0, 0)), {"text": 7}),
    "text of two blocks": (
        (
            ("block_delta", 0, "text_delta", 3, 0, 0),
            ("block_stop", 0, 0, 0),
            ("block_start", 1, "text", 0, 0),
            ("block_delta", 1, "text_delta", 4, 0, 0),
        ),
        {"text": 7},
    ),
    "a citation": (
        (("block_delta", 0, "text_delta", 3, 0, 0), ("block_delta", 0, "citations_delta", 0, 0, 0)),
        {"text": 3, "citations": True},
    ),
    "a citation at first": ((("block_delta", 0, "citations_delta", 0, 0, 0),), {"citations": True}),
    "thinking that has only begun": ((("block_start", 0, "thinking", 0, 0),), {}),
    "thinking": ((("block_delta", 0, "thinking_delta", 3, 0, 0),), {"thinking": True}),
    "redacted thinking": ((("block_start", 0, "redacted_thinking", 0, 0),), {"thinking": True}),
    "a tool": ((("block_start", 0, "tool_use", 0, 0),), {"tool": True}),
    "a tool's input": ((("block_delta", 0, "input_json_delta", 3, 0, 0),), {"tool": True}),
    "a result": ((("block_start", 0, "web_search_tool_result", 0, 0),), {"tool": True}),
    "an unknown block": ((("block_start", 0, "hologram", 0, 0),), {"other": True}),
    "an unknown delta": ((("block_delta", 0, "hologram_delta", 0, 0, 0),), {"other": True}),
    "the end": ((("message_delta", "end_turn", 0, 0),), {"finished": True}),
}


def delivered_flags(message):
    """Return the fields that a retry decision depends on."""
    return replace(message.delivered, message_id=None, next_index=0, open_index=None, open_type="")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_ledger_has_the_kinds_of_content_that_were_delivered(delivery):
    """A retry would repeat them."""
    events, expected = DELIVERIES[delivery]
    message = new_message()
    for name, *arguments in events:
        getattr(message, name)(*arguments)
    assert delivered_flags(message) == Delivered(**expected)


def test_the_start_of_a_block_may_deliver_content():
    """The caller then has the content before the first delta."""
    message = new_message()
    message.block_start(0, "text", 0, 0, text="Hello", citations=True)
    message.block_delta(0, "text_delta", 2, 0, 0)
    assert delivered_flags(message) == Delivered(text=7, citations=True)
    message.block_start(1, "thinking", 0, 0, thinking=True)
    assert delivered_flags(message) == Delivered(text=7, citations=True, thinking=True)


def test_all_characters_include_those_of_an_open_batch():
    message = new_message()
    message.block_delta(0, "text_delta", 3, 0, 0)
    message.block_stop(0, 0, 0)
    message.block_delta(1, "thinking_delta", 4, 0, 0)
    assert (message.characters, message.all_characters) == (3, 7)
