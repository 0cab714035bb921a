"""Another model answers if the requested one is overloaded, before the caller has received anything."""

from __future__ import annotations

import gc

import anthropic
import pytest
from tests.support import interrupted_text
from tests.support.continuing_api import COMPLETE, Answer, ContinuingAPI, Response, broken, status
from tests.support.modes import ASK
from tests.support.observing import observed
from tests.support.platforms import AWS_KEYS, platform_client
from tests.support.received import assert_one_message, message_events, text_of
from tests.support.rig import WAYS, by, instrumented, points, read, short

from otel_claude_stream._core.retry.policy import Budget, Mode, RetryLimits, RetryPolicy, Rule, SdkRetries
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.testing import CutMidChunk, Error, FakeAPI, Script

OPUS, SONNET, HAIKU = "claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5"
TEXT = " ".join(f"word{number}" for number in range(40))
ANSWER = Answer((TEXT,))
TO_SONNET = (("claude-opus-*", (SONNET,)),)
OVERLOADED = (status(529), broken(0, Error()), broken(2, Error()))
"""Before the headers, as the first event, and after the start of the message."""
LOOK_UP = "otel_claude_stream._sdk.attach.request.fallback_model"


def policy(mode: Mode = Mode.RETRY, **fields: object) -> RetryPolicy:
    return RetryPolicy(mode=mode, **{"fallback": TO_SONNET, **fields})


def call(monkeypatch, responses, retry_policy, way="create", *, retries=0, headers=None, semconv="1.41", **request):
    """Make one call. Return what the caller sees, the API, and what was captured."""
    api = ContinuingAPI(ANSWER, responses)
    options = {"max_retries": retries, "default_headers": headers or {}}
    with instrumented(monkeypatch, api.clock, retry_policy=retry_policy, semconv=semconv) as capture:
        seen = read(api, way, options=options, model=OPUS, **request)
        capture.metrics()
    return seen, api, capture


def bare(monkeypatch, responses, way="create", **request):
    """Make the call without this package. Return what the caller sees."""
    api = ContinuingAPI(ANSWER, responses)
    with by(api.clock, monkeypatch):
        return read(api, way, options={"max_retries": 0}, model=OPUS, **request)


def models(api):
    return [body["model"] for body in api.request_bodies]


def span_of(capture):
    (found,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    return short(found["attributes"])


def decisions(capture):
    """Return action, model, blocker and dry run of each decision."""
    (found,) = [span for span in capture.spans() if span["name"].startswith("chat")]
    events = [short(event["attributes"]) for event in found["events"] if event["name"] == "claude.stream.retry"]
    names = (".retry.decision", ".fallback.model", ".retry.blocked_by", ".retry.dry_run")
    return [tuple(event.get(name) for name in names) for event in events if ".retry.blocked_by" in event]


@pytest.mark.parametrize("sdk_retries", SdkRetries)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("overloaded", OVERLOADED, ids=["status", "first event", "message started"])
def test_the_caller_gets_one_message_that_names_the_other_model(monkeypatch, overloaded, way, sdk_retries):
    seen, api, capture = call(monkeypatch, [overloaded, COMPLETE], policy(sdk_retries=sdk_retries), way)
    events = message_events(seen.events)
    assert_one_message(events)
    assert (text_of(events), events[-1]["type"], seen.error) == (TEXT, "message_stop", [])
    assert events[0]["message"]["model"] == SONNET
    assert models(api) == [OPUS, SONNET]
    assert api.times == [0.0, api.times[1]]
    first, second = api.request_bodies
    assert {**first, "model": SONNET} == second
    assert decisions(capture) == [("fallback", SONNET, "none", False)]
    assert all(body.closed for body in api.bodies)


def test_span_event_and_metrics_name_the_other_model(monkeypatch):
    _, _, capture = call(monkeypatch, [broken(2, Error()), COMPLETE], policy())
    found = span_of(capture)
    assert {name: value for name, value in found.items() if "model" in name or ".fallback" in name} == {
        "gen_ai.request.model": OPUS,
        "gen_ai.response.model": SONNET,
        ".fallback.model": SONNET,
        ".fallback.served": True,
    }
    assert found[".recovery.action"] == "fallback"
    attempts = [span for span in capture.spans() if span["name"] == "claude.stream.attempt"]
    assert [span["attributes"]["gen_ai.request.model"] for span in attempts] == [OPUS, SONNET]
    metrics = points(capture)
    assert metrics[".fallbacks"] == [({".outcome": "completed", "gen_ai.response.model": SONNET}, 1)]
    retry = {".retry.decision": "fallback", ".retry.layer": "policy", ".retry.reason": "overloaded"}
    assert metrics[".retries"] == [(retry, 1)]
    assert metrics[".recoveries"] == [({".recovery.action": "fallback", ".recovery.outcome": "completed"}, 1)]


def tokens(capture, name, *labels):
    """Return the model and the other labels of each point of a metric, with its value."""
    found = [{**point, **short(point["attributes"])} for point in capture.metrics()[name]["points"]]
    return sorted(
        (one["gen_ai.request.model"], *(one[label] for label in labels), one.get("value", one.get("sum")))
        for one in found
        if one.get("value", one.get("sum"))
    )


def test_tokens_count_under_the_model_that_was_billed(monkeypatch):
    """All else counts under the model that the caller asked for."""
    _, api, capture = call(monkeypatch, [broken(2, Error()), COMPLETE], policy(), semconv="both")
    assert tokens(capture, "claude.stream.billed.extra_tokens", ".billed.type") == [(OPUS, "input", 25)]
    assert [row[:2] for row in tokens(capture, "gen_ai.client.token.usage", "gen_ai.token.type")] == [
        (SONNET, "input"), (SONNET, "output"),
    ]  # fmt: skip
    assert {row[0] for row in tokens(capture, "gen_ai.client.inference.usage.input_tokens")} == {SONNET}
    for name in ("gen_ai.client.operation.duration", "claude.stream.duration", "claude.stream.fallbacks"):
        assert {point["attributes"]["gen_ai.request.model"] for point in capture.metrics()[name]["points"]} == {OPUS}
    assert models(api) == [OPUS, SONNET]


def test_a_fallback_that_breaks_is_billed_under_its_model(monkeypatch):
    _, _, capture = call(monkeypatch, [broken(2, Error()), broken(6)], policy())
    labels = (".billed.type", ".billed.source", ".billed.use")
    assert tokens(capture, "claude.stream.billed.extra_tokens", *labels) == [
        (OPUS, "input", "reported", "wasted", 25),
        (SONNET, "input", "reported", "wasted", 25),
        (SONNET, "output", "estimated", "wasted", 20),
    ]


REFUSALS = (status(400), status(529), Response("refused", 0, "fin"))


@pytest.mark.parametrize("sdk_retries", SdkRetries)
@pytest.mark.parametrize("way", ["create", "async stream"])
@pytest.mark.parametrize("refusal", REFUSALS, ids=["rejected", "overloaded", "not connected"])
@pytest.mark.parametrize("overloaded", OVERLOADED, ids=["status", "first event", "message started"])
def test_a_fallback_that_fails_raises_the_failure_of_the_requested_model(
    monkeypatch, overloaded, refusal, way, sdk_retries
):
    """The caller asked for that model, and handles its failures."""
    limits = RetryLimits(max_attempts=2)
    responses = [overloaded, refusal]
    seen, api, capture = call(monkeypatch, responses, policy(sdk_retries=sdk_retries, limits=limits), way)
    expected = bare(monkeypatch, [overloaded], way)
    assert seen.error == expected.error
    assert seen.events == expected.events
    assert models(api) == [OPUS, SONNET]
    found = span_of(capture)
    assert (found[".abort.reason"], found[".fallback.model"]) == ("overloaded", SONNET)
    assert ".fallback.served" not in found
    assert ".fallbacks" not in points(capture)


def test_a_call_has_one_fallback_and_stays_with_that_model(monkeypatch):
    """The requests after it, which are within the limits, are for the same model."""
    responses = [status(529), status(529), broken(2, Error()), COMPLETE]
    fallback = (("claude-opus-*", (SONNET, HAIKU)), ("claude-sonnet-*", (HAIKU,)))
    replaced = policy(sdk_retries=SdkRetries.REPLACE, fallback=fallback, limits=RetryLimits(max_attempts=4))
    seen, api, capture = call(monkeypatch, responses, replaced)
    assert (text_of(message_events(seen.events)), seen.error) == (TEXT, [])
    assert models(api) == [OPUS, SONNET, SONNET, SONNET]
    assert [one[0] for one in decisions(capture)] == ["fallback", "retry", "retry"]
    assert span_of(capture)[".recovery.action"] == "fallback"


def test_a_text_of_the_other_model_is_resumed_by_that_model(monkeypatch):
    responses = [status(529), broken(9, CutMidChunk()), COMPLETE]
    seen, api, capture = call(monkeypatch, responses, policy(Mode.RESUME))
    events = message_events(seen.events)
    assert_one_message(events)
    assert (text_of(events), seen.error, models(api)) == (TEXT, [], [OPUS, SONNET, SONNET])
    assert (span_of(capture)[".recovery.action"], span_of(capture)[".resumed"]) == ("resume", True)


def test_a_failure_of_the_other_model_after_content_is_that_of_the_stream(monkeypatch):
    """The call ends by it, and not by the overload before."""
    responses = [status(529), broken(9, CutMidChunk())]
    seen, api, capture = call(monkeypatch, responses, policy())
    assert text_of(message_events(seen.events))
    assert seen.error == bare(monkeypatch, responses[1:]).error
    found = span_of(capture)
    assert (found[".abort.reason"], found[".fallback.served"]) == ("connection_closed", True)
    assert api.requests == 2


TEMPERATURE = {"extra_body": {"temperature": 0.5}}
BETA = {"anthropic-beta": "context-1m-2025-08-07"}
NOT_CARRIED = {
    "a parameter": (TEMPERATURE, {}),
    "a beta header of the call": ({"extra_headers": BETA}, {}),
    "a beta header of the client": ({}, BETA),
    "a key of the body": ({"extra_body": {"speed": "fast"}}, {}),
}


@pytest.mark.parametrize("way", ["create", "async create"])
@pytest.mark.parametrize(("request_", "headers"), NOT_CARRIED.values(), ids=NOT_CARRIED)
def test_a_request_that_the_other_model_may_reject_is_not_carried_over(monkeypatch, request_, headers, way):
    seen, api, capture = call(monkeypatch, [status(529)], policy(), way, headers=headers, **request_)
    assert seen.error == bare(monkeypatch, [status(529)], way).error
    assert (models(api), decisions(capture)) == ([OPUS], [("give_up", None, "model", False)])


def test_a_request_that_is_not_carried_over_is_retried(monkeypatch):
    responses = [broken(2, Error()), COMPLETE]
    seen, api, capture = call(monkeypatch, responses, policy(), **TEMPERATURE)
    assert (text_of(message_events(seen.events)), models(api)) == (TEXT, [OPUS, OPUS])
    assert decisions(capture) == [("retry", None, "none", False)]


def rule(reason: AbortReason, **fields: object) -> dict[str, object]:
    return {"rules": (Rule(frozenset({reason}), **fields),)}


OTHER_REASONS = {
    "an internal error": (status(500), {}, [OPUS]),
    "an internal error, if a rule allows it": (status(500), rule(AbortReason.API_ERROR, fallback=True), [OPUS, SONNET]),
    "a rate limit, if a rule allows it": (status(429), rule(AbortReason.RATE_LIMITED, fallback=True), [OPUS, SONNET]),
    "an overload, if a rule forbids it": (status(529), rule(AbortReason.OVERLOADED, fallback=False), [OPUS]),
    "no fallback for the model": (status(529), {"fallback": (("claude-haiku-*", (SONNET,)),)}, [OPUS]),
}


@pytest.mark.parametrize(("response", "fields", "expected"), OTHER_REASONS.values(), ids=OTHER_REASONS)
def test_the_rules_set_the_reasons_for_a_fallback(monkeypatch, response, fields, expected):
    _, api, _ = call(monkeypatch, [response, COMPLETE], policy(**fields))
    assert models(api) == expected


LIMITS = {
    "requests": {"limits": RetryLimits(max_attempts=3, max_requests=3)},
    "attempts": {"limits": RetryLimits(max_attempts=1, max_resumes=0)},
    "deadline": {"limits": RetryLimits(deadline=1.0)},
    "budget": {"budget": Budget(ratio=0.0, min_per_window=2)},
}


@pytest.mark.parametrize("blocker", LIMITS)
def test_a_fallback_counts_against_the_limits(monkeypatch, blocker):
    """The SDK has made two retries before it."""
    responses = [Response("status", 529, None, 0.5)] * 3 + [COMPLETE]
    seen, api, capture = call(monkeypatch, responses, policy(**LIMITS[blocker]), retries=2)
    assert seen.error
    assert set(models(api)) == {OPUS}
    assert decisions(capture)[-1] == ("give_up", None, blocker, False)
    seen, api, _ = call(monkeypatch, responses, policy(), retries=2)
    assert (seen.error, models(api)) == ([], [OPUS, OPUS, OPUS, SONNET])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("overloaded", OVERLOADED, ids=["status", "first event", "message started"])
def test_in_mode_observe_the_fallback_is_a_dry_run(monkeypatch, overloaded, way):
    seen, api, capture = call(monkeypatch, [overloaded, COMPLETE], policy(Mode.OBSERVE), way)
    assert seen == bare(monkeypatch, [overloaded, COMPLETE], way)
    assert models(api) == [OPUS]
    assert decisions(capture) == [("fallback", SONNET, "none", True)]
    assert ".fallback.model" not in span_of(capture)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RETRY])
@pytest.mark.parametrize(
    ("responses", "looked_up"),
    [([COMPLETE], 0), ([status(529), COMPLETE], 1), ([status(500), COMPLETE], 1)],
    ids=["no failure", "an overload", "another failure"],
)
def test_the_fallback_model_is_looked_up_at_the_first_failure(monkeypatch, responses, looked_up, mode):
    asked = []
    monkeypatch.setattr(LOOK_UP, lambda models, *_: asked.append(models) or SONNET)
    call(monkeypatch, responses, policy(mode))
    assert asked == [(SONNET,)] * looked_up


def test_a_dropped_stream_ends_though_its_client_refers_to_the_response(monkeypatch):
    api = ContinuingAPI(ANSWER, [COMPLETE])
    client = api.client()
    with instrumented(monkeypatch, api.clock, retry_policy=policy(Mode.OBSERVE)) as capture:
        stream = client.messages.create(stream=True, max_tokens=9, model=OPUS, messages=ASK["messages"])
        client.kept = stream.response
        del client, stream
        gc.collect()
        assert span_of(capture)[".abort.reason"] == "abandoned"


def test_the_note_on_the_exception_names_the_other_model(monkeypatch):
    api = ContinuingAPI(ANSWER, [status(529), status(400)])
    client = api.client(max_retries=0)
    with instrumented(monkeypatch, api.clock, retry_policy=policy()), pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(stream=True, max_tokens=9, model=OPUS, messages=ASK["messages"])
    (note,) = raised.value.__notes__
    assert note == (
        "otel-claude-stream: attempt 1: overloaded (awaiting_response), fallback to claude-sonnet-5 after 0.00 s; "
        "attempt 2: request_rejected (awaiting_response), given up: never"
    )


def test_a_raw_response_is_that_of_the_other_model(monkeypatch):
    api = ContinuingAPI(ANSWER, [status(529), COMPLETE])
    with instrumented(monkeypatch, api.clock, retry_policy=policy()):
        messages = api.client(max_retries=0).messages.with_raw_response
        raw = messages.create(stream=True, max_tokens=9, model=OPUS, messages=ASK["messages"])
        events = list(raw.parse())
    assert (raw.status_code, events[0].message.model, events[-1].type) == (200, SONNET, "message_stop")


def test_on_bedrock_the_address_names_the_other_model(mode):
    scripts = [Script.http_error(529), interrupted_text.COMPLETE.for_bedrock()]
    names = ("us.anthropic.claude-opus-5-v1:0", "us.anthropic.claude-sonnet-5-v1:0")
    to_sonnet = policy(fallback=(("*claude-opus-*", (names[1],)),))

    async def body():
        async with mode.entered(platform_client(mode, "AnthropicBedrock", api.url, AWS_KEYS)) as client:
            stream = await mode.do(client.messages.create(**{**ASK, "model": names[0]}, stream=True))
            async for _ in mode.each(stream):
                pass

    with FakeAPI(scripts) as api, observed(retry_policy=to_sonnet) as telemetry:
        mode.run(body)
        first, second = (request.path for request in api.requests)
    assert names[0].replace(":", "%3A") in first.replace(":", "%3A")
    assert names[1].replace(":", "%3A") in second.replace(":", "%3A")
    assert telemetry.attributes("outcome", "fallback.model") == ("completed", names[1])
