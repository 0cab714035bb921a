"""Each function of this package raises in turn; the caller sees no difference, and the failure is counted."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
from dataclasses import dataclass, replace

import anthropic
import pytest
from tests.support.feeds import THREAD, connect, feed, read_feed, thread_ended
from tests.support.rig import API, REQUEST, WAYS, Seen, by, chain, instrumented, plain, read
from tests.support.scenes import BUSY, COMPACTED, DATE, FALLBACK, MESSAGE, RATE_LIMITS, after
from tests.support.targets import POLICY_ONLY, TARGETS, Target, broken, code_of, code_reached, sample

from otel_claude_stream import _guard, stream_labels
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._sdk.read.frames import is_parsed
from otel_claude_stream._session.stall_ticker import StallTicker
from otel_claude_stream.testing import CutMidChunk, Error, Event, Pause, Script


@dataclass(frozen=True)
class Case:
    """A way to read, and the scripts of the responses."""

    way: str
    scripts: tuple[Script, ...]

    def read(self, api):
        if "bytes" in self.way:
            return read_bytes(api)
        if "feed" in self.way:
            return asyncio.run(read_feed_async(api)) if "async" in self.way else read_feed_sync(api)
        if self.way == "left":
            return raise_in_block(api)
        if "dropped" in self.way:
            if self.way == "dropped":
                return drop_sync(api)
            seen = asyncio.run(drop_async(api))
            gc.collect(1)  # Python 3.10 keeps a task's references until then
            return seen
        return read(api, self.way)


def read_bytes(api):
    """Read the raw body with `with_streaming_response`."""
    seen = Seen()
    try:
        with api.client().messages.with_streaming_response.create(stream=True, **REQUEST) as response:
            seen.result = b"".join(response.iter_bytes())
    except Exception as error:  # noqa: BLE001 - any exception of the SDK
        seen.error = chain(error)
    return seen


def read_feed_sync(api):
    """Read the feed of a thread to its end."""
    seen = Seen()
    try:
        seen.events = read_feed(api.client(), THREAD)
    except Exception as error:  # noqa: BLE001 - as above
        seen.error = chain(error)
    return seen


async def read_feed_async(api):
    """As `read_feed_sync`."""
    seen = Seen()
    try:
        async with await connect(api.async_client(), THREAD) as stream:
            seen.events = [event async for event in stream]
    except Exception as error:  # noqa: BLE001 - as above
        seen.error = chain(error)
    return seen


def raise_in_block(api):
    """Raise an error of the caller inside the `with` block."""
    seen = Seen()
    try:
        with api.client().messages.create(stream=True, **REQUEST) as stream:
            seen.events.append(plain(next(stream)))
            int("an error of the caller")
    except ValueError as error:
        seen.error = chain(error)
    return seen


def drop_sync(api):
    """Drop a stream after two events, without closing it."""
    stream = api.client().messages.create(stream=True, **REQUEST)
    seen = Seen([plain(next(stream)), plain(next(stream))])
    del stream
    gc.collect(1)
    seen.result = api.bodies[0].closed > 0
    return seen


async def drop_async(api):
    """Drop an asynchronous stream after two events."""
    stream = await api.async_client().messages.create(stream=True, **REQUEST)
    seen = Seen([plain(await anext(stream)), plain(await anext(stream))])
    del stream
    gc.collect(1)
    return seen


def events(*payloads):
    return [Event(data["type"], data) for data in payloads]


UNKNOWN_CONTENT = after(
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
DELTA_WITHOUT_BLOCK = {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "a"}}
MISSING_BLOCK = after(MESSAGE, 3, *events(DELTA_WITHOUT_BLOCK))
"""`messages.stream()` raises on it, as there is no eighth block."""
EACH_BLOCK_TYPE = Script.message("Yes.", thinking="Let me see", tool=("get_weather", {"city": "Paris"}), gap=0.02)
FAILING = MESSAGE.cut_after(6, Error())
CUT = after(MESSAGE, 6, Pause(60), CutMidChunk())
CASES = {
    **{
        f"{name}, {way}": Case(way, (script,))
        for name, script in (("healthy", MESSAGE), ("error", FAILING), ("cut", CUT))
        for way in WAYS
    },
    "each block type": Case("create", (EACH_BLOCK_TYPE,)),
    "fallback": Case("create", (FALLBACK,)),
    "compacted": Case("create", (COMPACTED,)),
    "unknown content": Case("create", (UNKNOWN_CONTENT,)),
    "unknown content, async": Case("async create", (UNKNOWN_CONTENT,)),
    "retried": Case("create", (BUSY, replace(MESSAGE, headers=(DATE, *RATE_LIMITS)))),
    "retried, async": Case("async create", (BUSY, MESSAGE)),
    "refused": Case("create", (Script.no_response(),)),
    "refused, async": Case("async create", (Script.no_response(),)),
    "left": Case("left", (MESSAGE,)),
    "missing block": Case("stream", (MISSING_BLOCK,)),
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
    "whole feed": Case("feed", (feed(thread_ended()),)),
    "whole feed, async": Case("async feed", (feed(thread_ended()),)),
    "feed cut": Case("feed", (feed(CutMidChunk()),)),
    "feed retried and cut": Case("feed", (BUSY, feed(Error()))),
    "feed refused": Case("feed", (Script.no_response(),)),
}

CALL = "wraps the SDK's own call; the functions that it calls are broken one by one"
SHELL = "wraps an iterator of the SDK; the functions that it calls are broken one by one"
PROXY = "forwards an attribute of the body"
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
            "_sdk.attach.sdk_hooks:_failed",
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
    "_session.registry:_Dropped.__call__": "is guarded itself; the functions that it calls are broken one by one",
}
"""Functions that no test makes raise while a stream is read, with the reason."""

NOT_COUNTED = {
    "_core.stream.events:is_well_formed": "decides whether a malformed event is reported at all",
}
"""Functions whose failure need not be counted, with the reason."""


_BARE: dict[str, Seen] = {}


def bare(monkeypatch, case):
    """Return what the caller sees without this package."""
    if case not in _BARE:
        api = API(CASES[case].scripts)
        with by(api.clock, monkeypatch):
            _BARE[case] = CASES[case].read(api)
    return _BARE[case]


def collect_metrics(capture):
    """Collect the metrics, and return True.

    OpenTelemetry 1.37 iterates over its instruments without a lock. Collect again if another thread changed them.
    """
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            capture.clear()
            return True
    capture.clear()
    return True


def observed(monkeypatch, case):
    """Return what the caller sees with the instrumentation, in mode `observe`."""
    api = API(CASES[case].scripts)
    settings = {"events": "both", "semconv": "both", "stall_thresholds": "10ms", "feeds": True}
    with stream_labels(tenant="a"), instrumented(monkeypatch, api.clock, **settings) as capture:
        if case == "each block type":  # collect metrics while the stream is open
            api.chunks = lambda chunks: [chunk for chunk in chunks if collect_metrics(capture)]
        # Run in a copy of the context, which a broken function may fail to restore.
        seen = contextvars.copy_context().run(CASES[case].read, api)
        collect_metrics(capture)
    return seen


@pytest.fixture(autouse=True, scope="module")
def _not_the_first_stream():
    """Skip the initialisation that happens once in a process, which only one test would see."""
    _streams._child_looked_at = True


@pytest.fixture(scope="module")
def cases_of():
    """Return a function that lists the cases that reach a target."""
    found: dict[str, set] = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for case in CASES:
            with code_reached() as found[case]:
                observed(monkeypatch, case)
    return lambda target: [case for case, codes in found.items() if code_of(target) in codes]


@pytest.mark.parametrize("case", CASES)
def test_the_caller_sees_the_same_as_without_instrumentation(monkeypatch, case):
    assert observed(monkeypatch, case) == bare(monkeypatch, case)


def test_the_cases_differ_where_they_should(monkeypatch):
    """Complete streams raise nothing, and the others raise, so that a comparison can find a difference."""
    without_error = {case for case in CASES if not bare(monkeypatch, case).error}
    complete = ("healthy", "each", "unknown", "fallback", "compacted", "retried", "bytes", "opaque", "dropped", "whole")
    assert without_error == {case for case in CASES if case.startswith((*complete, "failing bytes"))}
    assert bare(monkeypatch, "bytes").result == MESSAGE.body()
    assert len({repr(bare(monkeypatch, case)) for case in CASES}) > 15


MAX_CASES = 6
"""Limit of cases for each function. Functions that every stream runs are reached by many more, which are similar."""
MAX_FEEDS = 2
"""The same for the cases of feeds, which come on top."""


def sampled(cases):
    """Return the cases in which a function is broken."""
    feeds = [case for case in cases if "feed" in case]
    return [*sample([case for case in cases if case not in feeds], MAX_CASES), *sample(feeds, MAX_FEEDS)]


@pytest.fixture(autouse=True)
def _discard_open_streams():
    """Discard the streams that a broken `ended` leaves open."""
    yield
    _streams._sessions.clear()
    _streams._anchors.clear()
    _streams._deferred.clear()


BROKEN = [target for target in TARGETS if target.id not in PASSED_THROUGH]


def test_each_listed_function_exists():
    assert set(PASSED_THROUGH) | set(NOT_COUNTED) <= {target.id for target in TARGETS}


@pytest.mark.parametrize("target", BROKEN, ids=lambda target: target.id)
def test_a_failing_function_changes_nothing_for_the_caller(monkeypatch, cases_of, target: Target):
    """In each case that reaches the function, events, result and exception are the same, and the failure is counted."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    failures = 0
    for case in sampled(cases_of(target)):
        monkeypatch.setattr(_guard, "_counts", {})
        with broken(target) as calls:
            assert observed(monkeypatch, case) == bare(monkeypatch, case), f"{case}: {len(calls)} failures"
        assert bool(_guard.counts()) is bool(calls) or target.id in NOT_COUNTED, case
        failures += len(calls)
    assert failures or target.id in NOT_REACHED
    gc.collect(1)
    if len(_streams):  # an earlier test may have left one in a cycle that is old by now
        gc.collect()
    assert len(_streams) == 0 or target.id in LEFT_OPEN


LEFT_OPEN = {
    "_session.session:StreamSession.ended": "ends a stream",
    "_session.registry:OpenStreams.remove": "removes an ended stream",
}
"""Functions whose failure leaves a stream registered as open until the process ends, with the reason."""


ELSEWHERE = "a separate test below breaks it"
PROCESS = "runs once in a process, not while a stream is read"
NO_REAL_TIME = "runs in a thread that uses the real clock, while these tests use a manual one"
ACTING = "runs only if the policy acts; tests/retry breaks it"
NOT_REACHED = {
    "_sdk.read.frames:is_parsed": "see tests/retry/test_renamed_frames.py",
    "_session.retries:Retries.would_abort": "runs for a policy with a watchdog; see tests/retry/test_watchdog.py",
    "_telemetry.stream_telemetry:Emitter._create_stalls": "needs thinking or effort; see tests/telemetry",
    "_session.retries:Retries.not_sent": "see tests/retry/test_further_requests.py",
    "_sdk.read.aio:AsyncShell.__getattr__": PROXY,
    "_sdk.read.body:AsyncGeneratorReads.asend": PROXY,
    "_sdk.read.body:AsyncGeneratorReads.athrow": PROXY,
    "_sdk.attach.replaced:reroute_client": "see tests/sdk/test_replaced_request.py",
    "_sdk.attach.span_owner:mark_sdk_span": "needs the SDK's own span; see tests/sdk/test_span_owner.py",
    "_sdk.attach.span_owner:_marked": "needs the SDK's own span; see tests/sdk/test_span_owner.py",
    "_sdk.attach.replaced:_is_ours": "see tests/sdk/test_replaced_request.py",
    "_core.stream.timing:Timing.began_to_read": PROCESS,
    "_session.child_exit:at_end_of_child": PROCESS,
    "_session.child_exit:flush": "see tests/activation/test_life.py",
    "_sdk.read.endings:_ending": PROCESS,
    "_sdk.read.endings:end_without_outcome": "runs only after another failure, and is guarded itself",
    "_session.registry:OpenStreams.discard": "runs only after another failure, and is guarded itself",
    "_session.registry:OpenStreams.__init__": PROCESS,
    "_session.registry:OpenStreams.__len__": PROCESS,
    "_session.registry:OpenStreams._at_exit": "see tests/lifecycle",
    "_session.registry:OpenStreams._after_fork": "see tests/lifecycle",
    "_session.session:StreamSession._end_after": "runs only after another failure",
    "_telemetry.stream_telemetry:StreamTelemetry.detach": "see tests/lifecycle",
    "_telemetry.feed_telemetry:FeedTelemetry.detach": "see tests/telemetry/test_feeds.py",
    "_telemetry.stream_telemetry:Emitter.silence": "see tests/lifecycle",
    **dict.fromkeys(
        (
            "_session.fork_locks:release_locks",
            "_session.fork_locks:unreleased_locks",  # also in the doctor
            "_session.fork_locks:_locks_below",
            "_session.fork_locks:_name_of",
            "_session.fork_locks:_is_descended",
            "_session.fork_locks:_is_plain",
            "_session.fork_locks:_attributes",
            "_session.fork_locks:_closures",
            "_session.fork_locks:_is_held",
        ),
        "runs in a forked child; see tests/lifecycle",
    ),
    **dict.fromkeys(
        (
            "_core.stream.timing:StallThresholds.exceeded",
            *(
                f"_session.live:{name}"
                for name in ("describe", "LiveFile.__init__", "LiveFile.write", "LiveFile.close", "LiveFile._path")
            ),
        ),
        "runs under the command `run` only; see tests/lifecycle/test_live_file.py",
    ),
    "_session.stall_ticker:StallTicker.wake": NO_REAL_TIME,
    "_session.stall_ticker:StallTicker._start": NO_REAL_TIME,
    "_session.stall_ticker:StallTicker.after_fork": "runs in a forked child; see tests/lifecycle",
    "_session.stall_ticker:StallTicker._run": NO_REAL_TIME,
    "_session.stall_ticker:StallTicker.close_file": "runs at the exit; see tests/lifecycle/test_live_file.py",
    "_session.stall_ticker:StallTicker.look": ELSEWHERE,
    "_session.session:StreamSession.check_stall": ELSEWHERE,
    "_sdk.attach.sdk_hooks:_end_unrecorded": "runs only after another failure, within a guard",
    "_session.session:StreamSession.detach_after_fork": "see tests/lifecycle",
    "_core.stream.timing:Timing.gap_at": ELSEWHERE,
    "_telemetry.stream_telemetry:Emitter.record_internal_error": ELSEWHERE,
    "_telemetry.metrics:is_live": ELSEWHERE,
    "_core.stream.delivered:Delivered.unjoinable_content": "runs only after another failure, within a guard",
    "_core.stream.journal:Entry.add": "needs two pings in a row; see tests/core",
    **dict.fromkeys(POLICY_ONLY, ACTING),
}
"""Functions that no case reaches, with the reason."""
if not is_parsed("an unknown event"):
    NOT_REACHED["_core.stream.delivered:Delivered.unknown_event"] = "this release of the SDK drops unknown events"
    NOT_REACHED["_session.feed:FeedSession.event"] = "this release of the SDK drops the events of feeds"
if "open_telemetry" not in inspect.signature(anthropic.Anthropic).parameters:
    NOT_REACHED["_sdk.attach.span_owner:_records"] = "looks for the SDK's own tracing, which this release does not have"


def test_the_cases_reach_every_function_that_is_not_listed(cases_of):
    """`NOT_REACHED` lists exactly the functions that no case reaches."""
    wrong = {target.id for target in BROKEN if not cases_of(target)} ^ set(NOT_REACHED)
    assert not wrong, sorted(wrong)


def test_a_failure_to_count_failures_is_hidden_too(monkeypatch):
    """The metric of internal errors raises."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    (target,) = [target for target in TARGETS if target.name == "record_internal_error"]
    (other,) = [target for target in TARGETS if target.id == "_core.stream.message_state:MessageState.message_start"]
    with broken(target) as calls, broken(other):
        assert observed(monkeypatch, "healthy, create") == bare(monkeypatch, "healthy, create")
    assert calls
    assert _guard.counts() == {"read_event": 1}


def test_failures_are_counted_by_component(monkeypatch):
    """`claude.stream.internal.errors` has the attribute `claude.stream.internal.component`."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    (target,) = [target for target in TARGETS if target.id == "_core.stream.message_state:MessageState.block_stop"]
    api = API(MESSAGE)
    with broken(target), instrumented(monkeypatch, api.clock) as capture:
        read(api)
        assert capture.metrics()["claude.stream.internal.errors"]["points"] == [
            {"attributes": {"claude.stream.internal.component": "read_event"}, "value": 1}
        ]
        assert [span["attributes"]["claude.stream.outcome"] for span in capture.spans()] == ["completed"]


def test_a_failing_stall_check_does_not_end_the_ticker_thread(monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})

    class Session:
        def check_stall(self):
            raise ValueError

    assert StallTicker((1.0,), lambda: [Session()]).look() is False
    assert _guard.counts() == {"stalls": 1}


def test_a_failing_meter_provider_costs_telemetry_and_not_the_stream(monkeypatch):
    """The check whether the provider is live raises."""
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
def test_an_interrupt_inside_this_package_reaches_the_caller(monkeypatch, name):
    """Ctrl-C while code of this package runs is not an internal failure."""
    (target,) = [target for target in TARGETS if target.id == name]
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    api = API(MESSAGE)
    with broken(target, Halt), instrumented(monkeypatch, api.clock), pytest.raises(Halt):
        read(api)
    assert _guard.counts() == {}


def test_strict_mode_raises_a_failure(monkeypatch):
    """Strict mode is on in the tests, so that no internal failure goes unnoticed."""
    (target,) = [target for target in TARGETS if target.id == "_sdk.attach.request:call_of"]
    api = API(MESSAGE)
    with broken(target), instrumented(monkeypatch, api.clock):
        assert read(api).error == [("tests.support.targets.Broken", "_sdk.attach.request:call_of")]
