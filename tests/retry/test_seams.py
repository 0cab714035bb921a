"""Each kind of seam between a text that broke and what the API goes on with, through the real SDK."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support.received import assert_one_message, raw, text
from tests.support.rig import API, REQUEST, by, instrumented, read, shown
from tests.support.scenes import STORY, after, told
from tests.support.story import REFUSES_PREFILL

from otel_claude_stream._core.retry.policy import Mode, OnSeamMismatch, Resume, RetryLimits, RetryPolicy, Strategy
from otel_claude_stream._core.retry.resume.request import PROMPT
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Script

CODE = STORY[:30] + "\n\n```python\nprint('the quick brown fox')\nfor fox in range(10):\n    jump(over=dog)\n```\nSo."
ACCENTED = (
    "Ein naïver Größenwahn: 日本語のテキスト, 😀 und so weiter, bis der Morgen über den Hügeln graut, ganz leise."
)
BROKE = CutMidChunk()
ANCHOR = 48
PREFILL = Resume(strategy=Strategy.PREFILL)


def message(*steps: Event | Script) -> Script:
    """A message of these events between its start and its end."""
    whole = told("filler words here")
    return replace(whole, steps=(whole.steps[0], *steps, *whole.steps[-2:]))


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> tuple[Event, ...]:
    """A block, whole."""
    return (
        Event("content_block_start", {"type": "content_block_start", "index": index, "content_block": start}),
        *(
            Event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
            for delta in deltas
        ),
        Event("content_block_stop", {"type": "content_block_stop", "index": index}),
    )


def says(text: str) -> dict[str, Any]:
    """A delta of text."""
    return {"type": "text_delta", "text": text}


TEXT = {"type": "text", "text": ""}
TOOL = block(
    0,
    {"type": "tool_use", "id": "toolu_1", "name": "jump", "input": {}},
    {"type": "input_json_delta", "partial_json": "{}"},
)


def refusing() -> Script:
    """A message that is a refusal."""
    whole = told("I cannot go on with this.")
    last = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 1}}
    return replace(whole, steps=(*whole.steps[:-2], Event("message_delta", last), whole.steps[-1]))


@dataclass(frozen=True)
class Seam:
    """A text, where it breaks, and what the API answers to the request that continues it."""

    answer: Script | tuple[Script, ...]
    found: str
    """What the span says of the seam."""
    whole: bool = True
    """The caller gets the whole text; else the part before the break, and the error."""
    text: str = STORY
    at: int = 83
    resume: Resume = field(default_factory=Resume)
    way: str = "create"


def went_on(at: int, text: str = STORY, repeats: int = ANCHOR) -> str:
    """The continuation as asked for."""
    return text[at - repeats : at] + text[at:]


SEAMS = {
    "exact, as the rest of the turn": Seam(told(STORY[83:]), "exact", resume=PREFILL),
    "exact, the white space again": Seam(told(STORY[77:]), "exact", at=78, resume=PREFILL),
    "anchor": Seam(told(went_on(83)), "anchor"),
    "mid-word": Seam(told(went_on(82)), "anchor", at=82),
    "more than the anchor": Seam(told(STORY[20:]), "anchor"),
    "overlap": Seam(told(STORY[83 - 12 :]), "overlap"),
    "overlap too short": Seam(told(STORY[83 - 6 :]), "mismatch", whole=False),
    "all of it again": Seam(told(STORY), "anchor"),
    "restart": Seam(told(STORY[:60] + "and then did something else altogether."), "restart", whole=False),
    "preamble": Seam(told("Here is the rest of it: " + went_on(83)), "preamble"),
    "white space before": Seam(told("\n\n" + went_on(83)), "anchor"),
    "white space at the break": Seam(told(went_on(77)), "anchor", at=78),
    "white space inside differs": Seam(told(went_on(83).replace("the old", "the\nold")), "anchor"),
    "code fence": Seam(told("```python\n" + went_on(98, CODE)), "anchor", text=CODE, at=98),
    "nothing of it": Seam(told("Of course! What shall we talk about? " * 20), "mismatch", whole=False),
    "nothing of it, and little": Seam(told("Of course!"), "mismatch", whole=False),
    "no text": Seam(message(), "empty", whole=False),
    "tool call instead of text": Seam(message(*TOOL), "empty", whole=False),
    "refusal": Seam(refusing(), "mismatch", whole=False),
    "accents": Seam(told(went_on(70, ACCENTED)), "anchor", text=ACCENTED, at=70),
    "mismatch, a new line": Seam(
        told("Of course!"), "mismatch", whole=False, resume=Resume(on_seam_mismatch=OnSeamMismatch.NEWLINE)
    ),
}


def partial(text: str, at: int, how: Any = BROKE) -> Script:
    """The text up to the break, in ten pieces."""
    return after(told(text[:at]), 13, how)


def asked(api: API) -> list[dict[str, Any]]:
    """The bodies of the requests."""
    return [json.loads(request.content) for request in api.seen]


class Watched(API):
    """Keeps the requests."""

    def __init__(self, scripts: Any) -> None:
        super().__init__(scripts)
        self.seen: list[Any] = []

    def _answer(self, request: Any) -> Any:
        self.seen.append(request)
        return super()._answer(request)


def played(monkeypatch, scripts, way="create", policy=None, **request):
    """What the caller saw, the API, and the spans."""
    api = Watched(scripts)
    policy = policy or RetryPolicy(mode=Mode.RESUME)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        seen = read(api, way, **request)
    return seen, api, [shown(span) for span in capture.spans()]


def told_seams(spans: list[dict[str, Any]]) -> list[str]:
    """The seams that the span of the stream tells."""
    return [said[".resume.seam"] for _, name, said in spans[-1]["events"] if name == ".resume"]


def bare(monkeypatch, scripts, way="create", **request):
    api = API(scripts)
    with by(api.clock, monkeypatch):
        return read(api, way, **request)


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("name", SEAMS)
def test_a_seam(monkeypatch, name, way):
    """The caller gets the whole text, or what he had and the error that he would have got; the span says which seam."""
    seam = SEAMS[name]
    broke = partial(seam.text, seam.at)
    seen, api, spans = played(monkeypatch, [broke, seam.answer], way, RetryPolicy(mode=Mode.RESUME, resume=seam.resume))
    events = raw(seen.events)
    assert_one_message(events)
    assert api.requests == 2
    stream = spans[-1]["attributes"]
    assert told_seams(spans) == [seam.found]
    if seam.whole:
        assert (text(events), seen.error) == (seam.text, [])
        assert (stream[".resumed"], stream[".outcome"]) == (True, "completed")
        assert events[0]["message"]["id"] == "msg_01XFDUDYJgAACzvnptvVoYEL"
        return
    assert (".resumed" in stream) is (seam.resume.on_seam_mismatch is not OnSeamMismatch.FAIL)
    if seam.resume.on_seam_mismatch is OnSeamMismatch.FAIL:
        assert seen == bare(monkeypatch, broke, way)
    else:
        assert (text(events), seen.error) == (seam.text[: seam.at] + "\nOf course!", [])


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("said", REFUSES_PREFILL)
def test_a_model_that_refuses_the_start_of_its_answer_is_asked(monkeypatch, said, way):
    """400 in one of the known texts: one more request, of the other form. The table of models may be behind."""
    refused = Script.http_error(400, message=said)
    seen, api, spans = played(
        monkeypatch,
        [partial(STORY, 83), refused, told(went_on(83))],
        way,
        RetryPolicy(mode=Mode.RESUME, resume=PREFILL),
    )
    assert (text(raw(seen.events)), seen.error) == (STORY, [])
    _, prefilled, asked_for = asked(api)
    assert [turn["role"] for turn in prefilled["messages"]] == ["user", "assistant"]
    assert [turn["role"] for turn in asked_for["messages"]] == ["user", "assistant", "user"]
    assert told_seams(spans) == ["anchor"]
    assert [span["attributes"].get("error.type") for span in spans[:3]] == [
        "connection_closed",
        "request_rejected",
        None,
    ]


@pytest.mark.parametrize("way", ["create", "async create"])
def test_it_is_asked_once(monkeypatch, way):
    """Refused again, the original error stands; also for a 400 that says something else, and without a request left."""
    refused = Script.http_error(400, message=REFUSES_PREFILL[0])
    other = Script.http_error(400, message="max_tokens: must be lower")
    broke = partial(STORY, 83)
    resume = RetryPolicy(mode=Mode.RESUME, resume=PREFILL)
    for answers, policy, sent in (
        ([refused, refused, told(went_on(83))], resume, 3),
        ([other, told(went_on(83))], resume, 2),
        ([refused, told(went_on(83))], replace(resume, limits=RetryLimits(max_requests=2)), 2),
    ):
        seen, api, _ = played(monkeypatch, [broke, *answers], way, policy)
        assert (seen, api.requests) == (bare(monkeypatch, broke, way), sent)


@pytest.mark.parametrize("way", ["create", "stream", "async create"])
@pytest.mark.parametrize("how", [BROKE, End(), Error()])
def test_a_continuation_that_breaks_is_gone_on_with_if_allowed(monkeypatch, way, how):
    """Twice, with `max_resumes: 2`; else the error is that of the second break, and what was told is the caller's."""
    again = after(told(went_on(70)), 9, how)
    had = STORY[: 70 - ANCHOR] + "".join(
        step.data["delta"]["text"]
        for step in again.steps
        if isinstance(step, Event) and step.type == "content_block_delta"
    )
    scripts = [partial(STORY, 70), again, told(went_on(len(had)))]
    limits = RetryLimits(max_resumes=2)
    seen, api, spans = played(monkeypatch, scripts, way, RetryPolicy(mode=Mode.RESUME, limits=limits))
    assert (text(raw(seen.events)), seen.error, api.requests) == (STORY, [], 3)
    assert told_seams(spans) == ["anchor", "anchor"]
    assert asked(api)[2]["messages"][1] == {"role": "assistant", "content": had}
    seen, api, spans = played(monkeypatch, scripts, way)
    assert (text(raw(seen.events)), api.requests) == (had, 2)
    assert seen.error == bare(monkeypatch, again, way).error
    if how == BROKE:
        assert spans[-1]["attributes"][".abort.reason"] == "connection_closed"


@pytest.mark.parametrize("answer", [Script.http_error(529), Script.http_error(400), Script.no_response("rst")])
def test_a_continuation_that_is_not_answered_leaves_the_original_error(monkeypatch, answer):
    """The second failure is telemetry's; the caller gets the first one, which broke his answer."""
    broke = partial(STORY, 83)
    seen, api, spans = played(monkeypatch, [broke, answer], options={"max_retries": 0})
    assert (seen, api.requests) == (bare(monkeypatch, broke), 2)
    assert spans[-1]["attributes"][".abort.reason"] == "connection_closed"


def test_characters_may_come_in_pieces(monkeypatch):
    """The bytes of a character in two chunks, on both sides of the break."""
    for size in (1, 3, 7):
        api = API([partial(ACCENTED, 70), told(went_on(70, ACCENTED))])
        api.chunks = lambda chunks, size=size: [
            chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)
        ]
        with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(mode=Mode.RESUME)):
            seen = read(api)
        assert (text(raw(seen.events)), seen.error) == (ACCENTED, [])


def test_the_request_that_continues(monkeypatch):
    """All of the original request is in it, unchanged and in front; the caller's own objects are as they were."""
    request = {
        "max_tokens": 1024,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "A story?"},
            {"role": "assistant", "content": [{"type": "text", "text": "Which?"}]},
            {"role": "user", "content": [{"type": "text", "text": "Any."}]},
        ],
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "extra_body": {"top_k": 5},
        "extra_headers": {"x-mine": "1"},
        "extra_query": {"q": "1"},
    }
    for unsupported in ("temperature",):  # some releases do not know it any more, all of them send it on
        request["extra_body"][unsupported] = request.pop(unsupported)
    before = deepcopy(request)
    _, api, _ = played(monkeypatch, [partial(STORY, 83), told(went_on(83))], **request)
    assert request == before
    first, second = asked(api)
    anchor = STORY[83 - ANCHOR : 83].lstrip()
    assert second == {
        **first,
        "messages": [
            *first["messages"],
            {"role": "assistant", "content": STORY[:83]},
            {"role": "user", "content": PROMPT.replace("{anchor}", anchor)},
        ],
        "max_tokens": 1024 - (83 // 4 - len(anchor) // 4),
    }
    assert list(second) == list(first)
    one, two = (api.seen[0], api.seen[1])
    assert (two.url, two.method) == (one.url, one.method)
    different = {name for name in {*one.headers, *two.headers} if one.headers.get(name) != two.headers.get(name)}
    assert different <= {"content-length", "idempotency-key"}


@pytest.mark.parametrize("way", ["raw", "streaming"])
def test_who_asked_for_the_response_gets_a_stream_continued(monkeypatch, way):
    """The header by which the SDK hands out the response is not sent on: the continuation is a stream."""
    api = Watched([partial(STORY, 83), told(went_on(83))])
    with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(mode=Mode.RESUME)):
        messages = api.client().messages
        if way == "raw":
            told_text = texts_of(messages.with_raw_response.create(stream=True, **REQUEST).parse())
        else:
            with messages.with_streaming_response.create(stream=True, **REQUEST) as response:
                told_text = texts_of(response.parse())
    assert told_text == STORY
    assert ["x-stainless-raw-response" in request.headers for request in api.seen] == [True, False]


def texts_of(stream: Any) -> str:
    return "".join(event.delta.text for event in stream if event.type == "content_block_delta")
