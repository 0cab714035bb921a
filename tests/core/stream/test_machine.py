"""The state of one stream: where events lead, what is counted, and what is told of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.message_state import (
    CORE_TYPES,
    MAX_NAME,
    TRANSITIONS,
    MessageState,
    Usage,
    block_kind,
)
from otel_claude_stream._core.stream.timing import Timing
from otel_claude_stream._core.vocabulary import Phase

MS = 1_000_000
ORDER = list(Phase)


def new_message(**options):
    """The state of a message of which nothing has come."""
    return MessageState(HotPath(int, 0), **options)


def hot(message):
    """What the shells write."""
    return message._hot


def wait_until(message, since, at):
    """A read that waits after the bytes of `since`, until `at`."""
    hot(message).last_byte_at = since
    Timing(hot(message), 0, 0).bytes_read(1, at - since, at)


def told(machine, *names):
    """The journal as tuples: type and time, and the named fields."""
    return [(entry.type, entry.at, *(getattr(entry, name) for name in names)) for entry in machine.journal.entries()]


def send(machine, type_, at=0, gap=0):
    """One event of a type, however little it says."""
    match type_:
        case "message_start":
            machine.message_start(None, None, at, gap)
        case "content_block_start":
            machine.block_start(0, "text", at, gap)
        case "content_block_delta":
            machine.block_delta(0, "text_delta", 1, at, gap)
        case "content_block_stop":
            machine.block_stop(0, at, gap)
        case "message_delta":
            machine.message_delta(None, at, gap)
        case "message_stop":
            machine.message_stop(at, gap)
        case "ping":
            machine.ping(at, gap)
        case "error":
            machine.error(None, at, gap)
        case _:
            machine.unknown_event(type_, at, gap)


# --- Where events lead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [*TRANSITIONS, "ping", "error", "invented"])
def test_the_first_event_leads_where_the_table_says(type_):
    """Any event that the table does not name shows that events come, and no more."""
    machine = new_message()
    send(machine, type_)
    assert machine.phase is TRANSITIONS.get(type_, Phase.AWAITING_FIRST_TOKEN)
    assert machine.events == 1


def test_the_table_covers_the_events_of_a_message():
    assert sorted(CORE_TYPES) == [
        "content_block_delta", "content_block_start", "content_block_stop", "message_delta", "message_start",
        "message_stop",
    ]  # fmt: skip


def test_a_whole_message_goes_through_the_phases_in_order():
    machine = new_message()
    phases = [machine.phase]
    for type_ in (
        "message_start", "content_block_start", "ping", "content_block_delta", "ping", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ):  # fmt: skip
        send(machine, type_)
        phases.append(machine.phase)
    first, token, streaming, finishing = ORDER[2:]
    assert phases == [first, *[token] * 3, *[streaming] * 6, *[finishing] * 2]


@pytest.mark.parametrize("late", [*TRANSITIONS, "ping", "error", "invented"])
def test_an_event_out_of_order_leads_nowhere_back(late):
    machine = new_message()
    machine.message_stop(0, 0)
    send(machine, late)
    assert machine.phase is Phase.FINISHING
    assert machine.events == 2


# --- What is counted -------------------------------------------------------------------------------------------------


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
        ("thinking", "signature_delta", "thinking"),
        ("tool_use", "input_json_delta", "tool_use"),
        ("invented", "text_delta", "other"),
        (None, "text_delta", "text"),
        (None, "citations_delta", "text"),
        (None, "thinking_delta", "thinking"),
        (None, "signature_delta", "thinking"),
        (None, "input_json_delta", "tool_use"),
        (None, "invented_delta", "other"),
    ],
)
def test_the_first_token_belongs_to_the_open_block_else_to_what_its_delta_says(opened, delta, block):
    machine = new_message()
    if opened is not None:
        machine.block_start(0, opened, 1, 0)
    assert machine.block_delta(0, delta, 3, 2, 0) is True
    assert machine.first_block == block
    assert machine.block_delta(0, delta, 3, 2, 0) is False


def test_a_delta_of_another_block_than_the_open_one_belongs_to_what_it_says():
    """Blocks that overlap are no known behaviour of the API; what a delta says of itself is right all the same."""
    machine = new_message()
    machine.block_start(0, "tool_use", 1, 0)
    machine.block_delta(1, "text_delta", 3, 2, 0)
    assert machine.first_block == "text"


def test_the_wait_for_the_first_token_is_no_gap():
    """It is told as the time to first token; gaps are between chunks."""
    machine = new_message()
    machine.message_start("msg", "claude", 1, 900 * MS)
    machine.block_delta(0, "text_delta", 5, 2, 800 * MS)
    machine.block_delta(0, "text_delta", 5, 3, 40 * MS)
    machine.block_delta(0, "text_delta", 5, 4, 30 * MS)
    machine.block_stop(0, 5, 20 * MS)
    machine.close_batches(5)
    assert machine.longest_gap == 40 * MS


def test_a_wait_before_the_stop_reason_is_a_gap():
    machine = new_message()
    machine.block_delta(0, "text_delta", 5, 2, 0)
    machine.message_delta("end_turn", 3, 70 * MS)
    assert machine.longest_gap == 70 * MS


def test_the_shells_count_on_an_open_run_directly():
    """While a run is open, the burst case counts on it without a call; every total follows."""
    machine = new_message()
    machine.block_delta(0, "text_delta", 5, 1, 0)
    shared = hot(machine)
    assert shared.in_burst is True
    assert shared.content == "text"
    shared.deltas += 2
    shared.characters += 20
    assert (machine.events, machine.pings) == (3, 0)
    wait_until(machine, 4, 5)
    assert shared.in_burst is False
    wait_until(machine, 9, 10)  # the burst is over already: the next wait changes nothing
    machine.block_delta(0, "text_delta", 5, 6, 2 * MS)
    assert shared.in_burst is True
    machine.close_batches(8)
    assert (machine.deltas, machine.characters) == (4, 30)
    assert told(machine, "last_at", "count", "characters", "gap") == [("content_block_delta", 1, 8, 4, 30, 2 * MS)]


def test_a_wait_keeps_the_time_of_the_last_of_a_burst():
    """The bytes before the wait came at `since`: that is when the run's last delta was."""
    machine = new_message()
    machine.block_delta(0, "text_delta", 5, 1, 0)
    hot(machine).deltas += 1
    wait_until(machine, 4, 80)
    machine.close_batches(90)
    assert told(machine, "last_at") == [("content_block_delta", 1, 4)]


def test_a_delta_without_content_is_never_counted_directly():
    """Its size is not an attribute of it: each goes through the machine."""
    machine = new_message()
    for _ in range(3):
        machine.block_delta(0, "citations_delta", 0, 1, 0)
        assert hot(machine).in_burst is False


def test_the_first_name_that_is_said_stays():
    """A second `message_start` moves nothing back, and one that says nothing takes nothing away."""
    machine = new_message()
    machine.message_start("msg_1", "claude", 0, 0)
    machine.message_start("msg_2", None, 1, 0)
    machine.message_delta("max_tokens", 2, 0)
    machine.message_delta(None, 3, 0)
    machine.error("overloaded_error", 4, 0)
    machine.error(None, 5, 0)
    assert (machine.ledger.message_id, machine.model, machine.stop_reason, machine.error_type) == (
        "msg_1", "claude", "max_tokens", "overloaded_error",
    )  # fmt: skip
    assert told(machine, "reason")[2:] == [
        ("message_delta", 2, "max_tokens"),
        ("message_delta", 3, ""),
        ("error", 4, "overloaded_error"),
        ("error", 5, ""),
    ]


def test_usage_that_is_not_said_takes_nothing_away():
    machine = new_message()
    machine.record_usage(
        Usage(input_tokens=9, output_tokens=1, cache_read=8, cache_creation=7, reasoning=1), final=False
    )
    assert (machine.output_tokens, machine.reasoning_tokens) == (None, None)
    machine.record_usage(Usage(output_tokens=60, reasoning=50), final=True)
    machine.record_usage(Usage(), final=True)
    assert (
        machine.input_tokens, machine.output_tokens, machine.cache_read, machine.cache_creation,
        machine.reasoning_tokens,
    ) == (9, 60, 8, 7, 50)  # fmt: skip


# --- What is told ----------------------------------------------------------------------------------------------------


def test_deltas_of_a_block_are_one_entry():
    machine = new_message()
    machine.block_start(0, "text", 1, 0)
    machine.block_delta(0, "text_delta", 3, 2, 0)
    machine.block_delta(0, "text_delta", 4, 3, 5)
    machine.block_delta(1, "text_delta", 5, 4, 0)
    machine.close_batches(4)
    assert told(machine, "index", "count", "characters", "gap") == [
        ("content_block_start", 1, 0, 1, 0, 0),
        ("content_block_delta", 2, 0, 2, 7, 5),
        ("content_block_delta", 4, 1, 1, 5, 0),
    ]


def test_pings_with_only_deltas_between_them_are_one_entry():
    """A stall of ten minutes is one line: forty pings, and the longest wait before one."""
    machine = new_message()
    for at, gap in ((1, 5), (20, 19), (30, 10)):
        machine.ping(at, gap)
        machine.block_delta(0, "text_delta", 1, at, 0)
    machine.block_stop(0, 31, 0)
    machine.ping(40, 9)
    machine.close_batches(40)
    assert told(machine, "count", "last_at", "gap") == [
        ("ping", 1, 3, 30, 19),
        ("content_block_delta", 1, 3, 31, 0),
        ("content_block_stop", 31, 1, 31, 0),
        ("ping", 40, 1, 40, 9),
    ]
    assert (machine.pings, machine.longest_ping_gap) == (4, 19)


def test_events_of_one_segment_are_told_in_the_order_they_came():
    """They have one time: a ping before the first delta is told before the deltas, a stall after both."""
    machine = new_message()
    machine.block_start(0, "text", 7, 0)
    machine.ping(7, 0)
    machine.block_delta(0, "text_delta", 1, 7, 0)
    machine.record_synthetic_event("stall", 7, {})
    machine.block_stop(0, 7, 0)
    assert told(machine) == [
        ("content_block_start", 7), ("ping", 7), ("content_block_delta", 7), ("stall", 7), ("content_block_stop", 7),
    ]  # fmt: skip


def test_the_gap_of_pings_is_the_wait_for_one_of_them():
    """Pings all fifteen seconds are told as that, however long content has not come."""
    machine = new_message()
    for at in (15, 30, 45):
        machine.ping(at, at)
    machine.close_batches(45)
    assert told(machine, "count", "gap") == [("ping", 15, 3, 15)]


def test_a_ping_is_no_event_of_the_message():
    machine = new_message()
    machine.ping(0, 0)
    machine.message_start(None, None, 1, 0)
    assert (machine.events, machine.pings) == (2, 1)


def test_a_long_name_is_cut():
    """Types come from the network: a megabyte of name is told as 64 characters."""
    machine = new_message()
    machine.unknown_event("x" * 1_000_000, 0, 0)
    assert told(machine) == [("x" * MAX_NAME, 0)]
    assert MAX_NAME == 64


def test_our_own_events_are_told_and_not_counted():
    machine = new_message()
    machine.record_synthetic_event("stall", 5, {"kind": "silent"}, 9)
    assert told(machine, "count", "detail", "gap") == [("stall", 5, 0, {"kind": "silent"}, 9)]
    assert machine.events == 0


# --- Laws ------------------------------------------------------------------------------------------------------------

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


def apply(machine, call, at):
    """One call as the session makes it; the number of SSE events that it stands for."""
    match call:
        case ("block_delta", index, kind, size, gap):
            machine.block_delta(index, kind, size, at, gap)
        case ("burst", size):
            if not hot(machine).in_burst:
                return 0
            hot(machine).deltas += 1
            hot(machine).characters += size
        case ("message_start", message_id, model, gap):
            machine.message_start(message_id, model, at, gap)
        case ("waits",):
            wait_until(machine, at, at)
            return 0
        case ("close_batches",):
            machine.close_batches(at)
            return 0
        case ("record_synthetic_event",):
            machine.record_synthetic_event("stall", at, {})
            return 0
        case (
            (
                "block_start" | "block_stop" | "message_delta" | "error" | "unknown_event" | "message_stop" | "ping"
            ) as name,
            *arguments,
        ):
            *first, gap = arguments
            getattr(machine, name)(*first, at, gap)
    return 1


@settings(max_examples=200)
@given(st.sampled_from(["coalesce", "all", "none"]), st.integers(16, 120), st.lists(CALLS, max_size=120))
def test_any_sequence_of_calls_keeps_the_laws(deltas, budget, calls):
    """Nothing raises, the phase goes forward only, and every event is counted once, in totals and journal."""
    machine = new_message(deltas=deltas, budget=budget)
    events, rank = 0, ORDER.index(machine.phase)
    for at, call in enumerate(calls):
        events += apply(machine, call, at)
        assert ORDER.index(machine.phase) >= rank
        rank = ORDER.index(machine.phase)
        assert machine.events == events
    machine.close_batches(len(calls))
    entries = machine.journal.entries()
    assert machine.deltas + machine.others == machine.events == events
    assert len(entries) <= budget
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    told_events = sum(entry.count for entry in entries) + machine.journal.dropped
    assert told_events == (machine.others if deltas == "none" else events)
    assert all(len(entry.type) <= MAX_NAME for entry in entries)


@given(st.lists(CALLS, max_size=120))
def test_the_totals_are_the_same_however_deltas_are_told(calls):
    """`deltas` is a matter of telling: counts, sizes, gaps and phases do not depend on it."""
    totals = []
    for deltas in ("coalesce", "all", "none"):
        machine = new_message(deltas=deltas)
        for at, call in enumerate(calls):
            match call:
                case ("burst", _):  # the shells' short cut exists while a run is open only, which `all` never is
                    continue
                case _:
                    apply(machine, call, at)
        machine.close_batches(len(calls))
        totals.append(
            (
                machine.events, machine.deltas, machine.others, machine.pings, machine.blocks, machine.characters,
                machine.longest_gap, machine.longest_ping_gap, machine.phase, machine.first_block,
            )
        )  # fmt: skip
    assert totals[0] == totals[1] == totals[2]


HANDED = {
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
    "a block that nobody knows": ((("block_start", 0, "hologram", 0, 0),), {"other": True}),
    "a delta that nobody knows": ((("block_delta", 0, "hologram_delta", 0, 0, 0),), {"other": True}),
    "the end": ((("message_delta", "end_turn", 0, 0),), {"finished": True}),
}


def told_to_caller(machine):
    """What was delivered, without the place where a later attempt would go on."""
    return replace(machine.delivered, message_id=None, next_index=0, open_index=None, open_type="")


@pytest.mark.parametrize("handed", HANDED)
def test_what_the_caller_has_been_handed(handed):
    """What decides whether a replay would duplicate something."""
    events, expected = HANDED[handed]
    machine = new_message()
    for name, *arguments in events:
        getattr(machine, name)(*arguments)
    assert told_to_caller(machine) == Delivered(**expected)


def test_a_block_may_begin_with_content():
    """Then the caller holds it with the start already."""
    machine = new_message()
    machine.block_start(0, "text", 0, 0, text="Hello", citations=True)
    machine.block_delta(0, "text_delta", 2, 0, 0)
    assert told_to_caller(machine) == Delivered(text=7, citations=True)
    machine.block_start(1, "thinking", 0, 0, thinking=True)
    assert told_to_caller(machine) == Delivered(text=7, citations=True, thinking=True)


def test_characters_count_while_they_are_counted_up():
    machine = new_message()
    machine.block_delta(0, "text_delta", 3, 0, 0)
    machine.block_stop(0, 0, 0)
    machine.block_delta(1, "thinking_delta", 4, 0, 0)
    assert (machine.characters, machine.all_characters) == (3, 7)


def test_what_an_attempt_said_of_its_usage():
    """Input with the cache; output only where it is final, as the placeholder of the start is none."""
    machine = new_message()
    assert machine.tokens(final=True) == (0, 0)
    machine.record_usage(Usage(input_tokens=5, cache_read=3, cache_creation=2), final=False)
    assert machine.tokens(final=False) == (10, 0)
    machine.record_usage(Usage(output_tokens=9), final=True)
    assert (machine.tokens(final=False), machine.tokens(final=True)) == ((10, 0), (10, 9))
