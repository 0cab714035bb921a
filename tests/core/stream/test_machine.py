"""The state of one stream: where events lead, what is counted, and what is told of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_claude_stream._core.retry.context import Delivered
from otel_claude_stream._core.stream.message_state import CORE_TYPES, MAX_NAME, TRANSITIONS, MessageState, block_kind
from otel_claude_stream._core.vocabulary import Phase

MS = 1_000_000
ORDER = list(Phase)


def told(machine, *names):
    """The journal as tuples: type and time, and the named fields."""
    return [(entry.type, entry.at, *(getattr(entry, name) for name in names)) for entry in machine.journal.entries()]


def send(machine, type_, at=0, gap=0):
    """One event of a type, however little it says."""
    match type_:
        case "message_start":
            machine.start(None, None, at, gap)
        case "content_block_start":
            machine.block_start(0, "text", at, gap)
        case "content_block_delta":
            machine.delta(0, "text_delta", 1, at, gap)
        case "content_block_stop":
            machine.block_stop(0, at, gap)
        case "message_delta":
            machine.finishing(None, at, gap)
        case "message_stop":
            machine.stop(at, gap)
        case "ping":
            machine.ping(at, gap)
        case "error":
            machine.error(None, at, gap)
        case _:
            machine.other(type_, at, gap)


# --- Where events lead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [*TRANSITIONS, "ping", "error", "invented"])
def test_the_first_event_leads_where_the_table_says(type_):
    """Any event that the table does not name shows that events come, and no more."""
    machine = MessageState()
    send(machine, type_)
    assert machine.phase is TRANSITIONS.get(type_, Phase.AWAITING_FIRST_TOKEN)
    assert machine.events == 1


def test_the_table_covers_the_events_of_a_message():
    assert sorted(CORE_TYPES) == [
        "content_block_delta", "content_block_start", "content_block_stop", "message_delta", "message_start",
        "message_stop",
    ]  # fmt: skip


def test_a_whole_message_goes_through_the_phases_in_order():
    machine = MessageState()
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
    machine = MessageState()
    machine.stop(0, 0)
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
    machine = MessageState()
    if opened is not None:
        machine.block_start(0, opened, 1, 0)
    assert machine.delta(0, delta, 3, 2, 0) is True
    assert machine.first_block == block
    assert machine.delta(0, delta, 3, 2, 0) is False


def test_a_delta_of_another_block_than_the_open_one_belongs_to_what_it_says():
    """Blocks that overlap are no known behaviour of the API; what a delta says of itself is right all the same."""
    machine = MessageState()
    machine.block_start(0, "tool_use", 1, 0)
    machine.delta(1, "text_delta", 3, 2, 0)
    assert machine.first_block == "text"


def test_the_wait_for_the_first_token_is_no_gap():
    """It is told as the time to first token; gaps are between chunks."""
    machine = MessageState()
    machine.start("msg", "claude", 1, 900 * MS)
    machine.delta(0, "text_delta", 5, 2, 800 * MS)
    machine.delta(0, "text_delta", 5, 3, 40 * MS)
    machine.delta(0, "text_delta", 5, 4, 30 * MS)
    machine.block_stop(0, 5, 20 * MS)
    machine.settle(5)
    assert machine.longest_gap == 40 * MS


def test_a_wait_before_the_stop_reason_is_a_gap():
    machine = MessageState()
    machine.delta(0, "text_delta", 5, 2, 0)
    machine.finishing("end_turn", 3, 70 * MS)
    assert machine.longest_gap == 70 * MS


def test_the_shells_count_on_an_open_run_directly():
    """While a run is open, the burst case counts on it without a call; every total follows."""
    machine = MessageState()
    machine.delta(0, "text_delta", 5, 1, 0)
    run = machine.run
    assert run.open is True
    assert run.content == "text"
    run.count += 2
    run.characters += 20
    assert (machine.events, machine.pings) == (3, 0)
    machine.waits(4)
    assert run.open is False
    machine.waits(9)  # the run is closed to the shells already: the reader's next wait changes nothing
    machine.delta(0, "text_delta", 5, 6, 2 * MS)
    assert run.open is True
    machine.settle(8)
    assert (machine.deltas, machine.characters) == (4, 30)
    assert told(machine, "last_at", "count", "characters", "gap") == [("content_block_delta", 1, 8, 4, 30, 2 * MS)]


def test_a_wait_keeps_the_time_of_the_last_of_a_burst():
    """The bytes before the wait came at `since`: that is when the run's last delta was."""
    machine = MessageState()
    machine.delta(0, "text_delta", 5, 1, 0)
    machine.run.count += 1
    machine.waits(4)
    machine.settle(90)
    assert told(machine, "last_at") == [("content_block_delta", 1, 4)]


def test_a_delta_without_content_is_never_counted_directly():
    """Its size is not an attribute of it: each goes through the machine."""
    machine = MessageState()
    for _ in range(3):
        machine.delta(0, "citations_delta", 0, 1, 0)
        assert machine.run.open is False


def test_the_first_name_that_is_said_stays():
    """A second `message_start` moves nothing back, and one that says nothing takes nothing away."""
    machine = MessageState()
    machine.start("msg_1", "claude", 0, 0)
    machine.start("msg_2", None, 1, 0)
    machine.finishing("max_tokens", 2, 0)
    machine.finishing(None, 3, 0)
    machine.error("overloaded_error", 4, 0)
    machine.error(None, 5, 0)
    assert (machine.message_id, machine.model, machine.stop_reason, machine.error_type) == (
        "msg_1", "claude", "max_tokens", "overloaded_error",
    )  # fmt: skip
    assert told(machine, "said")[2:] == [
        ("message_delta", 2, "max_tokens"),
        ("message_delta", 3, ""),
        ("error", 4, "overloaded_error"),
        ("error", 5, ""),
    ]


def test_usage_that_is_not_said_takes_nothing_away():
    machine = MessageState()
    machine.usage(input_tokens=9, output_tokens=1, cache_read=8, cache_creation=7, reasoning=1, final=False)
    assert (machine.output_tokens, machine.reasoning_tokens) == (None, None)
    machine.usage(output_tokens=60, reasoning=50, final=True)
    machine.usage(final=True)
    assert (
        machine.input_tokens, machine.output_tokens, machine.cache_read, machine.cache_creation,
        machine.reasoning_tokens,
    ) == (9, 60, 8, 7, 50)  # fmt: skip


# --- What is told ----------------------------------------------------------------------------------------------------


def test_deltas_of_a_block_are_one_entry():
    machine = MessageState()
    machine.block_start(0, "text", 1, 0)
    machine.delta(0, "text_delta", 3, 2, 0)
    machine.delta(0, "text_delta", 4, 3, 5)
    machine.delta(1, "text_delta", 5, 4, 0)
    machine.settle(4)
    assert told(machine, "index", "count", "characters", "gap") == [
        ("content_block_start", 1, 0, 1, 0, 0),
        ("content_block_delta", 2, 0, 2, 7, 5),
        ("content_block_delta", 4, 1, 1, 5, 0),
    ]


def test_pings_with_only_deltas_between_them_are_one_entry():
    """A stall of ten minutes is one line: forty pings, and the longest wait before one."""
    machine = MessageState()
    for at, gap in ((1, 5), (20, 19), (30, 10)):
        machine.ping(at, gap)
        machine.delta(0, "text_delta", 1, at, 0)
    machine.block_stop(0, 31, 0)
    machine.ping(40, 9)
    machine.settle(40)
    assert told(machine, "count", "last_at", "gap") == [
        ("ping", 1, 3, 30, 19),
        ("content_block_delta", 1, 3, 31, 0),
        ("content_block_stop", 31, 1, 31, 0),
        ("ping", 40, 1, 40, 9),
    ]
    assert (machine.pings, machine.longest_ping_gap) == (4, 19)


def test_events_of_one_segment_are_told_in_the_order_they_came():
    """They have one time: a ping before the first delta is told before the deltas, a stall after both."""
    machine = MessageState()
    machine.block_start(0, "text", 7, 0)
    machine.ping(7, 0)
    machine.delta(0, "text_delta", 1, 7, 0)
    machine.own("stall", 7, {})
    machine.block_stop(0, 7, 0)
    assert told(machine) == [
        ("content_block_start", 7), ("ping", 7), ("content_block_delta", 7), ("stall", 7), ("content_block_stop", 7),
    ]  # fmt: skip


def test_the_gap_of_pings_is_the_wait_for_one_of_them():
    """Pings all fifteen seconds are told as that, however long content has not come."""
    machine = MessageState()
    for at in (15, 30, 45):
        machine.ping(at, at)
    machine.settle(45)
    assert told(machine, "count", "gap") == [("ping", 15, 3, 15)]


def test_a_ping_is_no_event_of_the_message():
    machine = MessageState()
    machine.ping(0, 0)
    machine.start(None, None, 1, 0)
    assert (machine.events, machine.pings) == (2, 1)


def test_a_long_name_is_cut():
    """Types come from the network: a megabyte of name is told as 64 characters."""
    machine = MessageState()
    machine.other("x" * 1_000_000, 0, 0)
    assert told(machine) == [("x" * MAX_NAME, 0)]
    assert MAX_NAME == 64


def test_our_own_events_are_told_and_not_counted():
    machine = MessageState()
    machine.own("stall", 5, {"kind": "silent"}, 9)
    assert told(machine, "count", "detail", "gap") == [("stall", 5, 0, {"kind": "silent"}, 9)]
    assert machine.events == 0


# --- Laws ------------------------------------------------------------------------------------------------------------

INDEXES = st.one_of(st.none(), st.integers(0, 3))
KINDS = st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "citations_delta", "signature_delta", "?"])
GAPS = st.integers(0, 10_000_000_000)
NAMES = st.one_of(st.none(), st.text(max_size=5))
CALLS = st.one_of(
    st.tuples(st.just("delta"), INDEXES, KINDS, st.integers(0, 50), GAPS),
    st.tuples(st.just("burst"), st.integers(0, 50)),
    st.tuples(st.just("waits")),
    st.tuples(st.just("start"), NAMES, NAMES, GAPS),
    st.tuples(st.just("block_start"), INDEXES, st.sampled_from(["text", "thinking", "tool_use", "", "?"]), GAPS),
    st.tuples(st.just("block_stop"), INDEXES, GAPS),
    st.tuples(st.just("finishing"), NAMES, GAPS),
    st.tuples(st.just("stop"), GAPS),
    st.tuples(st.just("ping"), GAPS),
    st.tuples(st.just("error"), NAMES, GAPS),
    st.tuples(st.just("other"), st.text(max_size=100), GAPS),
    st.tuples(st.just("own")),
    st.tuples(st.just("settle")),
)


def apply(machine, call, at):
    """One call as the session makes it; the number of SSE events that it stands for."""
    match call:
        case ("delta", index, kind, size, gap):
            machine.delta(index, kind, size, at, gap)
        case ("burst", size):
            if not machine.run.open:
                return 0
            machine.run.count += 1
            machine.run.characters += size
        case ("start", message_id, model, gap):
            machine.start(message_id, model, at, gap)
        case ("waits",) | ("settle",):
            getattr(machine, call[0])(at)
            return 0
        case ("own",):
            machine.own("stall", at, {})
            return 0
        case (("block_start" | "block_stop" | "finishing" | "error" | "other" | "stop" | "ping") as name, *arguments):
            *first, gap = arguments
            getattr(machine, name)(*first, at, gap)
    return 1


@settings(max_examples=200)
@given(st.sampled_from(["coalesce", "all", "none"]), st.integers(16, 120), st.lists(CALLS, max_size=120))
def test_any_sequence_of_calls_keeps_the_laws(deltas, budget, calls):
    """Nothing raises, the phase goes forward only, and every event is counted once, in totals and journal."""
    machine = MessageState(deltas=deltas, budget=budget)
    events, rank = 0, ORDER.index(machine.phase)
    for at, call in enumerate(calls):
        events += apply(machine, call, at)
        assert ORDER.index(machine.phase) >= rank
        rank = ORDER.index(machine.phase)
        assert machine.events == events
    machine.settle(len(calls))
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
        machine = MessageState(deltas=deltas)
        for at, call in enumerate(calls):
            match call:
                case ("burst", _):  # the shells' short cut exists while a run is open only, which `all` never is
                    continue
                case _:
                    apply(machine, call, at)
        machine.settle(len(calls))
        totals.append(
            (
                machine.events, machine.deltas, machine.others, machine.pings, machine.blocks, machine.characters,
                machine.longest_gap, machine.longest_ping_gap, machine.phase, machine.first_block,
            )
        )  # fmt: skip
    assert totals[0] == totals[1] == totals[2]


HANDED = {
    "nothing": ((), {}),
    "a start": ((("start", None, None, 0, 0),), {"started": True}),
    "an empty block": ((("block_start", 0, "text", 0, 0),), {}),
    "text": ((("delta", 0, "text_delta", 3, 0, 0), ("delta", 0, "text_delta", 4, 0, 0)), {"text": 7}),
    "text of two blocks": (
        (
            ("delta", 0, "text_delta", 3, 0, 0),
            ("block_stop", 0, 0, 0),
            ("block_start", 1, "text", 0, 0),
            ("delta", 1, "text_delta", 4, 0, 0),
        ),
        {"text": 7},
    ),
    "a citation": (
        (("delta", 0, "text_delta", 3, 0, 0), ("delta", 0, "citations_delta", 0, 0, 0)),
        {"text": 3, "citations": True},
    ),
    "a citation at first": ((("delta", 0, "citations_delta", 0, 0, 0),), {"citations": True}),
    "thinking that has only begun": ((("block_start", 0, "thinking", 0, 0),), {}),
    "thinking": ((("delta", 0, "thinking_delta", 3, 0, 0),), {"thinking": True}),
    "redacted thinking": ((("block_start", 0, "redacted_thinking", 0, 0),), {"thinking": True}),
    "a tool": ((("block_start", 0, "tool_use", 0, 0),), {"tool": True}),
    "a tool's input": ((("delta", 0, "input_json_delta", 3, 0, 0),), {"tool": True}),
    "a result": ((("block_start", 0, "web_search_tool_result", 0, 0),), {"tool": True}),
    "a block that nobody knows": ((("block_start", 0, "hologram", 0, 0),), {"other": True}),
    "a delta that nobody knows": ((("delta", 0, "hologram_delta", 0, 0, 0),), {"other": True}),
    "the end": ((("finishing", "end_turn", 0, 0),), {"finished": True}),
}


@pytest.mark.parametrize("handed", HANDED)
def test_what_the_caller_has_been_handed(handed):
    """What decides whether a replay would duplicate something."""
    events, expected = HANDED[handed]
    machine = MessageState()
    for name, *arguments in events:
        getattr(machine, name)(*arguments)
    assert machine.delivered == Delivered(**expected)


def test_a_block_may_begin_with_content():
    """Then the caller holds it with the start already."""
    machine = MessageState()
    machine.block_start(0, "text", 0, 0)
    machine.begins_with(5, thinking=False, citations=True)
    machine.delta(0, "text_delta", 2, 0, 0)
    machine.begins_with(0, thinking=True, citations=False)
    assert machine.delivered == Delivered(text=7, citations=True, thinking=True)


def test_characters_count_while_they_are_counted_up():
    machine = MessageState()
    machine.delta(0, "text_delta", 3, 0, 0)
    machine.block_stop(0, 0, 0)
    machine.delta(1, "thinking_delta", 4, 0, 0)
    assert (machine.characters, machine.all_characters) == (3, 7)


def test_what_an_attempt_said_of_its_usage():
    """Input with the cache; output only where it is final, as the placeholder of the start is none."""
    machine = MessageState()
    assert machine.said(final=True) == (0, 0)
    machine.usage(input_tokens=5, cache_read=3, cache_creation=2, final=False)
    assert machine.said(final=False) == (10, 0)
    machine.usage(output_tokens=9, final=True)
    assert (machine.said(final=False), machine.said(final=True)) == ((10, 0), (10, 9))
