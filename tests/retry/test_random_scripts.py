"""Whatever fails where: what the caller receives, what it costs, and that both halves of the SDK are alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.received import assert_one_message, pieces, raw, text
from tests.support.rig import REQUEST, Seen, by, chain, instrumented, read
from tests.support.story import ENDINGS, MANNERS, WHOLE, Storyteller, Tale, Turn

from otel_claude_stream._config.policy import policy_source
from otel_claude_stream._core.retry.policy import (
    Backoff,
    Budget,
    Commit,
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
from otel_claude_stream.testing import Error

PREFILLED = "claude-haiku-4-5-20251001"
ASKED = "claude-test"
LONGEST_SDK_SLEEP = 8.0
"""Seconds: the SDK's own back-off, which is not ours to shorten."""

WORDS = ("the", "naïve", "日本語", "😀", "\n\n", "```python\n", "  ", "of", "it", "\n- ", "a.b(c)", "“so”")


@st.composite
def texts(draw: Any) -> str:
    """A text that does not repeat itself, in any script, with white space of every kind."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40))
    return " ".join(f"{word}{number}" for number, word in enumerate(words))


tales = st.builds(
    Tale,
    st.lists(texts(), min_size=1, max_size=2).map(lambda found: tuple(f"{n}: {text}" for n, text in enumerate(found))),
    thinking=st.sampled_from(["", "", "Let me see what there is to say"]),
    tool=st.sampled_from([False, False, True]),
    deltas=st.integers(1, 30),
)
after = st.sampled_from([0.0, 0.0, 0.5, 20.0])
turns = st.one_of(
    st.builds(Turn, st.just("broken"), st.integers(0, 40), st.sampled_from(ENDINGS), after),
    st.builds(Turn, st.just("broken"), st.integers(0, 40), st.sampled_from(ENDINGS), after),
    st.builds(
        Turn, st.just("status"), st.sampled_from([529, 500, 429, 400]), st.sampled_from([None, 0.2, 3, 90]), after
    ),
    st.builds(Turn, st.just("refused"), st.just(0), st.sampled_from(["fin", "rst"]), after),
    st.just(WHOLE),
)
courses = st.lists(turns, min_size=1, max_size=5)
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
    budget=st.builds(Budget, min_per_window=st.sampled_from([0, 1, 6])),
    resume=st.builds(Resume, strategy=st.sampled_from(Strategy), min_partial_chars=st.sampled_from([16, 64])),
    commit=st.builds(Commit, thinking_is_output=st.booleans()),
    raise_on_truncation=st.booleans(),
)
some = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@dataclass(frozen=True)
class Call:
    """How a call is made and read."""

    policy: RetryPolicy | None
    """None: without us."""
    way: str = "create"
    """As for `read`; or `bytes`."""
    model: str = ASKED
    retries: int = 0

    def made(self, api: Storyteller) -> Seen:
        """What the caller sees."""
        with pytest.MonkeyPatch.context() as patch:
            here = by(api.clock, patch)
            with here if self.policy is None else instrumented(patch, api.clock, retry_policy=self.policy):
                if self.way == "bytes":
                    return as_bytes(api, self.model, self.retries)
                return read(api, self.way, model=self.model, options={"max_retries": self.retries})


calls = st.builds(
    Call,
    policies,
    way=st.sampled_from(["create", "stream"]),
    model=st.sampled_from([ASKED, PREFILLED]),
    retries=st.sampled_from([0, 2, 5]),
)
observing = st.builds(
    Call,
    policies.map(lambda policy: RetryPolicy(limits=policy.limits, resume=policy.resume)),
    way=st.sampled_from(["create", "stream", "async create", "async stream", "bytes"]),
    retries=st.sampled_from([0, 2, 5]),
)


def as_bytes(api: Storyteller, model: str, retries: int) -> Seen:
    """The raw body, read by the caller itself, as far as it came."""
    seen = Seen(result=b"")
    messages = api.client(max_retries=retries).messages
    try:
        with messages.with_streaming_response.create(stream=True, **{**REQUEST, "model": model}) as response:
            for chunk in response.iter_bytes():
                seen.result += chunk
    except Exception as error:  # noqa: BLE001 - whatever the caller would have got
        seen.error = chain(error)
    return seen


def alike(seen: Seen) -> Seen:
    """Without what differs between the two halves of some releases of the SDK itself: the class of a 529."""
    return replace(
        seen,
        error=[
            ("anthropic.InternalServerError" if "OverloadedError" in kind else kind, said) for kind, said in seen.error
        ],
    )


@settings(some, max_examples=150)
@given(tales, courses, st.sampled_from(list(MANNERS)), calls)
def test_each_piece_reaches_the_caller_once_and_the_limits_hold(tale, course, manner, call):
    """Text and thinking in order and once, one message, all of it if it says so; requests and deadline; async alike."""
    assert policy_source({}, call.policy).load()[0] == call.policy  # else it would only be observed
    api = Storyteller(tale, course, MANNERS[manner])
    seen = call.made(api)
    assert api.requests
    assert not any("otel" in kind for kind, _ in seen.error)
    events = raw(seen.events)
    assert_one_message(events)
    assert tale.text.startswith(text(events))
    assert tale.thinking.startswith(pieces(events, "thinking_delta", "thinking"))
    if events and events[-1]["type"] == "message_stop":
        assert text(events) == tale.text
        assert pieces(events, "input_json_delta", "partial_json") == ('{"city":"Paris"}' if tale.tool else "")
        assert seen.error == [] or api.bodies
    if call.way == "stream" and seen.error == [] and events:
        written = "".join(block["text"] for block in seen.result[1]["content"] if block["type"] == "text")
        assert written == text(events)
    assert api.requests <= call.policy.limits.max_requests
    if call.policy.limits.deadline is not None:
        assert api.times[-1] <= call.policy.limits.deadline + LONGEST_SDK_SLEEP
    assert all(body.closed for body in api.bodies)
    other = Storyteller(tale, course, MANNERS[manner])
    assert alike(replace(call, way=f"async {call.way}").made(other)) == alike(seen)
    assert (other.asked, other.times) == (api.asked, api.times)
    assert all(body.closed for body in other.bodies)


@settings(some, max_examples=60)
@given(tales, courses, observing)
def test_observed_the_caller_sees_what_he_saw_before(tale, course, call):
    """Events, result, exceptions, requests and their times: as without us."""
    api = Storyteller(tale, course)
    seen = call.made(api)
    bare = Storyteller(tale, course)
    assert seen == replace(call, policy=None).made(bare)
    assert (api.asked, api.times) == (bare.asked, bare.times)


@settings(some, max_examples=40)
@given(tales, st.integers(0, 40), st.sampled_from(ENDINGS), st.sampled_from([Mode.RETRY, Mode.RESUME]))
def test_who_reads_the_bytes_gets_the_bytes(tale, at, how, mode):
    """Nobody knows what such a caller holds: nothing is done about a failure, whatever the mode."""
    course = [Turn("broken", at, how)]
    api = Storyteller(tale, course)
    seen = Call(RetryPolicy(mode=mode), "bytes").made(api)
    assert seen == Call(None, "bytes").made(Storyteller(tale, course))
    assert api.requests == 1


HARMLESS = st.one_of(
    st.builds(Turn, st.just("broken"), st.integers(0, 3), st.sampled_from(ENDINGS)),
    st.builds(Turn, st.just("status"), st.sampled_from([529, 500]), st.sampled_from([None, 0.2])),
    st.builds(Turn, st.just("refused"), st.just(0), st.sampled_from(["fin", "rst"])),
)
GENEROUS = RetryLimits(max_attempts=5, max_requests=10)


@settings(some, max_examples=40)
@given(texts(), st.lists(HARMLESS, max_size=1), st.sampled_from(["create", "async stream"]))
def test_what_fails_before_the_first_content_is_made_good(said, course, way):
    """Not only is nothing doubled: the caller gets the whole answer, and no error."""
    tale = Tale((said,))
    api = Storyteller(tale, [*course, WHOLE])
    policy = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE, limits=GENEROUS)
    seen = Call(policy, way).made(api)
    assert_one_message(raw(seen.events))
    assert (text(raw(seen.events)), seen.error, api.requests) == (said, [], len(course) + 1)


LONG = " ".join(f"{word}{number}" for number, word in enumerate(("word", "naïve", "日本語", "😀", "\n\n", "end") * 9))


@settings(some, max_examples=60)
@given(
    st.integers(1, 60).flatmap(lambda deltas: st.tuples(st.just(deltas), st.integers(3, 3 + deltas))),
    st.sampled_from([how for how in ENDINGS if not isinstance(how, Error)]),
    st.sampled_from(["anchored", "overlapping", "introduced"]),
    st.sampled_from([ASKED, PREFILLED]),
    st.sampled_from(["create", "async create", "stream"]),
)
def test_a_text_that_breaks_is_gone_on_with(where, how, manner, model, way):
    """Wherever it breaks, after enough text: the caller gets the whole answer, by two requests, and no error."""
    deltas, at = where
    if model == PREFILLED:  # to go on with a text that is whole, such a model says nothing, which is no seam
        at = min(at, 2 + deltas)
    tale = Tale((LONG,), deltas=deltas)
    api = Storyteller(tale, [Turn("broken", at, how), WHOLE], MANNERS[manner])
    seen = Call(RetryPolicy(mode=Mode.RESUME), way, model).made(api)
    handed = len("".join(LONG[len(LONG) * n // deltas : len(LONG) * (n + 1) // deltas] for n in range(at - 3)))
    if 0 < handed < 64:  # too short to go on with
        assert api.requests == 1
        return
    assert_one_message(raw(seen.events))
    assert (text(raw(seen.events)), seen.error, api.requests) == (LONG, [], 2)
