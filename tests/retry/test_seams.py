"""Each kind of seam between an interrupted text and its continuation, through the real SDK."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support.continuing_api import REFUSES_PREFILL
from tests.support.received import assert_one_message, message_events, text_of
from tests.support.rig import API, REQUEST, by, instrumented, read, shown
from tests.support.scenes import STORY, after, paced_script

from otel_claude_stream._core.retry.policy import Mode, OnSeamMismatch, Resume, RetryLimits, RetryPolicy, Strategy
from otel_claude_stream._core.retry.resume.request import PROMPT
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Script

CODE = STORY[:30] + "\n\n```python\nprint('the quick brown fox')\nfor fox in range(10):\n    jump(over=dog)\n```\nSo."
ACCENTED = (
    "Ein naïver Größenwahn: 日本語のテキスト, 😀 und so weiter, bis der Morgen über den Hügeln graut, ganz leise."
)
CUT = CutMidChunk()
ANCHOR = 48
PREFILL = Resume(strategy=Strategy.PREFILL)


def message(*steps: Event | Script) -> Script:
    """Return a message with these events between its start and its end."""
    whole = paced_script("filler words here")
    return replace(whole, steps=(whole.steps[0], *steps, *whole.steps[-2:]))


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> tuple[Event, ...]:
    """Return the events of a complete block."""
    return (
        Event("content_block_start", {"type": "content_block_start", "index": index, "content_block": start}),
        *(
            Event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
            for delta in deltas
        ),
        Event("content_block_stop", {"type": "content_block_stop", "index": index}),
    )


TEXT = {"type": "text", "text": ""}
TOOL = block(
    0,
    {"type": "tool_use", "id": "toolu_1", "name": "jump", "input": {}},
    {"type": "input_json_delta", "partial_json": "{}"},
)


def refusal() -> Script:
    """Return a message that ends with the stop reason `refusal`."""
    whole = paced_script("I cannot go on with this.")
    last = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 1}}
    return replace(whole, steps=(*whole.steps[:-2], Event("message_delta", last), whole.steps[-1]))


@dataclass(frozen=True)
class Seam:
    """A text, the place of its break, and the response to the request that continues it."""

    answer: Script | tuple[Script, ...]
    expected: str
    """The expected seam on the span."""
    joined: bool = True
    """Whether the caller gets the whole text. Else it gets the part before the break, and the error."""
    text: str = STORY
    at: int = 83
    resume: Resume = field(default_factory=Resume)
    way: str = "create"


def continuation(at: int, text: str = STORY, repeats: int = ANCHOR) -> str:
    """Return the continuation that the prompt asks for, with the anchor first."""
    stem = text[:at].rstrip()
    return stem[-repeats:] + text[len(stem) :]


SEAMS = {
    "exact, as the rest of the turn": Seam(paced_script(STORY[83:]), "exact", resume=PREFILL),
    "exact, the white space again": Seam(paced_script(STORY[77:]), "exact", at=78, resume=PREFILL),
    "anchor": Seam(paced_script(continuation(83)), "anchor"),
    "mid-word": Seam(paced_script(continuation(82)), "anchor", at=82),
    "more than the anchor": Seam(paced_script(STORY[20:]), "anchor"),
    "overlap": Seam(paced_script(STORY[83 - 20 :]), "overlap"),
    "overlap too short": Seam(paced_script(STORY[83 - 12 :]), "mismatch", joined=False),
    "all of it again": Seam(paced_script(STORY), "anchor"),
    "restart": Seam(paced_script(STORY[:60] + "and then did something else altogether."), "restart", joined=False),
    "preamble": Seam(paced_script("Here is the rest of it: " + continuation(83)), "preamble"),
    "white space before": Seam(paced_script("\n\n" + continuation(83)), "anchor"),
    "white space at the break": Seam(paced_script(continuation(77)), "anchor", at=78),
    "white space inside differs": Seam(paced_script(continuation(83).replace("the old", "the\nold")), "anchor"),
    "code fence": Seam(paced_script("```python\n" + continuation(98, CODE)), "anchor", text=CODE, at=98),
    "nothing of it": Seam(paced_script("Of course! What shall we talk about? " * 20), "mismatch", joined=False),
    "nothing of it, and little": Seam(paced_script("Of course!"), "mismatch", joined=False),
    "no text": Seam(message(), "empty", joined=False),
    "tool call instead of text": Seam(message(*TOOL), "empty", joined=False),
    "refusal": Seam(refusal(), "mismatch", joined=False),
    "accents": Seam(paced_script(continuation(70, ACCENTED)), "anchor", text=ACCENTED, at=70),
    "mismatch, a new line": Seam(
        paced_script("Of course!"), "mismatch", joined=False, resume=Resume(on_seam_mismatch=OnSeamMismatch.NEWLINE)
    ),
}


def partial(text: str, at: int, how: Any = CUT) -> Script:
    """Return the text up to the break, in ten deltas."""
    return after(paced_script(text[:at]), 13, how)


def request_bodies(api: API) -> list[dict[str, Any]]:
    """Return the parsed bodies of the requests."""
    return [json.loads(request.content) for request in api.received]


class RecordingAPI(API):
    """Keeps the requests that it receives."""

    def __init__(self, scripts: Any) -> None:
        super().__init__(scripts)
        self.received: list[Any] = []

    def _answer(self, request: Any) -> Any:
        self.received.append(request)
        return super()._answer(request)


def with_policy(monkeypatch, scripts, way="create", policy=None, **request):
    """Return what the caller sees with a policy, the API, and the spans."""
    api = RecordingAPI(scripts)
    policy = policy or RetryPolicy(mode=Mode.RESUME)
    with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
        seen = read(api, way, **request)
    return seen, api, [shown(span) for span in capture.spans()]


def seams_on_span(spans: list[dict[str, Any]]) -> list[str]:
    """Return the seams of the resume events on the stream span."""
    return [attributes[".resume.seam"] for _, name, attributes in spans[-1]["events"] if name == ".resume"]


def bare(monkeypatch, scripts, way="create", **request):
    api = API(scripts)
    with by(api.clock, monkeypatch):
        return read(api, way, **request)


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("name", SEAMS)
def test_a_continuation_is_joined_only_if_it_matches(monkeypatch, name, way):
    """Without a match, the caller gets the part before the break and the original error. The span has the seam."""
    seam = SEAMS[name]
    broken = partial(seam.text, seam.at)
    seen, api, spans = with_policy(
        monkeypatch, [broken, seam.answer], way, RetryPolicy(mode=Mode.RESUME, resume=seam.resume)
    )
    events = message_events(seen.events)
    assert_one_message(events)
    assert api.requests == 2
    stream = spans[-1]["attributes"]
    assert seams_on_span(spans) == [seam.expected]
    if seam.joined:
        assert (text_of(events), seen.error) == (seam.text, [])
        assert (stream[".resumed"], stream[".outcome"]) == (True, "completed")
        assert events[0]["message"]["id"] == "msg_01XFDUDYJgAACzvnptvVoYEL"
        return
    assert (".resumed" in stream) is (seam.resume.on_seam_mismatch is not OnSeamMismatch.FAIL)
    if seam.resume.on_seam_mismatch is OnSeamMismatch.FAIL:
        assert seen == bare(monkeypatch, broken, way)
    else:
        assert (text_of(events), seen.error) == (seam.text[: seam.at] + "\nOf course!", [])


@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("refusal_message", REFUSES_PREFILL)
def test_a_model_that_refuses_prefill_is_asked_by_prompt(monkeypatch, refusal_message, way):
    """The table of models may be out of date. A 400 with a known message leads to one request with the prompt."""
    refused = Script.http_error(400, message=refusal_message)
    seen, api, spans = with_policy(
        monkeypatch,
        [partial(STORY, 83), refused, paced_script(continuation(83))],
        way,
        RetryPolicy(mode=Mode.RESUME, resume=PREFILL),
    )
    assert (text_of(message_events(seen.events)), seen.error) == (STORY, [])
    _, prefill, prompt = request_bodies(api)
    assert [turn["role"] for turn in prefill["messages"]] == ["user", "assistant"]
    assert [turn["role"] for turn in prompt["messages"]] == ["user", "assistant", "user"]
    assert seams_on_span(spans) == ["anchor"]
    assert [span["attributes"].get("error.type") for span in spans[:3]] == [
        "connection_closed",
        "invalid_request_error",
        None,
    ]


@pytest.mark.parametrize("way", ["create", "async create"])
def test_a_refused_prefill_leads_to_at_most_one_further_request(monkeypatch, way):
    """After a second refusal, another 400 or the last request, the caller gets the original error."""
    refused = Script.http_error(400, message=REFUSES_PREFILL[0])
    other = Script.http_error(400, message="max_tokens: must be lower")
    broken = partial(STORY, 83)
    resume = RetryPolicy(mode=Mode.RESUME, resume=PREFILL)
    for answers, policy, sent in (
        ([refused, refused, paced_script(continuation(83))], resume, 3),
        ([other, paced_script(continuation(83))], resume, 2),
        ([refused, paced_script(continuation(83))], replace(resume, limits=RetryLimits(max_requests=2)), 2),
    ):
        seen, api, _ = with_policy(monkeypatch, [broken, *answers], way, policy)
        assert (seen, api.requests) == (bare(monkeypatch, broken, way), sent)


@pytest.mark.parametrize("way", ["create", "stream", "async create"])
@pytest.mark.parametrize("how", [CUT, End(), Error()])
def test_a_continuation_that_breaks_is_resumed_within_max_resumes(monkeypatch, way, how):
    """Beyond the limit, the caller keeps the text and gets the error of the second break."""
    breaks_again = after(paced_script(continuation(70)), 11, how)
    delivered = STORY[: 70 - ANCHOR] + "".join(
        step.data["delta"]["text"]
        for step in breaks_again.steps
        if isinstance(step, Event) and step.type == "content_block_delta"
    )
    scripts = [partial(STORY, 70), breaks_again, paced_script(continuation(len(delivered)))]
    limits = RetryLimits(max_resumes=2)
    seen, api, spans = with_policy(monkeypatch, scripts, way, RetryPolicy(mode=Mode.RESUME, limits=limits))
    assert (text_of(message_events(seen.events)), seen.error, api.requests) == (STORY, [], 3)
    assert seams_on_span(spans) == ["anchor", "anchor"]
    assert request_bodies(api)[2]["messages"][1] == {"role": "assistant", "content": delivered}
    seen, api, spans = with_policy(monkeypatch, scripts, way)
    assert (text_of(message_events(seen.events)), api.requests) == (delivered, 2)
    assert seen.error == bare(monkeypatch, breaks_again, way).error
    if how == CUT:
        assert spans[-1]["attributes"][".abort.reason"] == "connection_closed"


@pytest.mark.parametrize("answer", [Script.http_error(529), Script.http_error(400), Script.no_response("rst")])
def test_a_continuation_without_a_response_raises_the_original_error(monkeypatch, answer):
    """The second failure appears in the telemetry only."""
    broken = partial(STORY, 83)
    seen, api, spans = with_policy(monkeypatch, [broken, answer], options={"max_retries": 0})
    assert (seen, api.requests) == (bare(monkeypatch, broken), 2)
    assert spans[-1]["attributes"][".abort.reason"] == "connection_closed"


def test_a_character_may_be_split_between_reads(monkeypatch):
    """On both sides of the break, reads may end inside the bytes of a character."""
    for size in (1, 3, 7):
        api = API([partial(ACCENTED, 70), paced_script(continuation(70, ACCENTED))])
        api.chunks = lambda chunks, size=size: [
            chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)
        ]
        with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(mode=Mode.RESUME)):
            seen = read(api)
        assert (text_of(message_events(seen.events)), seen.error) == (ACCENTED, [])


def test_the_request_of_a_resume_extends_the_original_one(monkeypatch):
    """It begins with the original request. The objects of the caller stay unchanged."""
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
    for unsupported in ("temperature",):  # some releases lack the parameter, and all of them send extra fields
        request["extra_body"][unsupported] = request.pop(unsupported)
    before = deepcopy(request)
    _, api, _ = with_policy(monkeypatch, [partial(STORY, 83), paced_script(continuation(83))], **request)
    assert request == before
    first, second = request_bodies(api)
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
    original, resumed = (api.received[0], api.received[1])
    assert (resumed.url, resumed.method) == (original.url, original.method)
    different = {
        name
        for name in {*original.headers, *resumed.headers}
        if original.headers.get(name) != resumed.headers.get(name)
    }
    assert different <= {"content-length", "idempotency-key"}


@pytest.mark.parametrize("way", ["raw", "streaming"])
def test_a_stream_from_a_raw_response_is_resumed(monkeypatch, way):
    """The header with which the SDK requests a raw response is absent from the resume request."""
    api = RecordingAPI([partial(STORY, 83), paced_script(continuation(83))])
    with instrumented(monkeypatch, api.clock, retry_policy=RetryPolicy(mode=Mode.RESUME)):
        messages = api.client().messages
        if way == "raw":
            received = joined_deltas(messages.with_raw_response.create(stream=True, **REQUEST).parse())
        else:
            with messages.with_streaming_response.create(stream=True, **REQUEST) as response:
                received = joined_deltas(response.parse())
    assert received == STORY
    assert ["x-stainless-raw-response" in request.headers for request in api.received] == [True, False]


def joined_deltas(stream: Any) -> str:
    return "".join(event.delta.text for event in stream if event.type == "content_block_delta")
