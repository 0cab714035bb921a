"""Every function of this package raises in turn. The caller sees the same as without it, and the failure is counted."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
from dataclasses import dataclass, replace

import anthropic
import pytest
from tests.support.rig import API, REQUEST, WAYS, Seen, by, chain, instrumented, plain, read
from tests.support.scenes import BUSY, MESSAGE, after
from tests.support.targets import TARGETS, Target, broken, code_of, reached

from otel_claude_stream import _guard
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._session.stall_ticker import StallTicker
from otel_claude_stream.testing import CutMidChunk, Error, Event, Pause, Script


@dataclass(frozen=True)
class Case:
    """One way to read one kind of stream."""

    way: str
    scripts: tuple[Script, ...]

    def read(self, api):
        if "bytes" in self.way:
            return read_bytes(api)
        if self.way == "left":
            return leave(api)
        if "dropped" in self.way:
            if self.way == "dropped":
                return drop(api)
            seen = asyncio.run(adrop(api))
            gc.collect(1)  # Python 3.10 keeps what a task held until then
            return seen
        return read(api, self.way)


def read_bytes(api):
    """The raw body, read by the caller itself."""
    seen = Seen()
    try:
        with api.client().messages.with_streaming_response.create(stream=True, **REQUEST) as response:
            seen.result = b"".join(response.iter_bytes())
    except Exception as error:  # noqa: BLE001 - whatever the caller would have got
        seen.error = chain(error)
    return seen


def leave(api):
    """The caller's own error leaves the `with` block."""
    seen = Seen()
    try:
        with api.client().messages.create(stream=True, **REQUEST) as stream:
            seen.events.append(plain(next(stream)))
            int("the caller's own")
    except ValueError as error:
        seen.error = chain(error)
    return seen


def drop(api):
    """A stream that is dropped after two events, without a close."""
    stream = api.client().messages.create(stream=True, **REQUEST)
    seen = Seen([plain(next(stream)), plain(next(stream))])
    del stream
    gc.collect(1)
    seen.result = api.bodies[0].closed > 0
    return seen


async def adrop(api):
    """As `drop`."""
    stream = await api.async_client().messages.create(stream=True, **REQUEST)
    seen = Seen([plain(await anext(stream)), plain(await anext(stream))])
    del stream
    gc.collect(1)
    return seen


def events(*said):
    return [Event(data["type"], data) for data in said]


ODD = after(
    MESSAGE,
    3,
    *events(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta", "new": 1}},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
        {"type": "new_event"},
    ),
    *MESSAGE.steps[-3:],
)
STRAY = {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "a"}}
SPOILT = after(MESSAGE, 3, *events(STRAY))
"""The SDK's helper fails on it, as there is no eighth block."""
EVERY_BLOCK = Script.message("Yes.", thinking="Let me see", tool=("get_weather", {"city": "Paris"}), gap=0.02)
FAILING = MESSAGE.cut_after(6, Error())
CUT = after(MESSAGE, 6, Pause(60), CutMidChunk())
CASES = {
    **{
        f"{name}, {way}": Case(way, (script,))
        for name, script in (("healthy", MESSAGE), ("error", FAILING), ("cut", CUT))
        for way in WAYS
    },
    "every block": Case("create", (EVERY_BLOCK,)),
    "odd": Case("create", (ODD,)),
    "odd, async": Case("async create", (ODD,)),
    "retried": Case("create", (BUSY, MESSAGE)),
    "retried, async": Case("async create", (BUSY, MESSAGE)),
    "refused": Case("create", (Script.no_response(),)),
    "refused, async": Case("async create", (Script.no_response(),)),
    "left": Case("left", (MESSAGE,)),
    "spoilt": Case("stream", (SPOILT,)),
    "compressed bytes": Case("bytes", (replace(MESSAGE, headers=(("content-encoding", "gzip"),)),)),
    "rejected": Case("create", (Script.http_error(400),)),
    "gateway": Case("create", (Script.nginx_error(504),)),
    "bytes": Case("bytes", (MESSAGE,)),
    "cut bytes": Case("bytes", (CUT,)),
    "failing bytes": Case("bytes", (FAILING,)),
    "opaque bytes": Case(
        "bytes", (replace(MESSAGE, headers=(("content-type", "application/vnd.amazon.eventstream"),)),)
    ),
    "dropped": Case("dropped", (MESSAGE,)),
    "dropped, async": Case("async dropped", (MESSAGE,)),
}

CALL = "is the call of the SDK with us around it: what it does of ours is broken in turn"
SHELL = "is what the SDK reads from, with us around it: what it does of ours is broken in turn"
PROXY = "is an attribute of the body that is handed through"
PASSED_THROUGH = {
    **dict.fromkeys(
        (
            "_sdk.attach.sdk_hooks:SdkHooks.sync_request",
            "_sdk.attach.sdk_hooks:SdkHooks.async_request",
            "_sdk.attach.sdk_hooks:SdkHooks.should_retry",
            "_sdk.attach.sdk_hooks:SdkHooks.calculate_retry_timeout",
            "_sdk.attach.sdk_hooks:SdkHooks.process_response",
            "_sdk.attach.sdk_hooks:SdkHooks.sync_iter_events",
            "_sdk.attach.sdk_hooks:SdkHooks.async_iter_events",
            "_sdk.attach.sdk_hooks:SdkHooks.sync_stream",
            "_sdk.attach.sdk_hooks:SdkHooks.async_stream",
            "_sdk.attach.sdk_hooks:SdkHooks.close",
            "_sdk.attach.sdk_hooks:_CallEnd.__init__",
            "_sdk.attach.sdk_hooks:_CallEnd.__enter__",
            "_sdk.attach.sdk_hooks:_CallEnd.__exit__",
            "_sdk.attach.sdk_hooks:_with_events",
            "_sdk.attach.sdk_hooks:_with_frames",
        ),
        CALL,
    ),
    **dict.fromkeys(
        (
            "_sdk.read.aio:AsyncShell.__aiter__",
            "_sdk.read.aio:AsyncEvents.__anext__",
            "_sdk.read.aio:AsyncFrames.__anext__",
            "_sdk.read.body:AsyncReads.__anext__",
            "_sdk.read.body:AsyncGeneratorReads.aclose",
            "_sdk.read.body:TimedBody.__iter__",
            "_sdk.read.body:TimedBody.__aiter__",
            "_sdk.read.body:TimedBody.close",
            "_sdk.read.body:TimedBody.aclose",
        ),
        SHELL,
    ),
    "_sdk.read.body:TimedBody.__class__": PROXY,
    "_sdk.read.body:TimedBody.__getattr__": PROXY,
    "_session.registry:_Dropped.__call__": "is a boundary itself, called by the interpreter; what it calls is broken",
}
"""Functions that are not made to raise while a stream is read, and why."""

NOT_COUNTED = {
    "_core.stream.events:is_well_formed": "decides whether an odd event is to be reported at all",
}
"""Functions whose failure need not be counted, and why."""


_BARE: dict[str, Seen] = {}


def bare(monkeypatch, case):
    """Return what the caller sees without this package."""
    if case not in _BARE:
        api = API(CASES[case].scripts)
        with by(api.clock, monkeypatch):
            _BARE[case] = CASES[case].read(api)
    return _BARE[case]


def collected(capture):
    """Collect, and again if another thread has created a series. SDK 1.37 iterates over its instruments unlocked."""
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            return capture.metrics() is not None
    return capture.metrics() is not None


def observed(monkeypatch, case):
    api = API(CASES[case].scripts)
    with instrumented(monkeypatch, api.clock, events="both", semconv="both", stall_thresholds="10ms") as capture:
        if case == "every block":  # metrics are collected while the stream is open
            api.chunks = lambda chunks: [chunk for chunk in chunks if collected(capture)]
        # In a context of its own: a failing `leave` cannot restore it.
        seen = contextvars.copy_context().run(CASES[case].read, api)
        collected(capture)
    return seen


@pytest.fixture(autouse=True, scope="module")
def _first_stream_was_before():
    """Nothing that happens once a process happens in the test that comes first."""
    _streams._child_looked_at = True


@pytest.fixture(scope="module")
def cases_of():
    """Which cases reach a function."""
    found: dict[str, set] = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for case in CASES:
            with reached() as found[case]:
                observed(monkeypatch, case)
    return lambda target: [case for case, codes in found.items() if code_of(target) in codes]


def test_the_cases_differ_where_they_should(monkeypatch):
    """The comparison can see a difference: whole streams raise nothing, the others do."""
    whole = {case for case in CASES if not bare(monkeypatch, case).error}
    assert whole == {
        case
        for case in CASES
        if case.startswith(("healthy", "every", "odd", "retried", "bytes", "opaque", "dropped", "failing bytes"))
    }
    assert bare(monkeypatch, "bytes").result == MESSAGE.body()
    assert len({repr(bare(monkeypatch, case)) for case in CASES}) > 15


@pytest.mark.parametrize("case", CASES)
def test_unbroken_the_caller_sees_the_same(monkeypatch, case):
    assert observed(monkeypatch, case) == bare(monkeypatch, case)


MOST = 14
"""Most cases for one function. Twice as many reach a function that every stream runs, in the same way."""


def spread(cases):
    """At most so many of some cases, from all of them."""
    step = len(cases) / MOST
    return cases if step <= 1 else [cases[int(number * step)] for number in range(MOST)]


@pytest.fixture(autouse=True)
def _no_stream_is_left():
    """A broken `ended` leaves streams open, which do not belong to the next test."""
    yield
    _streams._sessions.clear()
    _streams._anchors.clear()
    _streams._deferred.clear()


BROKEN = [target for target in TARGETS if target.id not in PASSED_THROUGH]


def test_every_exception_is_one_that_exists():
    assert set(PASSED_THROUGH) | set(NOT_COUNTED) <= {target.id for target in TARGETS}


@pytest.mark.parametrize("target", BROKEN, ids=lambda target: target.id)
def test_a_failure_of_ours_is_nobodys_but_ours(monkeypatch, cases_of, target: Target):
    """In every case that reaches it, events, result and exception are those of the bare run, and it is counted."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    failures = 0
    for case in spread(cases_of(target)):
        monkeypatch.setattr(_guard, "_counts", {})
        with broken(target) as calls:
            assert observed(monkeypatch, case) == bare(monkeypatch, case), f"{case}: {len(calls)} failures"
        assert bool(_guard.counts()) is bool(calls) or target.id in NOT_COUNTED, case
        failures += len(calls)
    assert failures or target.id in NOT_REACHED
    gc.collect(1)
    assert len(_streams) == 0 or target.id in LEFT_OPEN


LEFT_OPEN = {
    "_session.session:StreamSession.ended": "what ends a stream",
    "_session.registry:OpenStreams.remove": "what takes an ended stream off the list",
}
"""Functions whose failure leaves a stream on the list of the open ones until the process ends, and why."""


ELSEWHERE = "its own test below breaks it"
PROCESS = "runs once a process, not while a stream is read"
NO_REAL_TIME = "its thread goes by real time, which there is none of here"
ACTING = "runs only where the policy does more than observe: broken in tests/retry"
NOT_REACHED = {
    "_sdk.read.aio:AsyncShell.__anext__": "is overridden by every shell",
    "_sdk.read.aio:AsyncShell.__getattr__": PROXY,
    "_sdk.read.body:AsyncGeneratorReads.asend": PROXY,
    "_sdk.read.body:AsyncGeneratorReads.athrow": PROXY,
    "_session.child_exit:at_end_of_child": PROCESS,
    "_session.child_exit:flush": "see tests/activation/test_life.py",
    "_sdk.read.endings:_ending": PROCESS,
    "_sdk.read.endings:end_without_outcome": "runs only after another failure, and is a boundary itself",
    "_session.registry:OpenStreams.discard": "runs only after another failure, and is a boundary itself",
    "_session.registry:OpenStreams.__init__": PROCESS,
    "_session.registry:OpenStreams.__len__": PROCESS,
    "_session.registry:OpenStreams._at_exit": "see tests/lifecycle",
    "_session.registry:OpenStreams._after_fork": "see tests/lifecycle",
    "_session.stall_ticker:StallTicker.wake": NO_REAL_TIME,
    "_session.stall_ticker:StallTicker._run": NO_REAL_TIME,
    "_session.stall_ticker:StallTicker.look": ELSEWHERE,
    "_session.session:StreamSession.check_stall": ELSEWHERE,
    "_session.session:StreamSession.detach_after_fork": "see tests/lifecycle",
    "_core.stream.timing:Timing.gap_at": ELSEWHERE,
    "_telemetry.stream_telemetry:Emitter.record_internal_error": ELSEWHERE,
    "_telemetry.metrics:is_live": ELSEWHERE,
    "_core.stream.delivered:Delivered.unjoinable_content": "runs only after another failure, within a boundary",
    "_core.stream.journal:Entry.add": "two pings in a row: tests/core",
    **dict.fromkeys(
        (
            "_session.policy_resolver:BudgetTokens.__init__",
            "_session.policy_resolver:BudgetTokens.first",
            "_session.policy_resolver:BudgetTokens.take",
            "_session.policy_resolver:BudgetTokens.left",
            "_session.policy_resolver:PolicyResolver.left",
            "_core.stream.delivered:Delivered.full_text",
            "_core.stream.delivered:Delivered.open_text_index",
            "_core.stream.delivered:Delivered.keep_text",
            "_core.stream.frames:has_content",
            "_core.stream.frames:has_stop_reason",
            "_core.stream.frames:input_tokens",
            "_session.attempts:Attempts.sent",
            "_session.attempts:Attempts.give_up",
            "_session.attempts:Attempts.follow",
            "_session.attempts:Attempts.buffer_event",
            "_session.attempts:Attempts.discard_buffer",
            "_session.attempts:Attempts.lower_read_timeout",
            "_core.stream.timing:Timing.attempt_failed",
            "_session.retries:Retries._report_pending",
            "_session.retries:Retries.attempt_failed",
            "_session.retries:Retries.continuation_refused",
            "_session.retries:Retries.seam_found",
            "_session.retries:Retries.describe",
            "_session.retries:Retries.sdk_retries_stopped",
            "_session.call_policy:CallPolicy.take",
            "_session.session:StreamSession.has_error_response",
            "_session.session:StreamSession.take_sdk_retry",
            "_session.session:StreamSession.requests",
            "_session.session:StreamSession.policy",
            "_session.session:StreamSession.lower_read_timeout",
            "_session.session:StreamSession.buffer_frame",
            "_session.session:StreamSession.buffered_usage",
            "_session.session:StreamSession.buffer_released",
            "_session.session:StreamSession.overdue",
            "_telemetry.span_attributes:resume_attributes",
            "_telemetry.span_attributes:_recovery",
        ),
        ACTING,
    ),
}
"""Functions that no case reaches, and why."""
if "open_telemetry" not in inspect.signature(anthropic.Anthropic).parameters:
    NOT_REACHED["_sdk.attach.span_owner:_records"] = "asks for the SDK's own tracing, which this SDK does not have"


def test_every_function_is_reached(cases_of):
    """Every function that is not broken above is named here, with the reason."""
    assert {target.id for target in BROKEN if not cases_of(target)} == set(NOT_REACHED)


def test_a_failing_count_of_failures_is_hidden_too(monkeypatch):
    """The instrument that counts failures fails."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    (target,) = [target for target in TARGETS if target.name == "record_internal_error"]
    (other,) = [target for target in TARGETS if target.id == "_core.stream.message_state:MessageState.message_start"]
    with broken(target) as calls, broken(other):
        assert observed(monkeypatch, "healthy, create") == bare(monkeypatch, "healthy, create")
    assert calls
    assert _guard.counts() == {"read_event": 1}


def test_failures_are_counted_by_place(monkeypatch):
    """`claude.stream.internal.errors` has the place."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    (target,) = [target for target in TARGETS if target.id == "_core.stream.message_state:MessageState.block_stop"]
    api = API(MESSAGE)
    with broken(target), instrumented(monkeypatch, api.clock) as capture:
        read(api)
        assert capture.metrics()["claude.stream.internal.errors"]["points"] == [
            {"attributes": {"claude.stream.internal.component": "read_event"}, "value": 1}
        ]
        assert [span["attributes"]["claude.stream.outcome"] for span in capture.spans()] == ["completed"]


def test_a_failing_look_leaves_the_thread_that_looks_alive(monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})

    class Session:
        def check_stall(self):
            raise ValueError

    assert StallTicker((1.0,), lambda: [Session()]).look() is False
    assert _guard.counts() == {"stalls": 1}


def test_a_failing_provider_is_nobodys_but_ours(monkeypatch):
    """A provider that fails when it is asked for its state costs the telemetry, but not the stream."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    (target,) = [target for target in TARGETS if target.name == "is_live"]
    api = API(MESSAGE)
    with broken(target) as calls, instrumented(monkeypatch, api.clock, span="off"):
        assert read(api) == bare(monkeypatch, "healthy, create")
    assert calls
    assert _guard.counts() == {"request": 1}


class Halt(BaseException):
    """An exception like `KeyboardInterrupt` and `SystemExit`, which no guard may hide."""


@pytest.mark.parametrize(
    "name",
    [
        "_core.stream.message_state:MessageState.block_delta",
        "_sdk.attach.request:call_of",
        "_session.session:StreamSession._first_token",
        "_sdk.read.endings:stream_ended",
    ],
)
def test_an_interrupt_inside_of_ours_goes_on(monkeypatch, name):
    """Ctrl-C while code of ours runs is the caller's, not a failure of ours."""
    (target,) = [target for target in TARGETS if target.id == name]
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    api = API(MESSAGE)
    with broken(target, Halt), instrumented(monkeypatch, api.clock), pytest.raises(Halt):
        read(api)
    assert _guard.counts() == {}


def test_strict_a_failure_is_raised(monkeypatch):
    """Tests raise the failures of this package, which would otherwise switch it off unnoticed."""
    (target,) = [target for target in TARGETS if target.id == "_sdk.attach.request:call_of"]
    api = API(MESSAGE)
    with broken(target), instrumented(monkeypatch, api.clock):
        assert read(api).error == [("tests.support.targets.Broken", "_sdk.attach.request:call_of")]
