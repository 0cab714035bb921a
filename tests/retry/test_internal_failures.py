"""Each function of the retry layer raises in turn; the caller sees one of the results that it could see anyway."""

from __future__ import annotations

import contextvars
import gc
from dataclasses import dataclass, field, replace

import pytest
from tests.support.continuing_api import REFUSES_PREFILL
from tests.support.rig import API, Seen, by, instrumented, read
from tests.support.scenes import STORY, paced_script
from tests.support.targets import (
    POLICY_ONLY,
    TARGETS,
    Target,
    broken,
    code_of,
    code_reached,
    functions_in,
    modules_of,
    sample,
)

import otel_claude_stream._core.retry as core
import otel_claude_stream._sdk.retry as sdk
from otel_claude_stream import _guard
from otel_claude_stream._core.retry import resume
from otel_claude_stream._core.retry.concurrency import Limiter, Permit
from otel_claude_stream._core.retry.policy import (
    AUTO,
    Backoff,
    Clocks,
    Commit,
    Concurrency,
    Jitter,
    Mode,
    OnExceed,
    Resume,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    Scope,
    SdkRetries,
    Strategy,
    Watchdog,
)
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._session.policy_resolver import _limiters
from otel_claude_stream.testing import CutMidChunk, End, Error, Script

MODULES = (
    *(name for name in modules_of(core, resume, sdk) if not name.endswith(".resume")),
    "otel_claude_stream._session.policy_resolver",
)
FUNCTIONS = (*functions_in(MODULES), *(target for target in TARGETS if target.id in POLICY_ONLY))

COMPLETE = paced_script(STORY)
BROKEN = paced_script(STORY[:83]).cut_after(13, CutMidChunk())
CONTINUATION = paced_script(STORY[83 - 48 :])
WITH_THINKING = paced_script(STORY, thinking="Let me see")
RETRY = RetryPolicy(mode=Mode.RETRY)
RESUME = RetryPolicy(mode=Mode.RESUME)
PREFILL = RetryPolicy(mode=Mode.RESUME, resume=Resume(strategy=Strategy.PREFILL))
REPLACE_RETRIES = RetryPolicy(
    mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE, backoff=Backoff(type=Jitter.DECORRELATED)
)
CAP_RETRY_AFTER = RetryPolicy(mode=Mode.RETRY, retry_after=RetryAfter(max=1.0, on_exceed=OnExceed.CAP))
WATCHDOG = RetryPolicy(
    mode=Mode.RETRY, watchdog=Watchdog(first_event=40.0, silence=30.0, no_progress=60.0), raise_on_truncation=True
)
OBSERVED = RetryPolicy(watchdog=Watchdog(no_progress=60.0, thinking=Clocks(no_progress=90.0)))
DEADLINE = RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(deadline=5.0))
FALLBACK = RetryPolicy(mode=Mode.RETRY, fallback=(("claude-test", ("claude-opus-4-8",)),))
LIMITED = RetryPolicy(mode=Mode.RETRY, concurrency=Concurrency(max=1, scope=Scope.PROCESS))


def busy():
    limiter = Limiter(LIMITED.concurrency)
    limiter.enter(Permit(), 0)
    return limiter


BUSY = [busy() for _ in range(2000)]
"""Limiters without a free permit, made before their functions are broken."""
ADAPTS = RetryPolicy(mode=Mode.RETRY, concurrency=Concurrency(max=AUTO))
THINKING_IS_NO_OUTPUT = RetryPolicy(mode=Mode.RESUME, commit=Commit(thinking_is_output=False))


@dataclass(frozen=True)
class Case:
    """A call, the policy, and the scripts of the responses."""

    policy: RetryPolicy
    scripts: tuple[Script, ...]
    way: str = "create"
    options: dict = field(default_factory=lambda: {"max_retries": 0})
    busy: bool = False
    """Whether another request has the only permit."""
    closes: int = 0
    """The number of deltas after which the caller closes the stream; 0 if it does not."""

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
    "healthy": Case(RESUME, (COMPLETE,)),
    "healthy, async": Case(RESUME, (COMPLETE,), "async stream"),
    "retried": Case(RETRY, (COMPLETE.cut_after(2, Error()), COMPLETE)),
    "retried, helper": Case(RESUME, (COMPLETE.cut_after(2), COMPLETE), "stream"),
    "retried, async": Case(RESUME, (COMPLETE.cut_after(2, End()), COMPLETE), "async create"),
    "retried without thinking": Case(THINKING_IS_NO_OUTPUT, (WITH_THINKING.cut_after(5), WITH_THINKING)),
    "retried without thinking, after the text began": Case(
        THINKING_IS_NO_OUTPUT, (WITH_THINKING.cut_after(9), WITH_THINKING), "async stream"
    ),
    "resumed": Case(RESUME, (BROKEN, CONTINUATION)),
    "resumed, helper": Case(RESUME, (BROKEN, CONTINUATION), "stream"),
    "resumed, async": Case(RESUME, (BROKEN, CONTINUATION), "async create"),
    "resumed, short overlap": Case(RESUME, (BROKEN, paced_script(STORY[83 - 20 :])), "async stream"),
    "prefilled": Case(PREFILL, (BROKEN, paced_script(STORY[83:]))),
    "prefill refused": Case(PREFILL, (BROKEN, Script.http_error(400, message=REFUSES_PREFILL[0]), CONTINUATION)),
    "not resumed": Case(RESUME, (BROKEN, paced_script("Of course!"))),
    "not resumed, async": Case(RESUME, (BROKEN, paced_script("Of course!")), "async stream"),
    "retried in vain": Case(RETRY, (COMPLETE.cut_after(2), Script.http_error(529))),
    "retried by the policy": Case(REPLACE_RETRIES, (Script.http_error(529), COMPLETE)),
    "retried by the policy, async": Case(REPLACE_RETRIES, (Script.http_error(529), COMPLETE), "async create"),
    "retried by the policy in vain": Case(REPLACE_RETRIES, (Script.http_error(500),)),
    "retried by the SDK": Case(
        CAP_RETRY_AFTER, (Script.http_error(529, headers=[("retry-after", "9")]), COMPLETE), options={"max_retries": 1}
    ),
    "fallback": Case(FALLBACK, (Script.http_error(529), COMPLETE)),
    "fallback in the stream, async": Case(FALLBACK, (COMPLETE.cut_after(2, Error()), COMPLETE), "async stream"),
    "fallback in vain": Case(FALLBACK, (Script.http_error(529), Script.http_error(400))),
    "refused": Case(CAP_RETRY_AFTER, (Script.no_response(), COMPLETE), options={"max_retries": 1}),
    "past the deadline": Case(DEADLINE, (replace(Script.no_response(), header_delay=9.0),), options={"max_retries": 1}),
    "stalled": Case(WATCHDOG, (COMPLETE.insert_pause(5, 100.0, ping_interval=20.0), COMPLETE)),
    "stalled, async": Case(WATCHDOG, (COMPLETE.insert_pause(1, 100.0, ping_interval=20.0), COMPLETE), "async create"),
    "stalled, observed": Case(OBSERVED, (COMPLETE.insert_pause(5, 100.0, ping_interval=20.0),)),
    "truncated": Case(WATCHDOG, (COMPLETE.cut_after(6, End()),)),
    "limited": Case(ADAPTS, (COMPLETE.cut_after(2, Error()), COMPLETE)),
    "limited, rejected by the SDK": Case(
        ADAPTS, (Script.http_error(529), COMPLETE), "async create", {"max_retries": 1}
    ),
    "limited, observed": Case(replace(LIMITED, mode=Mode.OBSERVE), (COMPLETE,), busy=True),
    "limited, in vain": Case(LIMITED, (COMPLETE,), busy=True),
    "closed": Case(RESUME, (BROKEN, CONTINUATION), closes=12),
}

_SEEN: dict[tuple[str, bool | None], Seen] = {}


def with_policy(monkeypatch, case, **settings):
    """Return what the caller sees while the policy acts."""
    api = API(CASES[case].scripts)
    with instrumented(monkeypatch, api.clock, retry_policy=CASES[case].policy, events="both", **settings) as capture:
        if CASES[case].busy:
            _limiters._limiters[("", "", ()), LIMITED.concurrency] = BUSY.pop()
        # Run in a copy of the context, which a broken function may fail to restore.
        seen = contextvars.copy_context().run(CASES[case].read, api)
        capture.clear()  # collects the metrics
    return seen


def without_failures(monkeypatch, case):
    """Return what the caller sees while the policy acts and no function is broken."""
    if (case, True) not in _SEEN:
        _SEEN[case, True] = with_policy(monkeypatch, case)
    return _SEEN[case, True]


def bare(monkeypatch, case):
    """Return what the caller sees without this package."""
    if (case, False) not in _SEEN:
        api = API(CASES[case].scripts)
        with by(api.clock, monkeypatch):
            _SEEN[case, False] = CASES[case].read(api)
    return _SEEN[case, False]


def first_attempt_only(monkeypatch, case):
    """Return what the caller sees if the policy allows no further attempt, for example the time-out of a watchdog."""
    if (case, None) not in _SEEN:
        policy = replace(CASES[case].policy, limits=RetryLimits(max_attempts=1, max_resumes=0, max_requests=1))
        api = API(CASES[case].scripts)
        with instrumented(monkeypatch, api.clock, retry_policy=policy):
            _SEEN[case, None] = CASES[case].read(api)
    return _SEEN[case, None]


def is_acceptable(monkeypatch, case, seen):
    """Return whether the caller could have seen this without a broken function.

    That is the case without this package, with the policy, or with the policy after the first attempt. The error of the
    original stream may also come later, after a part of the continuation.
    """
    original, saved = bare(monkeypatch, case), without_failures(monkeypatch, case)
    if seen in (original, saved, first_attempt_only(monkeypatch, case)):
        return True
    if seen.error == saved.error == [] and seen.events == saved.events[:-1] and seen.result == saved.result:
        return True  # the message is complete without `message_stop`
    if CASES[case].closes and seen.error == [] and saved.events[: len(seen.events)] == seen.events:
        return True  # the caller closed the stream earlier or later
    later = seen.events[: len(original.events)] == original.events and saved.events[: len(seen.events)] == seen.events
    return later and seen.error == original.error and seen.result == original.result


@pytest.fixture(scope="module")
def cases_of():
    """Return a function that lists the cases that reach a target."""
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for case in CASES:
            with code_reached() as found[case]:
                with_policy(monkeypatch, case)
    return lambda target: [case for case, codes in found.items() if code_of(target) in codes]


@pytest.fixture(autouse=True)
def _discard_open_streams():
    """Discard the streams that a broken function leaves open."""
    yield
    _streams._sessions.clear()
    _streams._anchors.clear()
    _streams._deferred.clear()


def test_the_cases_differ_where_they_should(monkeypatch):
    """The cases that the policy saves differ from those without it, so that a comparison can find a difference."""
    same = {case for case in CASES if without_failures(monkeypatch, case) == bare(monkeypatch, case)}
    assert same == {"healthy", "healthy, async", "not resumed", "not resumed, async", "retried by the policy in vain",
                    "retried by the SDK", "fallback in vain", "refused", "stalled, async", "stalled, observed",
                    "limited, observed", "limited, rejected by the SDK", "past the deadline"}  # fmt: skip


DRIVER = "reads or sends for the caller; the functions that it calls are broken one by one"
NOT_HERE = "is used by the checks of a policy file"
PROCESS = "runs once in a process, not while a stream is read"
PASSED_THROUGH: dict[str, str] = {
    **{
        f"_sdk.retry.driver_{half}:{name}": DRIVER
        for half in ("sync", "async")
        for name in ("_drive", "_carry_out", f"frames_{half}", f"send_{half}", f"close_{half}")
    },
    "_sdk.retry.sleeping:sleep_sync": DRIVER,
    "_sdk.retry.sleeping:sleep_async": DRIVER,
    "_sdk.retry.sleeping:wait_sync": DRIVER,
    "_sdk.retry.sleeping:wait_async": DRIVER,
    "_sdk.retry.flow:RetryFlow._admitted": DRIVER,
    "_sdk.retry.call_context:CallContext.__init__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__init__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__enter__": DRIVER,
    "_sdk.retry.call_context:RequestScope.__exit__": DRIVER,
    "_sdk.retry.call_context:RequestScope.failed": DRIVER,
    "_sdk.retry.flow:RetryFlow.requests": DRIVER,
    "_sdk.retry.flow:RetryFlow._send_first_again": DRIVER,
    "_sdk.retry.flow:RetryFlow.recover": DRIVER,
    "_sdk.retry.flow:RetryFlow.wake_by": DRIVER,
    "_sdk.retry.gate:Gate.take": DRIVER,
    "_sdk.retry.gate:Gate.passthrough": DRIVER,
    "_sdk.retry.gate:Gate.message_complete": DRIVER,
    "_sdk.retry.flow:RetryFlow.emit_final_failure": DRIVER,
    "_sdk.retry.gate:Gate._with_arrivals": DRIVER,
    "_sdk.retry.gate:Gate._take_buffer": DRIVER,
    "_sdk.retry.gate:Gate.release": DRIVER,
    "_sdk.retry.failure:Failure.of": DRIVER,
    "_sdk.retry.failure:PendingFailures.__init__": DRIVER,
    "_sdk.retry.failure:PendingFailures.to_raise": DRIVER,
    **{
        f"_sdk.retry.watchdog:WatchedReads.{name}": DRIVER
        for name in ("begin", "_check", "returned", "failed", "expired", "_raise", "needs_scope", "sync_reads")
    },
    "_sdk.retry.watchdog:AsyncWatchedReads.__anext__": DRIVER,
    "_sdk.retry.watchdog:AsyncWatchedReads._scoped": DRIVER,
    "_sdk.retry.resend:Resend.call": "is the fallback if `first` fails",
    **dict.fromkeys(
        (f"_sdk.retry.forwarding:ForwardingBody.{name}" for name in ("__class__", "__getattr__", "close", "aclose")),
        "forwards an attribute or a call to the body of the response",
    ),
    "_core.retry.budget:RetryBudgets.reset": PROCESS,
    "_core.retry.concurrency:Limiters.reset": PROCESS,
    "_session.permits:CallPermits.__del__": "is a finaliser, which only calls a guarded method",
}
NEVER_REACHED: dict[str, str] = {
    "_sdk.retry.watchdog:LimitedRead.__init__": "needs a socket; test_watchdog.py",
    "_sdk.retry.watchdog:LimitedRead.__call__": "needs a socket; test_watchdog.py",
    "_sdk.retry.watchdog:LimitedTimeouts.__init__": "needs HTTP/2; test_watchdog_transports.py",
    "_sdk.retry.watchdog:LimitedTimeouts.get": "needs HTTP/2; test_watchdog_transports.py",
    "_sdk.retry.watchdog:WatchedReads.limited": "needs a socket or HTTP/2; test_watchdog.py",
    "_sdk.retry.watchdog:WatchedReads.read_timeout": "needs a socket or HTTP/2; test_watchdog.py",
    "_core.retry.resume.seam:missing_low_surrogate": "needs a server that splits a character; see tests/core",
    "_core.retry.resume.seam:SeamFinder.has_tail": "needs another text block after the seam; see tests/core",
    "_core.retry.budget:RetryBudgets.__init__": PROCESS,
    "_core.retry.concurrency:Limiters.__init__": PROCESS,
    **dict.fromkeys(
        (
            "_sdk.retry.sleeping:_in_this_loop",
            "_sdk.retry.flow:RetryFlow.permit_wakes",
            "_session.attempts:Attempts.admitted",
            "_session.permits:CallPermits.wake_by",
            "_core.retry.concurrency:Permit.wake_by",
        ),
        "needs another call that ends; test_concurrency.py",
    ),
    "_session.permits:CallPermits.queued": "needs the command `run`",
    **dict.fromkeys(
        ("_core.retry.resume.capabilities:known_to_refuse", "_core.retry.resume.capabilities:_matches_one_of"), NOT_HERE
    ),
}
NOT_COUNTED: dict[str, str] = {}
MAX_CASES = 5
"""Limit of cases for each function."""


@pytest.mark.parametrize("target", [x for x in FUNCTIONS if x.id not in PASSED_THROUGH], ids=lambda target: target.id)
def test_a_failing_function_leaves_the_caller_an_acceptable_result(monkeypatch, cases_of, target: Target):
    """The failure is counted in each case that reaches the function."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    failures = 0
    for case in sample(cases_of(target), MAX_CASES):
        monkeypatch.setattr(_guard, "_counts", {})
        for expected in (without_failures, first_attempt_only, bare):
            expected(monkeypatch, case)
        with broken(target) as calls:
            seen = with_policy(monkeypatch, case)
        assert is_acceptable(monkeypatch, case, seen), f"{case}: {len(calls)} failures; {seen.error}"
        assert bool(_guard.counts()) is bool(calls) or target.id in NOT_COUNTED, case
        failures += len(calls)
    assert failures or target.id in NEVER_REACHED
    gc.collect(1)


def test_the_cases_reach_every_function_that_is_not_listed(cases_of):
    """`NEVER_REACHED` lists exactly the functions that no case reaches."""
    targets = [target for target in FUNCTIONS if target.id not in PASSED_THROUGH]
    assert {target.id for target in targets if not cases_of(target)} == set(NEVER_REACHED)
    assert set(PASSED_THROUGH) | set(NOT_COUNTED) <= {target.id for target in FUNCTIONS}
