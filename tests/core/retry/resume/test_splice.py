"""The events of a later attempt, joined to those that were delivered before."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_claude_stream._core.retry.policy import OnSeamMismatch, Resume, Strategy
from otel_claude_stream._core.retry.resume.seam import (
    BORDER,
    SeamFinder,
    SeamResult,
    anchor_of,
    is_distinctive,
    partial_of,
    repeated_part,
)
from otel_claude_stream._core.retry.resume.splice import SeamMismatch, Splice
from otel_claude_stream._core.stream.delivered import Delivered

TEXT = "The adapters had been written by three teams that did not talk to each other, so the interop"
ANCHOR = anchor_of(TEXT, 48)
ASK, PREFILL = Strategy.USER_CONTINUE, Strategy.PREFILL


# Minimal events.


def message(message_id="msg_2"):
    return "message_start", {"type": "message_start", "message": {"id": message_id, "content": [], "usage": {}}}


def start(index, block_type="text", **more):
    block = {"type": block_type, **({"text": ""} if block_type == "text" else {}), **more}
    return "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}


def text(index, content):
    return delta(index, "text_delta", text=content)


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


END = ("message_stop", {"type": "message_stop"})
PING = ("ping", {"type": "ping"})


def splice_all(splice, events):
    """Return all resulting events, and check that the input is not modified."""
    before = copy.deepcopy(events)
    found = [frame for name, data in events for frame in splice.take(name, data)]
    assert events == before
    return found


def resume_splice(strategy=ASK, open_index=0, next_index=1, delivered=TEXT, on_mismatch=OnSeamMismatch.FAIL):
    seam = SeamFinder(delivered, Resume(on_seam_mismatch=on_mismatch), strategy)
    return Splice.for_resume(seam, next_index=next_index, open_index=open_index, message_id="msg_1")


# ---------------------------------------------------------------------------------------------------------- retries

WHOLE = [message(), PING, start(0), text(0, "Hi"), stop(0), ended(), END]


def test_a_retry_before_anything_was_delivered_passes_unchanged():
    found = splice_all(Splice.for_retry(started=False), WHOLE)
    assert found == WHOLE
    assert all(new is old for (_, new), (_, old) in zip(found, WHOLE, strict=True))


def test_a_message_start_that_was_buffered_keeps_its_id():
    found = splice_all(Splice.for_retry(started=False, message_id="msg_1"), WHOLE)
    assert found == [message("msg_1"), *WHOLE[1:]]


@pytest.mark.parametrize("malformed", [{"type": "message_start"}, {"type": "message_start", "message": []}])
def test_a_malformed_message_start_passes_unchanged(malformed):
    assert Splice.for_retry(started=False, message_id="msg_1").take("message_start", malformed) == [
        ("message_start", malformed)
    ]


def test_a_message_start_that_was_delivered_comes_once():
    assert splice_all(Splice.for_retry(started=True, message_id="msg_1"), WHOLE) == WHOLE[1:]


def test_a_second_message_start_in_an_attempt_is_dropped():
    assert splice_all(Splice.for_retry(started=False), [message(), message()]) == [message()]


def test_an_empty_text_block_that_was_delivered_is_continued():
    splice = Splice.for_retry(started=True, next_index=1, open_index=0, open_type="text")
    assert splice_all(splice, WHOLE) == [PING, text(0, "Hi"), stop(0), ended(), END]


def test_text_in_the_start_of_a_block_is_not_lost():
    splice = Splice.for_retry(started=True, next_index=1, open_index=0, open_type="text")
    assert splice_all(splice, [start(0, text="Hi"), stop(0)]) == [text(0, "Hi"), stop(0)]


def test_only_the_first_text_block_continues_the_open_one():
    splice = Splice.for_retry(started=True, next_index=1, open_index=0, open_type="text")
    events = [start(0), text(0, "Hi"), start(1), text(1, "you"), stop(1), ended(), END]
    assert splice_all(splice, events) == [
        text(0, "Hi"), stop(0), start(1), text(1, "you"), stop(1), ended(), END,
    ]  # fmt: skip


def test_an_open_block_is_stopped_before_a_block_of_another_type():
    splice = Splice.for_retry(started=True, next_index=1, open_index=0, open_type="text")
    assert splice_all(splice, [start(0, "thinking"), stop(0), start(1), text(1, "Hi"), stop(1)]) == [
        stop(0), start(1, "thinking"), stop(1), start(2), text(2, "Hi"), stop(2),
    ]  # fmt: skip


THOUGHT = [
    message(), start(0, "thinking"), delta(0, "thinking_delta", thinking="Hm"), delta(0, "signature_delta"), stop(0),
    start(1, "redacted_thinking"), stop(1), start(2), text(2, "Hi"), stop(2), ended(), END,
]  # fmt: skip


def test_delivered_thinking_is_stopped_and_further_thinking_dropped():
    splice = Splice.for_retry(started=True, next_index=1, open_index=0, open_type="thinking", drop_thinking=True)
    assert splice_all(splice, THOUGHT) == [stop(0), start(1), text(1, "Hi"), stop(1), ended(), END]


def test_thinking_that_was_stopped_is_not_stopped_again():
    splice = Splice.for_retry(started=True, next_index=1, drop_thinking=True)
    assert splice_all(splice, THOUGHT) == [start(1), text(1, "Hi"), stop(1), ended(), END]


def test_blocks_left_open_are_stopped_before_the_end():
    assert splice_all(Splice.for_retry(started=False), [message(), start(0), ended(), END]) == [
        message(), start(0), stop(0), ended(), END,
    ]  # fmt: skip
    assert splice_all(Splice.for_retry(started=False), [message(), start(0), END]) == [
        message(),
        start(0),
        stop(0),
        END,
    ]


def test_each_block_is_stopped_once():
    events = [message(), start(0), start(1), stop(0), stop(1), stop(1)]
    assert splice_all(Splice.for_retry(started=False), events) == [message(), start(0), stop(0), start(1), stop(1)]


def test_the_end_of_the_message_comes_once():
    assert splice_all(Splice.for_retry(started=True), [ended(), ended(), END, END]) == [ended(), END]


def test_other_events_pass_unchanged():
    events = [PING, ("error", {"type": "error"}), ("brand_new", {"index": 7}), ("unknown", {})]
    assert splice_all(Splice.for_retry(started=True, next_index=3), events) == events
    assert splice_all(resume_splice(), events) == events


def test_malformed_events_pass_unchanged():
    events = [
        ("content_block_delta", {"index": [0]}),
        ("content_block_delta", {}),
        ("content_block_stop", {"index": "0"}),
        ("content_block_stop", {"index": 4}),
    ]
    assert splice_all(Splice.for_retry(started=True), events) == events
    malformed = ("content_block_start", {"content_block": {"type": ["text"]}})
    assert splice_all(Splice.for_retry(started=True), [malformed]) == [
        ("content_block_start", {**malformed[1], "index": 0})
    ]


# ---------------------------------------------------------------------------------------------------------- resumes

RESUMED = {
    "the anchor and the rest, in the open block": (
        ASK, 0,
        [message(), PING, start(0), text(0, ANCHOR[:9]), text(0, ANCHOR[9:] + "era"), text(0, "bility"),
         text(0, " tests"), stop(0), ended(), END],
        [PING, text(0, "erability"), text(0, " tests"), stop(0), ended(), END],
    ),
    "text in the start of its block": (
        ASK, 0, [start(0, text=ANCHOR + "erability"), text(0, " tests"), stop(0)],
        [text(0, "erability"), text(0, " tests"), stop(0)],
    ),
    "the rest of a prefilled turn": (
        PREFILL, 0, [message(), start(0), text(0, "erability"), stop(0), ended(), END],
        [text(0, "erability"), stop(0), ended(), END],
    ),
    "the answer was complete": (
        ASK, 0, [message(), start(0), text(0, ANCHOR), stop(0), ended(), END], [stop(0), ended(), END],
    ),
    "a short rest, buffered until the end": (
        ASK, 0, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), ended(), END],
        [text(0, "erability"), stop(0), ended(), END],
    ),
    "a short rest, and no message_delta": (
        ASK, 0, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), END],
        [text(0, "erability"), stop(0), END],
    ),
    "a short rest, and a block that is not stopped": (
        ASK, 0, [start(0), text(0, TEXT[-20:] + "erability"), ended(), END],
        [text(0, "erability"), stop(0), ended(), END],
    ),
    "a block that was stopped": (
        ASK, None, [start(0), text(0, ANCHOR), text(0, "erability"), stop(0), ended(), END],
        [start(1), text(1, "erability"), stop(1), ended(), END],
    ),
    "a block that was stopped, text in the start": (
        ASK, None, [start(0, text=ANCHOR + "erability"), text(0, " tests"), stop(0)],
        [start(1), text(1, "erability"), text(1, " tests"), stop(1)],
    ),
    "a block that was stopped, and no more text": (
        ASK, None, [start(0), text(0, ANCHOR), stop(0), ended(), END], [ended(), END],
    ),
    "thinking first": (
        ASK, 0,
        [start(0, "thinking"), delta(0, "thinking_delta"), stop(0), start(1), text(1, ANCHOR + "erability"), stop(1)],
        [text(0, "erability"), stop(0)],
    ),
    "more text blocks": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1), text(1, "And"), stop(1), ended(), END],
        [text(0, "era"), stop(0), start(1), text(1, "And"), stop(1), ended(), END],
    ),
    "thinking between the blocks": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1, "thinking"), delta(1, "thinking_delta"), stop(1)],
        [text(0, "era"), stop(0), start(1, "thinking"), delta(1, "thinking_delta"), stop(1)],
    ),
    "a tool after the rest": (
        ASK, 0,
        [start(0), text(0, ANCHOR + "era"), stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1),
         ended("tool_use"), END],
        [text(0, "era"), stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1), ended("tool_use"), END],
    ),
    "a tool after a short rest": (
        ASK, 0, [start(0), text(0, TEXT[-20:] + "era"), stop(0), start(1, "tool_use"), stop(1)],
        [text(0, "era"), stop(0), start(1, "tool_use"), stop(1)],
    ),
    "a tool after the anchor alone": (
        ASK, 0, [start(0), text(0, ANCHOR), start(1, "tool_use"), stop(1)],
        [stop(0), start(1, "tool_use"), stop(1)],
    ),
    "a tool first, in a prefilled turn": (
        PREFILL, 0, [start(0, "tool_use"), delta(0, "input_json_delta"), stop(0), start(1), text(1, "a"), stop(1),
                     ended(), END],
        [stop(0), start(1, "tool_use"), delta(1, "input_json_delta"), stop(1), start(2), text(2, "a"), stop(2),
         ended(), END],
    ),
    "a tool first, after a block that was stopped": (
        PREFILL, None, [start(0, "tool_use"), stop(0), ended(), END],
        [start(1, "tool_use"), stop(1), ended(), END],
    ),
    "a server tool after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), start(1, "server_tool_use"), stop(1)],
        [text(0, "era"), stop(0), start(1, "server_tool_use"), stop(1)],
    ),
    "citations after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), delta(0, "citations_delta"), stop(0)],
        [text(0, "era"), delta(0, "citations_delta"), stop(0)],
    ),
    "a refusal in the middle": (
        PREFILL, 0, [start(0), text(0, "era"), stop(0), ended("refusal"), END],
        [text(0, "era"), stop(0), ended("refusal"), END],
    ),
    "a refusal after a tool first": (
        PREFILL, 0, [start(0, "tool_use"), stop(0), ended("refusal"), END],
        [stop(0), start(1, "tool_use"), stop(1), ended("refusal"), END],
    ),
    "thinking after a short rest": (
        ASK, 0, [start(0), text(0, TEXT[-20:] + "era"), stop(0), start(1, "thinking"), stop(1), ended(), END],
        [text(0, "era"), stop(0), ended(), END],
    ),
    "white space that was delivered, and another text block": (
        ASK, 0, [start(0), text(0, ANCHOR + "erability."), stop(0), start(1), text(1, " So"), stop(1)],
        [text(0, "erability."), stop(0), start(1), text(1, " So"), stop(1)],
    ),
    "a block start without text": (
        ASK, 0, [start(0, text=None), text(0, ANCHOR + "erability")], [text(0, "erability")],
    ),
    "a delta without a block after the rest": (
        PREFILL, 0, [start(0), text(0, "era"), delta(7, "odd_delta")], [text(0, "era"), delta(7, "odd_delta")],
    ),
    "a stop without a block": (ASK, 0, [stop(7)], []),
}  # fmt: skip


@pytest.mark.parametrize(("strategy", "open_index", "events", "found"), RESUMED.values(), ids=RESUMED)
def test_a_resumed_text_continues_the_delivered_text(strategy, open_index, events, found):
    assert splice_all(resume_splice(strategy, open_index), events) == found


MISMATCHES = {
    "other words": (ASK, [start(0), text(0, "I cannot see any response."), stop(0), ended()], SeamResult.MISMATCH),
    "many other words": (ASK, [start(0), text(0, "other words " * 60)], SeamResult.MISMATCH),
    "a restart": (ASK, [start(0, text=TEXT[:60]), stop(0), ended()], SeamResult.RESTART),
    "no text": (ASK, [message(), start(0), stop(0), ended()], SeamResult.EMPTY),
    "no block": (ASK, [message(), ended()], SeamResult.EMPTY),
    "no block, in a prefilled turn": (PREFILL, [message(), ended()], SeamResult.EMPTY),
    "no end either": (ASK, [message(), END], SeamResult.EMPTY),
    "thinking alone": (ASK, [start(0, "thinking"), stop(0), ended()], SeamResult.EMPTY),
    "a tool first": (ASK, [start(0, "tool_use")], SeamResult.EMPTY),
    "a tool after nothing": (ASK, [start(0), stop(0), start(1, "tool_use")], SeamResult.EMPTY),
    "a server tool first": (PREFILL, [start(0, "server_tool_use")], SeamResult.MISMATCH),
    "a server tool after the anchor": (
        ASK, [start(0), text(0, ANCHOR), stop(0), start(1, "server_tool_use")], SeamResult.MISMATCH,
    ),
    "citations before the rest": (ASK, [start(0), delta(0, "citations_delta")], SeamResult.MISMATCH),
    "citations in the start": (PREFILL, [start(0, citations=[{}])], SeamResult.MISMATCH),
    "a refusal before the rest": (
        ASK, [start(0), text(0, TEXT[-20:] + "erability"), stop(0), ended("refusal")], SeamResult.MISMATCH,
    ),
    "a refusal first": (PREFILL, [message(), ended("refusal")], SeamResult.MISMATCH),
    "a text delta without text": (PREFILL, [start(0), delta(0, "text_delta")], SeamResult.MISMATCH),
    "a delta without a block": (PREFILL, [text(0, "era")], SeamResult.MISMATCH),
    "a block start without an index": (
        PREFILL, [("content_block_start", {"content_block": {"type": "text"}})], SeamResult.MISMATCH,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("strategy", "events", "result"), MISMATCHES.values(), ids=MISMATCHES)
@pytest.mark.parametrize("open_index", [0, None])
def test_a_resumed_text_that_does_not_fit_releases_nothing(strategy, events, result, open_index):
    splice, found = resume_splice(strategy, open_index), []
    for name, data in events[:-1]:
        found += splice.take(name, data)
    with pytest.raises(SeamMismatch) as raised:
        splice.take(*events[-1])
    assert raised.value.result is result
    assert str(raised.value) == (
        f"the resumed text does not join the delivered text ({result.value}); the original error stands"
    )
    assert found == []


def test_a_policy_may_accept_other_words():
    splice = resume_splice(on_mismatch=OnSeamMismatch.NEWLINE)
    events = [start(0), text(0, "other words"), stop(0), ended(), END]
    assert splice_all(splice, events) == [text(0, "\nother words"), stop(0), ended(), END]


# ------------------------------------------------------------------------------------------------------ the properties


class Caller:
    """A strict accumulator of the delivered events."""

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
            content = data["delta"].get("text", data["delta"].get("thinking", ""))
            self.blocks[index][1] += content
            account.block_delta(index, data["delta"]["type"], self.blocks[index][0])
            account.keep_text(content if data["delta"]["type"] == "text_delta" else "")
        elif name == "content_block_stop":
            assert index == self.open
            self.open = None
            account.block_stop(index)
        elif name in ("message_delta", "message_stop"):
            assert self.open is None
            assert name not in self.ends
            self.ends.append(name)

    def text(self):
        return "".join(content for kind, content in self.blocks if kind == "text")


def answer(kinds_and_texts, sizes, message_id="msg_1"):
    """Return the events of a whole answer, with each text in pieces of one of the sizes."""
    events = [message(message_id), PING]
    for index, (kind, content) in enumerate(kinds_and_texts):
        size = sizes[index % len(sizes)]
        events.append(start(index, kind))
        for at in range(0, len(content), size):
            piece = content[at : at + size]
            is_text = kind == "text"
            events.append(text(index, piece) if is_text else delta(index, "thinking_delta", thinking=piece))
        events.append(stop(index))
    return [*events, ended(), END]


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)
TEXTS = st.text(st.sampled_from("abcdefg hij\n"), min_size=1, max_size=120).filter(str.strip)


def test_another_text_block_after_delivered_white_space_is_a_mismatch():
    """It may begin with that white space again, or with more of it."""
    splice = resume_splice(delivered=TEXT + " ")
    with pytest.raises(SeamMismatch):
        splice_all(splice, [start(0), text(0, ANCHOR), stop(0), start(1), text(1, " So")])


@given(
    st.lists(TEXTS, min_size=1, max_size=3),
    st.lists(st.tuples(SIZES, st.integers(0, 500), st.sampled_from([ASK, PREFILL]), st.booleans()), max_size=4),
)
def test_an_answer_that_failed_repeatedly_reads_as_one(texts, failures):
    """The answer is cut anywhere before its end and resumed correctly, any number of times.

    Resumed answers may fail too, before or after the seam. The result has each character once, each block in its
    place, one start and one end. In repetitive texts a seam may be refused. The caller then has a beginning.
    """
    caller, whole = Caller(), "".join(texts)
    events, splice = answer([("text", content) for content in texts], [3]), Splice.for_retry(started=False)
    for sizes, cut, strategy, with_thinking in failures:
        # Some text comes before the first cut. Without it the answer would be retried, not resumed.
        at_least = 4 if not caller.account.full_text else 0
        for name, data in splice_all(splice, events[: at_least + cut % (len(events) - 1 - at_least)]):
            caller.take(name, data)
        account = caller.account
        partial = partial_of(account.full_text)
        rest = partial.space + whole[len(account.full_text) :]
        content = rest if strategy is PREFILL else anchor_of(partial.stem, 48) + rest
        if not partial.stem or not content:
            return
        seam = SeamFinder(account.full_text, Resume(min_overlap=1), strategy)
        splice = Splice.for_resume(
            seam, next_index=account.next_index, open_index=account.open_text_index, message_id=account.message_id
        )
        events = answer([*[("thinking", "Hm, go on")] * with_thinking, ("text", content)], sizes, "msg_2")
        try:
            splice_all(copy.deepcopy(splice), events)
        except SeamMismatch:
            anchor = anchor_of(partial.stem, 48)
            goes_round = rest.lstrip()[:BORDER] == anchor[:BORDER]
            assert goes_round or not is_distinctive(anchor, repeated_part(partial.stem))
            assert whole.startswith(caller.text())
            return
    for name, data in splice_all(splice, events):
        caller.take(name, data)
    assert caller.text() == caller.account.full_text == whole
    assert caller.ids == ["msg_1"]
    assert caller.ends == ["message_delta", "message_stop"]


@given(st.integers(0, 7), st.lists(st.tuples(st.sampled_from(["text", "thinking"]), TEXTS), max_size=3), SIZES)
def test_a_retried_answer_reads_as_one(cut, blocks, sizes):
    """The answer is cut before its text, with or without delivered thinking, and retried from the start."""
    caller = Caller()
    for name, data in answer([("thinking", "Hm, let me see"), ("text", "x")], [5])[: 1 + cut]:
        caller.take(name, data)
    account = caller.account
    splice = Splice.for_retry(
        started=True,
        message_id=account.message_id,
        next_index=account.next_index,
        open_index=account.open_index,
        open_type=account.open_type,
        drop_thinking=account.thinking,
    )
    for name, data in splice_all(splice, answer(blocks, sizes, "msg_2")):
        caller.take(name, data)
    assert caller.text() == "".join(content for kind, content in blocks if kind == "text")
    assert caller.ids == ["msg_1"]
    assert caller.ends == ["message_delta", "message_stop"]
