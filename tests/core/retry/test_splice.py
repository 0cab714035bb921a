"""The events of a later attempt, joined to those that the caller had: a row for each case, and the law over all."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy
from otel_claude_stream._core.retry.resume.partial_text import anchor_of, partial_of
from otel_claude_stream._core.retry.resume.seam import SeamFinder, SeamResult
from otel_claude_stream._core.retry.resume.splice import SeamMismatch, Splice
from otel_claude_stream._core.stream.delivered import Delivered

TEXT = "The adapters had been written by three teams that did not talk to each other, so the interop"
ANCHOR = anchor_of(TEXT, 48)
ASKED, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL


# Events, as short as they can be.


def message(message_id="msg_2"):
    return "message_start", {"type": "message_start", "message": {"id": message_id, "content": [], "usage": {}}}


def start(index, block_type="text", **more):
    block = {"type": block_type, **({"text": ""} if block_type == "text" else {}), **more}
    return "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}


def text(index, said):
    return delta(index, "text_delta", text=said)


def delta(index, delta_type, **more):
    return "content_block_delta", {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": delta_type, **more},
    }


def stop(index):
    return "content_block_stop", {"type": "content_block_stop", "index": index}


def ended(reason="end_turn"):
    return "message_delta", {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}


OVER = ("message_stop", {"type": "message_stop"})
PING = ("ping", {"type": "ping"})


def taken(splice, events):
    """All that comes out; what went in is not changed."""
    before = copy.deepcopy(events)
    found = [frame for name, data in events for frame in splice.take(name, data)]
    assert events == before
    return found


def resumed(strategy=ASKED, open_index=0, next_index=1, delivered=TEXT, on_mismatch=OnSeamMismatch.FAIL):
    seam = SeamFinder(delivered, Resume(on_seam_mismatch=on_mismatch), strategy)
    return Splice.resumed(seam, next_index=next_index, open_index=open_index, message_id="msg_1")


# --------------------------------------------------------------------------------------------------------- the replays

WHOLE = [message(), PING, start(0), text(0, "Hi"), stop(0), ended(), OVER]


def test_a_replay_before_anything_was_handed_out_is_the_new_attempt_itself():
    found = taken(Splice.replay(started=False), WHOLE)
    assert found == WHOLE
    assert all(ours is theirs for (_, ours), (_, theirs) in zip(found, WHOLE, strict=True))


def test_a_start_that_was_held_back_keeps_its_id():
    found = taken(Splice.replay(started=False, message_id="msg_1"), WHOLE)
    assert found == [message("msg_1"), *WHOLE[1:]]


@pytest.mark.parametrize("odd", [{"type": "message_start"}, {"type": "message_start", "message": []}])
def test_an_odd_start_comes_as_it_is(odd):
    assert Splice.replay(started=False, message_id="msg_1").take("message_start", odd) == [("message_start", odd)]


def test_a_start_that_was_handed_out_comes_once():
    assert taken(Splice.replay(started=True, message_id="msg_1"), WHOLE) == WHOLE[1:]


def test_a_second_start_within_an_attempt_is_dropped():
    assert taken(Splice.replay(started=False), [message(), message()]) == [message()]


def test_an_empty_text_block_that_was_handed_out_is_gone_on_with():
    splice = Splice.replay(started=True, next_index=1, open_index=0, open_type="text")
    assert taken(splice, WHOLE) == [PING, text(0, "Hi"), stop(0), ended(), OVER]


def test_what_a_text_block_begins_with_is_not_lost():
    splice = Splice.replay(started=True, next_index=1, open_index=0, open_type="text")
    assert taken(splice, [start(0, text="Hi"), stop(0)]) == [text(0, "Hi"), stop(0)]


def test_only_the_first_text_block_goes_on_in_the_open_one():
    splice = Splice.replay(started=True, next_index=1, open_index=0, open_type="text")
    events = [start(0), text(0, "Hi"), start(1), text(1, "you"), stop(1), ended(), OVER]
    assert taken(splice, events) == [
        text(0, "Hi"), stop(0), start(1), text(1, "you"), stop(1), ended(), OVER,
    ]  # fmt: skip


def test_an_open_block_of_another_kind_is_stopped_first():
    splice = Splice.replay(started=True, next_index=1, open_index=0, open_type="text")
    assert taken(splice, [start(0, "thinking"), stop(0), start(1), text(1, "Hi"), stop(1)]) == [
        stop(0), start(1, "thinking"), stop(1), start(2), text(2, "Hi"), stop(2),
    ]  # fmt: skip


THOUGHT = [
    message(), start(0, "thinking"), delta(0, "thinking_delta", thinking="Hm"), delta(0, "signature_delta"), stop(0),
    start(1, "redacted_thinking"), stop(1), start(2), text(2, "Hi"), stop(2), ended(), OVER,
]  # fmt: skip


def test_thinking_that_the_caller_has_is_stopped_and_gets_no_more():
    splice = Splice.replay(started=True, next_index=1, open_index=0, open_type="thinking", drop_thinking=True)
    assert taken(splice, THOUGHT) == [stop(0), start(1), text(1, "Hi"), stop(1), ended(), OVER]


def test_thinking_that_had_been_stopped_is_not_stopped_again():
    splice = Splice.replay(started=True, next_index=1, drop_thinking=True)
    assert taken(splice, THOUGHT) == [start(1), text(1, "Hi"), stop(1), ended(), OVER]


def test_blocks_left_open_are_stopped_before_the_end():
    assert taken(Splice.replay(started=False), [message(), start(0), ended(), OVER]) == [
        message(), start(0), stop(0), ended(), OVER,
    ]  # fmt: skip
    assert taken(Splice.replay(started=False), [message(), start(0), OVER]) == [message(), start(0), stop(0), OVER]


def test_each_block_is_stopped_once():
    events = [message(), start(0), start(1), stop(0), stop(1), stop(1)]
    assert taken(Splice.replay(started=False), events) == [message(), start(0), stop(0), start(1), stop(1)]


def test_the_end_comes_once():
    assert taken(Splice.replay(started=True), [ended(), ended(), OVER, OVER]) == [ended(), OVER]


def test_other_events_come_as_they_are():
    events = [PING, ("error", {"type": "error"}), ("brand_new", {"index": 7}), ("odd", {})]
    assert taken(Splice.replay(started=True, next_index=3), events) == events
    assert taken(resumed(), events) == events


def test_events_of_odd_shapes_come_as_they_are():
    events = [
        ("content_block_delta", {"index": [0]}),
        ("content_block_delta", {}),
        ("content_block_stop", {"index": "0"}),
        ("content_block_stop", {"index": 4}),
    ]
    assert taken(Splice.replay(started=True), events) == events
    odd = ("content_block_start", {"content_block": {"type": ["text"]}})
    assert taken(Splice.replay(started=True), [odd]) == [("content_block_start", {**odd[1], "index": 0})]


# --------------------------------------------------------------------------------------------------- the continuations

CONTINUED = {
    "the anchor and the rest, in the open block": (
        ASKED, 0,
        [message(), PING, start(0), text(0, ANCHOR[:9]), text(0, ANCHOR[9:] + "era"), text(0, "bility"), stop(0),
         ended(), OVER],
        [PING, text(0, "era"), text(0, "bility"), stop(0), ended(), OVER],
    ),
    "text in the start of its block": (
        ASKED, 0, [start(0, text=ANCHOR + "era"), text(0, "bility"), stop(0)],
        [text(0, "era"), text(0, "bility"), stop(0)],
    ),
    "the rest of the turn itself": (
        PREFILL, 0, [message(), start(0), text(0, "erability"), stop(0), ended(), OVER],
        [text(0, "erability"), stop(0), ended(), OVER],
    ),
    "the answer was complete": (
        ASKED, 0, [message(), start(0), text(0, ANCHOR), stop(0), ended(), OVER], [stop(0), ended(), OVER],
    ),
    "a short rest, held until the end": (
        ASKED, 0, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), ended(), OVER],
        [text(0, "erability"), stop(0), ended(), OVER],
    ),
    "a short rest, and the message stops without its end": (
        ASKED, 0, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), OVER],
        [text(0, "erability"), stop(0), OVER],
    ),
    "a short rest, and a block that is not stopped": (
        ASKED, 0, [start(0), text(0, TEXT[-20:] + "erability"), ended(), OVER],
        [text(0, "erability"), stop(0), ended(), OVER],
    ),
    "a block that had been stopped": (
        ASKED, None, [start(0), text(0, ANCHOR), text(0, "erability"), stop(0), ended(), OVER],
        [start(1), text(1, "erability"), stop(1), ended(), OVER],
    ),
    "a block that had been stopped, text in the start": (
        ASKED, None, [start(0, text=ANCHOR + "era"), text(0, "bility"), stop(0)],
        [start(1), text(1, "era"), text(1, "bility"), stop(1)],
    ),
    "a block that had been stopped, and nothing more": (
        ASKED, None, [start(0), text(0, ANCHOR), stop(0), ended(), OVER], [ended(), OVER],
    ),
    "thinking first": (
        ASKED, 0,
        [start(0, "thinking"), delta(0, "thinking_delta"), stop(0), start(1), text(1, ANCHOR + "era"), stop(1)],
        [text(0, "era"), stop(0)],
    ),
    "more text blocks": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1), text(1, "And"), stop(1), ended(), OVER],
        [text(0, "era"), stop(0), start(1), text(1, "And"), stop(1), ended(), OVER],
    ),
    "thinking between the blocks": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1, "thinking"), delta(1, "thinking_delta"), stop(1)],
        [text(0, "era"), stop(0), start(1, "thinking"), delta(1, "thinking_delta"), stop(1)],
    ),
    "a tool after the rest": (
        ASKED, 0,
        [start(0), text(0, ANCHOR + "era"), stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1),
         ended("tool_use"), OVER],
        [text(0, "era"), stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1), ended("tool_use"), OVER],
    ),
    "a tool after a short rest": (
        ASKED, 0, [start(0), text(0, TEXT[-20:] + "era"), stop(0), start(1, "tool_use"), stop(1)],
        [text(0, "era"), stop(0), start(1, "tool_use"), stop(1)],
    ),
    "a tool after the anchor alone": (
        ASKED, 0, [start(0), text(0, ANCHOR), start(1, "tool_use"), stop(1)],
        [stop(0), start(1, "tool_use"), stop(1)],
    ),
    "a tool at once, in the turn itself": (
        PREFILL, 0, [start(0, "tool_use"), delta(0, "input_json_delta"), stop(0), start(1), text(1, "a"), stop(1),
                     ended(), OVER],
        [stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1), start(2), text(2, "a"), stop(2),
         ended(), OVER],
    ),
    "a tool at once, after a block that had been stopped": (
        PREFILL, None, [start(0, "tool_use"), stop(0), ended(), OVER],
        [start(1, "tool_use"), stop(1), ended(), OVER],
    ),
    "a tool of the server's after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1, "server_tool_use"), stop(1)],
        [text(0, "era"), stop(0), start(1, "server_tool_use"), stop(1)],
    ),
    "citations after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), delta(0, "citations_delta"), stop(0)],
        [text(0, "era"), delta(0, "citations_delta"), stop(0)],
    ),
    "a refusal in the middle": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), ended("refusal"), OVER],
        [text(0, "era"), stop(0), ended("refusal"), OVER],
    ),
    "a refusal after a tool at once": (
        PREFILL, 0, [start(0, "tool_use"), stop(0), ended("refusal"), OVER],
        [stop(0), start(1, "tool_use"), stop(1), ended("refusal"), OVER],
    ),
    "thinking after a short rest": (
        ASKED, 0, [start(0), text(0, TEXT[-20:] + "era"), stop(0), start(1, "thinking"), stop(1), ended(), OVER],
        [text(0, "era"), stop(0), ended(), OVER],
    ),
    "a start that has no text to say": (ASKED, 0, [start(0, text=None), text(0, ANCHOR + "era")], [text(0, "era")]),
    "a delta of nowhere after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), delta(7, "odd_delta")], [text(0, "era"), delta(7, "odd_delta")],
    ),
    "a stop of nowhere": (ASKED, 0, [stop(7)], []),
}  # fmt: skip


@pytest.mark.parametrize(("strategy", "open_index", "events", "found"), CONTINUED.values(), ids=CONTINUED)
def test_how_a_continuation_goes_on(strategy, open_index, events, found):
    assert taken(resumed(strategy, open_index), events) == found


REFUSED = {
    "other words": (ASKED, [start(0), text(0, "I cannot see any response."), stop(0), ended()], SeamResult.MISMATCH),
    "many other words": (ASKED, [start(0), text(0, "other words " * 60)], SeamResult.MISMATCH),
    "from the beginning": (ASKED, [start(0, text=TEXT[:60]), stop(0), ended()], SeamResult.RESTART),
    "no text": (ASKED, [message(), start(0), stop(0), ended()], SeamResult.EMPTY),
    "no block": (ASKED, [message(), ended()], SeamResult.EMPTY),
    "no block, in the turn itself": (PREFILL, [message(), ended()], SeamResult.EMPTY),
    "no end either": (ASKED, [message(), OVER], SeamResult.EMPTY),
    "thinking alone": (ASKED, [start(0, "thinking"), stop(0), ended()], SeamResult.EMPTY),
    "a tool at once": (ASKED, [start(0, "tool_use")], SeamResult.EMPTY),
    "a tool after nothing": (ASKED, [start(0), stop(0), start(1, "tool_use")], SeamResult.EMPTY),
    "a tool of the server's at once": (PREFILL, [start(0, "server_tool_use")], SeamResult.MISMATCH),
    "a tool of the server's after the anchor": (
        ASKED, [start(0), text(0, ANCHOR), stop(0), start(1, "server_tool_use")], SeamResult.MISMATCH,
    ),
    "citations before the rest": (ASKED, [start(0), delta(0, "citations_delta")], SeamResult.MISMATCH),
    "citations in the start": (PREFILL, [start(0, citations=[{}])], SeamResult.MISMATCH),
    "a refusal before the rest": (
        ASKED, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), ended("refusal")], SeamResult.MISMATCH,
    ),
    "a refusal at once": (PREFILL, [message(), ended("refusal")], SeamResult.MISMATCH),
    "a delta of text without any": (PREFILL, [start(0), delta(0, "text_delta")], SeamResult.MISMATCH),
    "a delta of nowhere": (PREFILL, [text(0, "era")], SeamResult.MISMATCH),
    "a start of nowhere": (
        PREFILL, [("content_block_start", {"content_block": {"type": "text"}})], SeamResult.MISMATCH,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("strategy", "events", "result"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("open_index", [0, None])
def test_a_continuation_that_does_not_fit_hands_on_nothing(strategy, events, result, open_index):
    splice, found = resumed(strategy, open_index), []
    for name, data in events[:-1]:
        found += splice.take(name, data)
    with pytest.raises(SeamMismatch) as raised:
        splice.take(*events[-1])
    assert raised.value.result is result
    assert str(raised.value) == f"the continuation does not fit what was delivered: {result.value}"
    assert found == []


def test_a_policy_may_want_other_words_all_the_same():
    splice = resumed(on_mismatch=OnSeamMismatch.NEWLINE)
    events = [start(0), text(0, "other words"), stop(0), ended(), OVER]
    assert taken(splice, events) == [text(0, "\nother words"), stop(0), ended(), OVER]


# ------------------------------------------------------------------------------------------------------------- the law


class Caller:
    """What an application holds: an accumulator as strict as can be."""

    def __init__(self):
        self.ids, self.blocks, self.open, self.ends = [], [], None, []
        self.account = Delivered(pieces=[])

    def take(self, name, data):
        account, index = self.account, data.get("index")
        if name == "message_start":
            assert not self.ids
            self.ids.append(data["message"]["id"])
            account.message_start(data["message"]["id"])
        elif name == "content_block_start":
            assert self.ids
            assert self.open is None
            assert index == len(self.blocks)
            block = data["content_block"]
            self.blocks.append([block["type"], block.get("text", "")])
            self.open = index
            account.block_start(index, block["type"])
            account.keep_text(block.get("text", "") if block["type"] == "text" else "")
        elif name == "content_block_delta":
            assert index == self.open
            said = data["delta"].get("text", data["delta"].get("thinking", ""))
            self.blocks[index][1] += said
            account.block_delta(index, data["delta"]["type"], self.blocks[index][0])
            account.keep_text(said if data["delta"]["type"] == "text_delta" else "")
        elif name == "content_block_stop":
            assert index == self.open
            self.open = None
            account.block_stop(index)
        elif name in ("message_delta", "message_stop"):
            assert self.open is None
            assert name not in self.ends
            self.ends.append(name)

    def text(self):
        return "".join(said for kind, said in self.blocks if kind == "text")


def answer(kinds_and_texts, sizes, message_id="msg_1"):
    """The events of a whole answer; each text comes in pieces of one of the sizes."""
    events = [message(message_id), PING]
    for index, (kind, said) in enumerate(kinds_and_texts):
        size = sizes[index % len(sizes)]
        events.append(start(index, kind))
        for at in range(0, len(said), size):
            piece = said[at : at + size]
            is_text = kind == "text"
            events.append(text(index, piece) if is_text else delta(index, "thinking_delta", thinking=piece))
        events.append(stop(index))
    return [*events, ended(), OVER]


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)
PROSE = st.text(st.sampled_from("abcdefg hij\n"), min_size=1, max_size=120).filter(str.strip)


@given(
    st.lists(PROSE, min_size=1, max_size=3),
    st.lists(st.tuples(SIZES, st.integers(0, 500), st.sampled_from([ASKED, PREFILL]), st.booleans()), max_size=4),
)
def test_an_answer_that_broke_again_and_again_reads_as_one(texts, failures):
    """Cut anywhere before its end and continued faithfully, any number of times, with the seam found or not when the
    continuation broke as well: each character once, each block in its place, one start, one end.
    """
    caller, whole = Caller(), "".join(texts)
    events, splice = answer([("text", said) for said in texts], [3]), Splice.replay(started=False)
    for sizes, cut, strategy, thinks in failures:
        # Some text came before the first cut: without it the answer would be told again, not continued.
        at_least = 4 if not caller.account.full_text else 0
        for name, data in taken(splice, events[: at_least + cut % (len(events) - 1 - at_least)]):
            caller.take(name, data)
        account = caller.account
        partial = partial_of(account.full_text)
        rest = partial.space + whole[len(account.full_text) :]
        said = rest if strategy is PREFILL else anchor_of(partial.stem, 48) + rest
        if not partial.stem or not said:
            return
        seam = SeamFinder(account.full_text, Resume(min_overlap=1), strategy)
        splice = Splice.resumed(
            seam, next_index=account.next_index, open_index=account.open_text_index, message_id=account.message_id
        )
        events = answer([*[("thinking", "Hm, go on")] * thinks, ("text", said)], sizes, "msg_2")
    for name, data in taken(splice, events):
        caller.take(name, data)
    assert caller.text() == caller.account.full_text == whole
    assert caller.ids == ["msg_1"]
    assert caller.ends == ["message_delta", "message_stop"]


@given(st.integers(0, 7), st.lists(st.tuples(st.sampled_from(["text", "thinking"]), PROSE), max_size=3), SIZES)
def test_a_replayed_answer_reads_as_one(cut, blocks, sizes):
    """Cut before text, hidden thinking delivered or not, told again: the text once, one start, one end."""
    caller = Caller()
    for name, data in answer([("thinking", "Hm, let me see"), ("text", "x")], [5])[: 1 + cut]:
        caller.take(name, data)
    account = caller.account
    splice = Splice.replay(
        started=True,
        message_id=account.message_id,
        next_index=account.next_index,
        open_index=account.open_index,
        open_type=account.open_type,
        drop_thinking=account.thinking,
    )
    for name, data in taken(splice, answer(blocks, sizes, "msg_2")):
        caller.take(name, data)
    assert caller.text() == "".join(said for kind, said in blocks if kind == "text")
    assert caller.ids == ["msg_1"]
    assert caller.ends == ["message_delta", "message_stop"]
