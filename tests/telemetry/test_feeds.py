"""The telemetry of feeds of agent sessions: the span of each connection, its metrics, reconnects and errors."""

from __future__ import annotations

import contextlib
import gc
import json

import anthropic
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from tests.support.feeds import (
    DELETED,
    MESSAGE,
    OPEN,
    PREVIEW,
    RUNNING,
    SECRET,
    TERMINATED,
    THREAD,
    connect,
    error,
    feed,
    read_feed,
    thread_ended,
)
from tests.support.rig import API, instrumented, read, shown
from tests.support.scenes import BUSY
from tests.support.scenes import MESSAGE as A_MESSAGE

from otel_claude_stream import stream_labels
from otel_claude_stream._core.stream.call import Call, Feed
from otel_claude_stream._instrumentor import _streams
from otel_claude_stream._sdk.read.frames import is_parsed
from otel_claude_stream._session.feed import MAX_FEEDS, FeedConnections
from otel_claude_stream._session.live import LiveFile
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Pause, Script, Send

parses_feeds = pytest.mark.skipif(
    not is_parsed("session.status_running"), reason="this release of the SDK drops the events of feeds"
)
LABELS = {".feed.kind": "session", "server.address": "api.example.com"}


def observe(monkeypatch, scripts, path=None, calls=1, **settings):
    """Read feeds of these scripts to their ends, and return the capture."""
    api = API(scripts)
    with instrumented(monkeypatch, api.clock, **{"feeds": True, **settings}) as capture:
        client = api.client(max_retries=1)
        for _ in range(calls):
            with contextlib.suppress(Exception):  # the span has it
                read_feed(client, *([path] if path else []))
        capture.metrics()
    return capture


def ends(capture):
    """Return outcome, reason, limit match and phase of each span."""
    names = ("outcome", "abort.reason", "abort.limit_match", "phase")
    return [tuple(span["attributes"].get(f"claude.stream.{name}") for name in names) for span in capture.spans()]


def metric(capture, name):
    """Return the points of a metric of feeds that are not zero, with short names, without what all have alike."""
    found = capture.metrics().get(f"claude.stream.feed.{name}", {"points": []})["points"]
    short = [
        (
            {key.removeprefix("claude.stream"): value for key, value in point["attributes"].items()},
            point["value"] if "value" in point else (point["count"], round(point["sum"], 9)),
        )
        for point in found
    ]
    assert all(LABELS.items() <= labels.items() for labels, _ in short)
    return [({key: value for key, value in labels.items() if key not in LABELS}, amount) for labels, amount in short]


def test_the_span_of_a_connection_has_its_events_and_its_end(monkeypatch):
    """An idle limit of 60 s cut the feed. The advice is that for the limit."""
    capture = observe(monkeypatch, feed(PREVIEW, PREVIEW, Pause(60.02)))
    (span,) = map(shown, capture.spans())
    advice = span["attributes"].pop(".abort.advice")
    assert advice.startswith("Consistent with")
    assert len(span["attributes"].pop(".abort.suspects")) > 1
    assert span == {
        "name": "claude.stream.feed",
        "kind": "INTERNAL",
        "parent": None,
        "status": ("ERROR", "truncated"),
        "starts": 0.0,
        "lasts": 60.52,
        "attributes": {
            ".abort.also_possible": ["connection_closed"],
            ".abort.elapsed": 60.52,
            ".abort.idle": 60.02,
            ".abort.limit_match": "idle:60s",
            ".abort.origin": "intermediary",
            ".abort.reason": "truncated",
            ".abort.recent_bytes": 0,
            ".abort.rule": "truncated",
            ".attempt.count": 1,
            ".caller.time": 0.0,
            ".delta.count": 2,
            ".event.count": 6,
            ".feed.connection.number": 1,
            ".feed.kind": "session",
            ".feed.longest_gap": 0.5,
            ".feed.longest_silence": 60.02,
            ".feed.session.id": "sesn_1",
            ".outcome": "failed",
            ".phase": "streaming",
            ".ping.count": 1,
            ".read.bytes": len(feed(PREVIEW, PREVIEW).body()),
            ".read.count": 6,
            ".read.mode": "events",
            ".request_id": "req_1",
            ".time_to_headers": 0.0,
            "error.type": "truncated",
            "http.response.status_code": 200,
            "server.address": "api.example.com",
            "server.port": 443,
        },
        "events": [
            (0.0, ".session.status_running", {}),
            (0.5, ".ping", {".event.gap": 0.5}),
            (0.5, ".agent.message", {".event.gap": 0.5}),
            (0.5, ".session.error", {"error.type": "model_overloaded_error", ".feed.error.retry": "retrying"}),
            (
                60.52,
                ".abort",
                {
                    ".abort.elapsed": 60.52,
                    ".abort.idle": 60.02,
                    ".abort.limit_match": "idle:60s",
                    ".abort.origin": "intermediary",
                    ".abort.reason": "truncated",
                    ".phase": "streaming",
                },
            ),
        ],
    }
    cut = {".abort.reason": "truncated", ".abort.origin": "intermediary", ".abort.limit_match": "idle:60s"}
    assert metric(capture, "connections") == [({".outcome": "failed", **cut}, 1)]
    assert metric(capture, "duration") == [({".outcome": "failed"}, (1, 60.52))]
    assert metric(capture, "gap") == [({}, (1, 0.5))]
    assert metric(capture, "errors") == [({"error.type": "model_overloaded_error", ".feed.error.retry": "retrying"}, 1)]
    assert metric(capture, "reconnects") == []


@pytest.mark.parametrize(
    ("script", "path", "expected"),
    [
        (feed(TERMINATED), None, ("completed", None, None, "streaming")),
        (feed(DELETED), None, ("completed", None, None, "streaming")),
        (feed(TERMINATED, CutMidChunk()), None, ("completed", None, None, "streaming")),
        (feed(thread_ended()), None, ("failed", "truncated", "none", "streaming")),
        (feed(thread_ended()), THREAD, ("completed", None, None, "streaming")),
        (feed(thread_ended("sthr_2")), THREAD, ("failed", "truncated", "none", "streaming")),
        (feed(CutMidChunk()), None, ("failed", "connection_closed", "none", "streaming")),
        (feed(Error()), None, ("failed", "overloaded", "none", "streaming")),
        (Script(steps=(End(),)), None, ("failed", "truncated", "none", "awaiting_first_event")),
        (Script.http_error(404), None, ("failed", "request_rejected", "none", "awaiting_response")),
        (Script.nginx_error(504), None, ("failed", "gateway_error", "none", "awaiting_response")),
        (Script.no_response(), None, ("failed", "connection_closed", "none", "awaiting_response")),
        (Script.plain_response(200, "<html>"), None, ("failed", "bad_response", "none", "awaiting_first_event")),
    ],
)
def test_an_end_is_classified_like_that_of_a_message(monkeypatch, script, path, expected):
    assert ends(observe(monkeypatch, script, path)) == [expected]


def test_a_cut_without_a_limit_has_advice_for_feeds(monkeypatch):
    (span,) = observe(monkeypatch, OPEN).spans()
    assert "list the events of the session" in span["attributes"]["claude.stream.abort.advice"]


def test_a_reconnect_is_counted_with_the_reason_of_the_end_before(monkeypatch):
    """Each feed is counted for itself. A connection that never opened counts too."""
    api = API([OPEN, Script.http_error(404), feed(TERMINATED), OPEN, OPEN])
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        client = api.client(max_retries=0)
        for path in (None, None, None, THREAD, None):
            with contextlib.suppress(anthropic.NotFoundError):
                read_feed(client, *([path] if path else []))
        names = ("claude.stream.feed.connection.number", "claude.stream.feed.reconnect.reason")
        spans = [tuple(span["attributes"].get(name) for name in names) for span in capture.spans()]
        counted = metric(capture, "reconnects")
    assert spans == [(1, None), (2, "truncated"), (3, "request_rejected"), (1, None), (4, "completed")]
    assert sorted((labels[".feed.reconnect.reason"], amount) for labels, amount in counted) == [
        ("completed", 1),
        ("request_rejected", 1),
        ("truncated", 1),
    ]


def call_to(session_id, host="a"):
    names = {"model": "", "provider": "", "api": "", "helper": "", "owner": "other"}
    return Call(**names, server_address=host, server_port=None, feed=Feed(session_id))


def test_the_feeds_that_are_counted_are_bounded_in_number():
    """The one that was connected to longest ago is forgotten."""
    connections = FeedConnections()
    for number in range(MAX_FEEDS):
        assert connections.connected(call_to(f"{number}")) == (1, "")
    assert connections.connected(call_to("0")) == (2, "")
    for number in range(MAX_FEEDS - 1):
        connections.connected(call_to(f"new {number}"))
    connections.ended(call_to("1"), "truncated")
    assert connections.connected(call_to("1")) == (1, "")
    connections.ended(call_to("1"), "truncated")
    assert connections.connected(call_to("1", host="b")) == (1, "")
    assert connections.connected(call_to("1")) == (2, "truncated")
    assert len(connections._last) == MAX_FEEDS


def test_no_content_of_a_feed_is_recorded(monkeypatch):
    """Texts, names of agents, and messages of errors are in no signal."""
    steps = (RUNNING, MESSAGE, PREVIEW, error(), error(SECRET, SECRET), thread_ended(SECRET))
    capture = observe(monkeypatch, Script(steps=steps), events="both")
    recorded = json.dumps([capture.spans(), capture.logs(), capture.metrics()], default=str)
    assert "claude.stream.agent.message" in recorded
    assert SECRET not in recorded


def test_a_long_wait_is_no_stall(monkeypatch):
    """An idle session sends no event for hours."""
    capture = observe(monkeypatch, feed(Pause(3600), TERMINATED))
    assert "claude.stream.stall" not in json.dumps(capture.spans(), default=str)
    assert "claude.stream.stalls" not in capture.metrics()


@parses_feeds
def test_a_feed_is_no_stream_of_a_message(monkeypatch):
    """It changes no metric of messages, neither while it is open nor at its end."""
    api = API([OPEN, A_MESSAGE])
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        with connect(api.client()) as stream:
            next(iter(stream))
            assert set(capture.metrics()) <= {"claude.stream.feed.gap"}
            read(api)
        names = {name for name in capture.metrics() if not name.startswith("claude.stream.feed.")}
        duration = capture.metrics()["claude.stream.duration"]["points"]
        models = {
            point["attributes"].get("gen_ai.request.model")
            for name in names - {"claude.stream.internal.errors"}
            for point in capture.metrics()[name]["points"]
        }
    assert (len(duration), duration[0]["count"], models) == (1, 1, {"claude-test"})


@pytest.mark.parametrize("policy", [{"mode": "resume"}, {"mode": "retry", "watchdog": {"no_progress": "10s"}}])
def test_a_policy_neither_retries_nor_cuts_a_feed(monkeypatch, policy):
    api = API(feed(Pause(3600), CutMidChunk()))
    with instrumented(monkeypatch, api.clock, feeds=True, retry_policy=policy) as capture:
        with pytest.raises(Exception, match="peer closed"):
            read_feed(api.client())
        assert ends(capture) == [("failed", "connection_closed", "none", "streaming")]
        assert "claude.stream.retry.decisions" not in capture.metrics()
        assert "claude.stream.retry" not in {event["name"] for event in capture.spans()[0]["events"]}
    assert api.requests == 1


def test_the_retry_of_the_sdk_before_the_response_is_an_event(monkeypatch):
    """There is no span for each attempt, and no metric of retries."""
    capture = observe(monkeypatch, [BUSY, feed(TERMINATED)])
    (span,) = capture.spans()
    assert span["events"][0]["name"] == "claude.stream.retry"
    assert span["events"][0]["attributes"]["claude.stream.retry.reason"] == "overloaded"
    assert span["attributes"]["claude.stream.attempt.count"] == 2
    assert span["attributes"]["http.request.resend_count"] == 1
    assert {name for name in capture.metrics() if ".feed." not in name} == set()


@pytest.mark.parametrize("settings", [{"feeds": False}, {"feeds": "false"}])
def test_without_the_setting_nothing_is_recorded(monkeypatch, settings):
    """The request is not even looked at."""
    monkeypatch.setattr("otel_claude_stream._sdk.attach.sdk_hooks.feed_of", None)
    capture = observe(monkeypatch, OPEN, **settings)
    assert (capture.spans(), capture.metrics()) == ([], {})


def test_without_metrics_or_spans_the_rest_is_recorded(monkeypatch):
    assert ends(observe(monkeypatch, OPEN, metrics=False)) == [("failed", "truncated", "none", "streaming")]
    capture = observe(monkeypatch, OPEN, span="off")
    assert capture.spans() == []
    assert [amount for _, amount in metric(capture, "connections")] == [1]
    assert observe(monkeypatch, OPEN, metrics=False).metrics() == {}


def test_where_telemetry_is_suppressed_nothing_is_recorded(monkeypatch):
    with suppress_instrumentation():
        capture = observe(monkeypatch, OPEN)
    assert (capture.spans(), capture.metrics()) == ([], {})


def test_a_feed_has_the_labels_of_the_caller(monkeypatch):
    with stream_labels(tenant="a"):
        capture = observe(monkeypatch, OPEN)
    assert capture.spans()[0]["attributes"]["claude.stream.label.tenant"] == "a"
    assert metric(capture, "duration") == [({".outcome": "failed", ".label.tenant": "a"}, (1, 0.5))]


def test_an_open_feed_is_not_among_the_open_streams_of_the_command_run(monkeypatch, tmp_path):
    """The file of open streams has those of messages alone."""
    api = API([OPEN, A_MESSAGE])
    with instrumented(monkeypatch, api.clock, feeds=True), connect(api.client()):
        write = LiveFile(str(tmp_path)).write
        read(api, each=lambda _: write(list(_streams._sessions.values())))
    (file,) = tmp_path.iterdir()
    assert [row["model"] for row in json.loads(file.read_text())["streams"]] == ["claude-test"]


def test_a_forked_child_records_nothing_of_an_open_feed(monkeypatch):
    """The parent records its gaps, errors and end."""
    api = API(OPEN)
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        with connect(api.client()) as stream:
            (session,) = _streams._sessions.values()
            session.detach_after_fork()
            list(stream)
        assert (capture.spans(), capture.metrics()) == ([], {})
    _streams.remove(session)


@parses_feeds
def test_a_dropped_feed_is_abandoned(monkeypatch):
    api = API(feed(Pause(60)))
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        stream = connect(api.client())
        next(iter(stream))
        del stream
        gc.collect(1)
        assert ends(capture) == [("closed", "abandoned", None, "streaming")]


@parses_feeds
def test_an_event_after_the_close_changes_nothing(monkeypatch):
    """The caller may read on what arrived before it closed the feed."""
    api = API(Script(steps=(Send.from_bytes(Script(steps=(RUNNING, MESSAGE, error())).body()),)))
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        stream = connect(api.client())
        events = iter(stream)
        next(events)
        stream.close()
        assert [event["type"] for event in events] == ["agent.message", "session.error"]
        assert ends(capture) == [("closed", "caller_closed", None, "streaming")]
        assert set(capture.metrics()) == {"claude.stream.feed.connections", "claude.stream.feed.duration"}


def test_odd_frames_are_counted_and_raise_nothing(monkeypatch):
    """Names of events of messages, of other events of this package, and none at all."""
    steps = (
        Event("stall", {"type": "stall"}),
        Event("message_start", {"type": "message_start"}),
        Event("session.error", {"type": "session.error"}),
        Event("", {"type": "nameless"}),
        Event("x" * 100, {}),
        TERMINATED,
    )
    (span,) = observe(monkeypatch, Script(steps=steps)).spans()
    names = [event["name"].removeprefix("claude.stream.") for event in span["events"]]
    assert names == ["sse_stall", "session.error", "x" * 64, "session.status_terminated"]
    assert span["attributes"]["claude.stream.outcome"] == "completed"
    assert span["events"][1]["attributes"] == {"error.type": "other", "claude.stream.feed.error.retry": "other"}
