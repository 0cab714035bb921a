"""Every function of the recovery made to raise in turn: the caller's answer is one that he could get without that."""

from __future__ import annotations

import contextvars
import gc
from dataclasses import dataclass, field, replace

import pytest
from tests.failopen.test_broken import ACTING, NOT_REACHED
from tests.support.rig import API, Seen, by, instrumented, read
from tests.support.scenes import STORY, told
from tests.support.story import REFUSES_PREFILL
from tests.support.targets import TARGETS, Target, broken, code_of, found_in, modules_of, reached

import otel_claude_stream._core.retry as core
import otel_claude_stream._sdk.retry as sdk
from otel_claude_stream import _guard
from otel_claude_stream._core.retry import resume
from otel_claude_stream._core.retry.policy import (
    Backoff,
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
    Watchdog,
)
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream.testing import CutMidChunk, End, Error, Script

MODULES = (
    *(name for name in modules_of(core, resume, sdk) if not name.endswith(".resume")),
    "otel_claude_stream._session.policy_resolver",
)
ELSEWHERE = {target for target, why in NOT_REACHED.items() if why is ACTING}
"""What tests/failopen leaves to this one."""
FUNCTIONS = (*found_in(MODULES), *(target for target in TARGETS if target.id in ELSEWHERE))

WHOLE = told(STORY)
BROKE = told(STORY[:83]).cut_after(13, CutMidChunk())
REST = told(STORY[83 - 48 :])
THOUGHT = told(STORY, thinking="Let me see")
RETRY = RetryPolicy(mode=Mode.RETRY)
RESUME = RetryPolicy(mode=Mode.RESUME)
PREFILL = RetryPolicy(mode=Mode.RESUME, resume=Resume(strategy=Strategy.PREFILL))
OWN = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE, backoff=Backoff(type=Jitter.DECORRELATED))
CAPPED = RetryPolicy(mode=Mode.RETRY, retry_after=RetryAfter(max=1.0, on_exceed=OnExceed.CAP))
WATCHED = RetryPolicy(
    mode=Mode.RETRY, watchdog=Watchdog(first_event=40.0, silence=30.0, no_progress=60.0), raise_on_truncation=True
)
HASTY = RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(deadline=5.0))
SHOWS_NO_THINKING = RetryPolicy(mode=Mode.RESUME, commit=Commit(thinking_is_output=False))


@dataclass(frozen=True)
class Case:
    """A call, and what is done about it."""

    policy: RetryPolicy
    scripts: tuple[Script, ...]
    way: str = "create"
    options: dict = field(default_factory=lambda: {"max_retries": 0})
    closes: int = 0
    """Deltas after which the caller closes the stream, if he does."""

    def read(self, api: API) -> Seen:
        stream = []
        deltas = 0

        def each(event):
            nonlocal deltas
            deltas += getattr(event, "type", "") == "content_block_delta"
            if self.closes and deltas == self.closes and "async" not in self.way:
                stream[0].close()

        return read(api, self.way, before=stream.append, each=each, options=self.options)


CASES = {
    "healthy": Case(RESUME, (WHOLE,)),
    "healthy, async": Case(RESUME, (WHOLE,), "async stream"),
    "replayed": Case(RETRY, (WHOLE.cut_after(2, Error()), WHOLE)),
    "replayed, helper": Case(RESUME, (WHOLE.cut_after(2), WHOLE), "stream"),
    "replayed, async": Case(RESUME, (WHOLE.cut_after(2, End()), WHOLE), "async create"),
    "replayed without thinking": Case(SHOWS_NO_THINKING, (THOUGHT.cut_after(5), THOUGHT)),
    "replayed without thinking, from the text": Case(
        SHOWS_NO_THINKING, (THOUGHT.cut_after(9), THOUGHT), "async stream"
    ),
    "resumed": Case(RESUME, (BROKE, REST)),
    "resumed, helper": Case(RESUME, (BROKE, REST), "stream"),
    "resumed, async": Case(RESUME, (BROKE, REST), "async create"),
    "resumed by less": Case(RESUME, (BROKE, told(STORY[83 - 20 :])), "async stream"),
    "prefilled": Case(PREFILL, (BROKE, told(STORY[83:]))),
    "prefill refused": Case(PREFILL, (BROKE, Script.http_error(400, message=REFUSES_PREFILL[0]), REST)),
    "not resumed": Case(RESUME, (BROKE, told("Of course!"))),
    "not resumed, async": Case(RESUME, (BROKE, told("Of course!")), "async stream"),
    "replayed in vain": Case(RETRY, (WHOLE.cut_after(2), Script.http_error(529))),
    "retried by the policy": Case(OWN, (Script.http_error(529), WHOLE)),
    "retried by the policy, async": Case(OWN, (Script.http_error(529), WHOLE), "async create"),
    "retried by the policy in vain": Case(OWN, (Script.http_error(500),)),
    "retried by the SDK": Case(
        CAPPED, (Script.http_error(529, headers=[("retry-after", "9")]), WHOLE), options={"max_retries": 1}
    ),
    "refused": Case(CAPPED, (Script.no_response(), WHOLE), options={"max_retries": 1}),
    "too late": Case(HASTY, (replace(Script.no_response(), header_delay=9.0),), options={"max_retries": 1}),
    "watched": Case(WATCHED, (WHOLE.insert_pause(5, 100.0, ping_interval=20.0), WHOLE)),
    "watched, async": Case(WATCHED, (WHOLE.insert_pause(1, 100.0, ping_interval=20.0), WHOLE), "async create"),
    "truncated": Case(WATCHED, (WHOLE.cut_after(6, End()),)),
    "closed": Case(RESUME, (BROKE, REST), closes=12),
}

_SEEN: dict[tuple[str, bool | None], Seen] = {}


def recovered(monkeypatch, case, **settings):
    """What the caller sees with us in place."""
    api = API(CASES[case].scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=CASES[case].policy, events="both", **settings) as capture:
        # In a context of its own: a failing `leave` cannot restore it.
        seen = contextvars.copy_context().run(CASES[case].read, api)
        capture.metrics()
    return seen


def unbroken(monkeypatch, case):
    if (case, True) not in _SEEN:
        _SEEN[case, True] = recovered(monkeypatch, case)
    return _SEEN[case, True]


def bare(monkeypatch, case):
    """What the caller sees without us."""
    if (case, False) not in _SEEN:
        api = API(CASES[case].scripts)
        with by(api.clock, monkeypatch):
            _SEEN[case, False] = CASES[case].read(api)
    return _SEEN[case, False]


def given_up(monkeypatch, case):
    """What the caller sees of the first attempt alone, of a policy that is done with it: a watchdog's time-out, say."""
    if (case, None) not in _SEEN:
        policy = replace(CASES[case].policy, limits=RetryLimits(max_attempts=1, max_resumes=0, max_requests=1))
        api = API(CASES[case].scripts)
        with instrumented(monkeypatch, api.clock, retry_policy=policy):
            _SEEN[case, None] = CASES[case].read(api)
    return _SEEN[case, None]


def possible(monkeypatch, case, seen):
    """Whether the caller could have got this: bare, recovered, or given up at once.

    Or the error of the bare stream, later: of a continuation nothing is taken back, and its end may be ours to lose.
    """
    one, other = bare(monkeypatch, case), unbroken(monkeypatch, case)
    if seen in (one, other, given_up(monkeypatch, case)):
        return True
    if seen.error == other.error == [] and seen.events == other.events[:-1] and seen.result == other.result:
        return True  # of a message that is complete, `message_stop` may be missing: nobody misses it
    if CASES[case].closes and seen.error == [] and other.events[: len(seen.events)] == seen.events:
        return True  # he has closed it
    later = seen.events[: len(one.events)] == one.events and other.events[: len(seen.events)] == seen.events
    return later and seen.error == one.error and seen.result == one.result


@pytest.fixture(scope="module")
def cases_of():
    """Which cases reach a function."""
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for case in CASES:
            with reached() as found[case]:
                recovered(monkeypatch, case)
    return lambda target: [case for case, codes in found.items() if code_of(target) in codes]


@pytest.fixture(autouse=True)
def _no_stream_is_left():
    """A function that is broken whole leaves streams open: they are not the next test's."""
    yield
    _streams._sessions.clear()
    _streams._anchors.clear()
    _streams._deferred.clear()


def test_the_cases_differ_where_they_should(monkeypatch):
    """A recovery is something else than what the caller gets without us; a healthy stream is not."""
    same = {case for case in CASES if unbroken(monkeypatch, case) == bare(monkeypatch, case)}
    assert same == {"healthy", "healthy, async", "not resumed", "not resumed, async", "retried by the policy in vain",
                    "retried by the SDK", "refused", "watched, async", "too late"}  # fmt: skip


DRIVER = "is the reading or the request itself, with us around it: what it does of ours is broken in turn"
NOT_HERE = "is for the checks of a policy's file"
PROCESS = "runs once a process, not while a stream is read"
PASSED_THROUGH: dict[str, str] = {
    **{
        f"_sdk.retry.driver_{half}:{name}": DRIVER
        for half in ("sync", "async")
        for name in ("_drive", "_carry_out", f"frames_{half}", f"send_{half}", f"close_{half}")
    },
    "_sdk.retry.sleeping:sleep_sync": DRIVER,
    "_sdk.retry.sleeping:sleep_async": DRIVER,
    "_sdk.retry.call_context:CallContext.__init__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__init__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__enter__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__exit__": DRIVER,
    "_sdk.retry.flow:RetryFlow.requests": DRIVER,
    "_sdk.retry.flow:RetryFlow.recover": DRIVER,
    "_sdk.retry.flow:RetryFlow.wake_by": DRIVER,
    "_sdk.retry.gate:Gate.take": DRIVER,
    "_sdk.retry.gate:Gate.passthrough": DRIVER,
    "_sdk.retry.flow:RetryFlow.emit_final_failure": DRIVER,
    "_sdk.retry.gate:Gate._with_arrivals": DRIVER,
    "_sdk.retry.gate:Gate._take_buffer": DRIVER,
    "_sdk.retry.gate:Gate.release": DRIVER,
    "_sdk.retry.failure:Failure.of": DRIVER,
    "_sdk.retry.failure:PendingFailures.__init__": DRIVER,
    "_sdk.retry.failure:PendingFailures.to_raise": DRIVER,
    "_sdk.retry.watchdog:WatchedReads.check": DRIVER,
    "_sdk.retry.watchdog:WatchedReads.sync_reads": DRIVER,
    "_sdk.retry.watchdog:WatchedReads.async_reads": DRIVER,
    "_sdk.retry.resend:Resend.call": "is what there is if `first` fails",
    **dict.fromkeys(
        (f"_sdk.retry.forwarding:ForwardingBody.{name}" for name in ("__class__", "__getattr__", "close", "aclose")),
        "is the body of a response, of which it hands everything through",
    ),
    "_core.retry.budget:RetryBudgets.reset": PROCESS,
}
NEVER_REACHED: dict[str, str] = {
    "_core.retry.resume.seam:missing_low_surrogate": "only where a server splits a character: tests/core",
    "_session.policy_resolver:PolicyResolver._observed": "is for who only observes: broken in tests/failopen",
    "_core.retry.budget:RetryBudgets.__init__": PROCESS,
    **dict.fromkeys(
        ("_core.retry.resume.capabilities:known_to_refuse", "_core.retry.resume.capabilities:_matches_one_of"), NOT_HERE
    ),
}
NOT_COUNTED: dict[str, str] = {}
MOST = 5


def spread(cases):
    """At most so many of some cases, from all of them."""
    step = len(cases) / MOST
    return cases if step <= 1 else [cases[int(number * step)] for number in range(MOST)]


@pytest.mark.parametrize("target", [x for x in FUNCTIONS if x.id not in PASSED_THROUGH], ids=lambda target: target.id)
def test_a_failure_of_ours_is_nobodys_but_ours(monkeypatch, cases_of, target: Target):
    """In every case that reaches it; and it is counted."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    failures = 0
    for case in spread(cases_of(target)):
        monkeypatch.setattr(_guard, "_counts", {})
        for expected in (unbroken, given_up, bare):
            expected(monkeypatch, case)
        with broken(target) as calls:
            seen = recovered(monkeypatch, case)
        assert possible(monkeypatch, case, seen), f"{case}: {len(calls)} failures; {seen.error}"
        assert bool(_guard.counts()) is bool(calls) or target.id in NOT_COUNTED, case
        failures += len(calls)
    assert failures or target.id in NEVER_REACHED
    gc.collect(1)


def test_every_function_is_reached(cases_of):
    """What is not broken above is named here, with the reason."""
    targets = [target for target in FUNCTIONS if target.id not in PASSED_THROUGH]
    assert {target.id for target in targets if not cases_of(target)} == set(NEVER_REACHED)
    assert set(PASSED_THROUGH) | set(NOT_COUNTED) <= {target.id for target in FUNCTIONS}
