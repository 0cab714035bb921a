"""Properties of retries and resumes under generated answers, failures and policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.continuing_api import COMPLETE, ENDINGS, STYLES, Answer, ContinuingAPI, Response
from tests.support.received import assert_one_message, content_of, message_events, text_of
from tests.support.rig import REQUEST, Seen, by, chain, instrumented, read

from otel_claude_stream._config.policy import policy_source
from otel_claude_stream._core.retry.policy import (
    AUTO,
    Backoff,
    Budget,
    Commit,
    Concurrency,
    Jitter,
    Mode,
    OnExceed,
    Resume,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    SdkRetries,
    Strategy,
)
from otel_claude_stream._session.policy_resolver import _limiters
from otel_claude_stream.testing import Error

PREFILL_MODEL = "claude-haiku-4-5-20251001"
PROMPT_MODEL = "claude-test"
FALLBACK = (("claude-haiku-*", ("claude-sonnet-4-6",)), ("claude-test", ("claude-x", "claude-opus-4-8", PREFILL_MODEL)))
"""Models that take the request of the tests, besides one that takes none."""
LONGEST_SDK_SLEEP = 8.0
"""The longest back-off of the SDK in seconds, which a policy does not shorten."""

WORDS = ("the", "naïve", "日本語", "😀", "\n\n", "```python\n", "  ", "of", "it", "\n- ", "a.b(c)", "“so”")


@st.composite
def texts(draw: Any) -> str:
    """Generate texts without repetitions, in several scripts and with several kinds of white space."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40))
    return " ".join(f"{word}{number}" for number, word in enumerate(words))


answers = st.builds(
    Answer,
    st.lists(texts(), min_size=1, max_size=2).map(lambda found: tuple(f"{n}: {text}" for n, text in enumerate(found))),
    thinking=st.sampled_from(["", "", "Let me see which words to use"]),
    tool=st.sampled_from([False, False, True]),
    deltas=st.integers(1, 30),
)
header_delays = st.sampled_from([0.0, 0.0, 0.5, 20.0])
responses = st.one_of(
    st.builds(Response, st.just("broken"), st.integers(0, 40), st.sampled_from(ENDINGS), header_delays),
    st.builds(Response, st.just("broken"), st.integers(0, 40), st.sampled_from(ENDINGS), header_delays),
    st.builds(
        Response,
        st.just("status"),
        st.sampled_from([529, 500, 429, 400]),
        st.sampled_from([None, 0.2, 3, 90]),
        header_delays,
    ),
    st.builds(Response, st.just("refused"), st.just(0), st.sampled_from(["fin", "rst"]), header_delays),
    st.just(COMPLETE),
)
response_lists = st.lists(responses, min_size=1, max_size=5)
limits_on_open_requests = st.sampled_from([Concurrency(), Concurrency(max=1), Concurrency(max=AUTO)])
policies = st.builds(
    RetryPolicy,
    mode=st.sampled_from([Mode.RETRY, Mode.RESUME, Mode.RESUME]),
    sdk_retries=st.sampled_from(SdkRetries),
    limits=st.builds(
        lambda max_resumes, more, **others: RetryLimits(
            max_attempts=1 + max_resumes + more, max_resumes=max_resumes, **others
        ),
        max_resumes=st.integers(0, 3),
        more=st.integers(0, 1),
        max_requests=st.integers(1, 7),
        deadline=st.sampled_from([None, 0.5, 10.0, 40.0, 600.0]),
    ),
    backoff=st.builds(Backoff, type=st.sampled_from(Jitter)),
    retry_after=st.builds(RetryAfter, max=st.sampled_from([1.0, 60.0]), on_exceed=st.sampled_from(OnExceed)),
    concurrency=limits_on_open_requests,
    budget=st.builds(Budget, min_per_window=st.sampled_from([0, 1, 6])),
    resume=st.builds(Resume, strategy=st.sampled_from(Strategy), min_partial_chars=st.sampled_from([16, 64])),
    commit=st.builds(Commit, thinking_is_output=st.booleans()),
    raise_on_truncation=st.booleans(),
    fallback=st.sampled_from([(), FALLBACK]),
)
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@dataclass(frozen=True)
class Call:
    """The policy of a call, and how it is made and read."""

    policy: RetryPolicy | None
    """The policy. None stands for a call without this package."""
    way: str = "create"
    """A way of `read`, or `bytes`."""
    model: str = PROMPT_MODEL
    retries: int = 0

    def make(self, api: ContinuingAPI) -> Seen:
        """Make the call, and return what the caller sees."""
        with pytest.MonkeyPatch.context() as patch:
            clock_only = by(api.clock, patch)
            with clock_only if self.policy is None else instrumented(patch, api.clock, retry_policy=self.policy):
                if self.way == "bytes":
                    seen = read_bytes(api, self.model, self.retries)
                else:
                    seen = read(api, self.way, model=self.model, options={"max_retries": self.retries})
                assert not any(limiter.in_flight or limiter.queued for _, limiter in _limiters.by_key())
                return seen


calls = st.builds(
    Call,
    policies,
    way=st.sampled_from(["create", "stream"]),
    model=st.sampled_from([PROMPT_MODEL, PREFILL_MODEL]),
    retries=st.sampled_from([0, 2, 5]),
)
ACTING = ("mode", "sdk_retries", "raise_on_truncation")
"""Keys with other values than their defaults are a warning in mode `observe`."""
observed_calls = st.builds(
    Call,
    policies.map(lambda policy: replace(policy, **{name: getattr(RetryPolicy(), name) for name in ACTING})),
    way=st.sampled_from(["create", "stream", "async create", "async stream", "bytes"]),
    retries=st.sampled_from([0, 2, 5]),
)


def read_bytes(api: ContinuingAPI, model: str, retries: int) -> Seen:
    """Read the raw body as far as it arrives."""
    seen = Seen(result=b"")
    messages = api.client(max_retries=retries).messages
    try:
        with messages.with_streaming_response.create(stream=True, **{**REQUEST, "model": model}) as response:
            for chunk in response.iter_bytes():
                seen.result += chunk
    except Exception as error:  # noqa: BLE001 - any exception of the SDK
        seen.error = chain(error)
    return seen


def normalized(seen: Seen) -> Seen:
    """Replace the class of a 529, which differs between the sync and async clients of some releases of the SDK."""
    return replace(
        seen,
        error=[
            ("anthropic.InternalServerError" if "OverloadedError" in kind else kind, message)
            for kind, message in seen.error
        ],
    )


def assert_one_model(api, events, call):
    """The requests change to another model at most once, to the first that takes them. The message names its model."""
    models = list(dict.fromkeys(body["model"] for body in api.request_bodies))
    other = {PROMPT_MODEL: "claude-opus-4-8", PREFILL_MODEL: "claude-sonnet-4-6"}[call.model]
    assert models in ([call.model], [call.model, other] if call.policy.fallback else [])
    if events:
        assert events[0]["message"]["model"] in models
    if events and events[-1]["type"] == "message_stop":
        assert events[0]["message"]["model"] == models[-1]


@settings(SETTINGS, max_examples=150)
@given(answers, response_lists, st.sampled_from(list(STYLES)), calls)
def test_all_content_reaches_the_caller_once_and_within_the_limits(answer, responses, style, call):
    """The caller gets one message without repetitions, complete if it has an end. The async client behaves alike."""
    assert policy_source({}, call.policy).load()[0] == call.policy  # an invalid policy would only observe
    api = ContinuingAPI(answer, responses, STYLES[style])
    seen = call.make(api)
    assert api.requests
    assert not any("otel" in kind for kind, _ in seen.error)
    events = message_events(seen.events)
    assert_one_message(events)
    assert answer.text.startswith(text_of(events))
    assert answer.thinking.startswith(content_of(events, "thinking_delta", "thinking"))
    if events and events[-1]["type"] == "message_stop":
        assert text_of(events) == answer.text
        assert content_of(events, "input_json_delta", "partial_json") == ('{"city":"Paris"}' if answer.tool else "")
        assert seen.error == [] or api.bodies
    if call.way == "stream" and seen.error == [] and events:
        written = "".join(block["text"] for block in seen.result[1]["content"] if block["type"] == "text")
        assert written == text_of(events)
    assert_one_model(api, events, call)
    assert api.requests <= call.policy.limits.max_requests
    if call.policy.limits.deadline is not None:
        assert api.times[-1] <= call.policy.limits.deadline + LONGEST_SDK_SLEEP
    assert all(body.closed for body in api.bodies)
    other = ContinuingAPI(answer, responses, STYLES[style])
    assert normalized(replace(call, way=f"async {call.way}").make(other)) == normalized(seen)
    assert (other.request_bodies, other.times) == (api.request_bodies, api.times)
    assert all(body.closed for body in other.bodies)


@settings(SETTINGS, max_examples=60)
@given(answers, response_lists, observed_calls)
def test_in_mode_observe_the_caller_sees_no_difference(answer, responses, call):
    """Events, result, exceptions, requests and their times are the same as without this package."""
    api = ContinuingAPI(answer, responses)
    seen = call.make(api)
    bare = ContinuingAPI(answer, responses)
    assert seen == replace(call, policy=None).make(bare)
    assert (api.request_bodies, api.times) == (bare.request_bodies, bare.times)


@settings(SETTINGS, max_examples=40)
@given(answers, st.integers(0, 40), st.sampled_from(ENDINGS), st.sampled_from([Mode.RETRY, Mode.RESUME]))
def test_a_stream_that_is_read_as_bytes_is_never_retried(answer, at, how, mode):
    """The package cannot know what such a caller has received."""
    responses = [Response("broken", at, how)]
    api = ContinuingAPI(answer, responses)
    seen = Call(RetryPolicy(mode=mode), "bytes").make(api)
    assert seen == Call(None, "bytes").make(ContinuingAPI(answer, responses))
    assert api.requests == 1


HARMLESS = st.one_of(
    st.builds(Response, st.just("broken"), st.integers(0, 3), st.sampled_from(ENDINGS)),
    st.builds(Response, st.just("status"), st.sampled_from([529, 500]), st.sampled_from([None, 0.2])),
    st.builds(Response, st.just("refused"), st.just(0), st.sampled_from(["fin", "rst"])),
)
GENEROUS = RetryLimits(max_attempts=5, max_requests=10)


@settings(SETTINGS, max_examples=40)
@given(texts(), st.lists(HARMLESS, max_size=1), st.sampled_from(["create", "async stream"]))
def test_a_failure_before_the_first_content_is_hidden(content, failures, way):
    """The caller gets the whole answer, and no error."""
    answer = Answer((content,))
    api = ContinuingAPI(answer, [*failures, COMPLETE])
    policy = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE, limits=GENEROUS)
    seen = Call(policy, way).make(api)
    assert_one_message(message_events(seen.events))
    assert (text_of(message_events(seen.events)), seen.error, api.requests) == (content, [], len(failures) + 1)


LONG = " ".join(f"{word}{number}" for number, word in enumerate(("word", "naïve", "日本語", "😀", "\n\n", "end") * 9))


@settings(SETTINGS, max_examples=60)
@given(
    st.integers(1, 60).flatmap(lambda deltas: st.tuples(st.just(deltas), st.integers(3, 3 + deltas))),
    st.sampled_from([how for how in ENDINGS if not isinstance(how, Error)]),
    st.sampled_from(["anchored", "overlapping", "introduced"]),
    st.sampled_from([PROMPT_MODEL, PREFILL_MODEL]),
    st.sampled_from(["create", "async create", "stream"]),
)
def test_an_interrupted_text_is_resumed_at_any_place(where, how, style, model, way):
    """If enough text came before the break, the caller gets the whole answer by two requests, and no error."""
    deltas, at = where
    if model == PREFILL_MODEL:  # a continuation of a complete text would be empty, which is no seam
        at = min(at, 2 + deltas)
    answer = Answer((LONG,), deltas=deltas)
    api = ContinuingAPI(answer, [Response("broken", at, how), COMPLETE], STYLES[style])
    seen = Call(RetryPolicy(mode=Mode.RESUME), way, model).make(api)
    delivered = len("".join(LONG[len(LONG) * n // deltas : len(LONG) * (n + 1) // deltas] for n in range(at - 3)))
    if 0 < delivered < 64:  # too short for a resume
        assert api.requests == 1
        return
    assert_one_message(message_events(seen.events))
    assert (text_of(message_events(seen.events)), seen.error, api.requests) == (LONG, [], 2)
