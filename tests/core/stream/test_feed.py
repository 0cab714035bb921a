"""The paths, last events and errors of session feeds, and the state of a connection."""

from __future__ import annotations

import json

import pytest

from otel_claude_stream._core.stream.call import Feed
from otel_claude_stream._core.stream.feed import ERROR_TYPES, FeedState, feed_at, is_last, session_error
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.vocabulary import Phase

SESSION = Feed("sesn_1")
THREAD = Feed("sesn_1", "sthr_1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/v1/sessions/sesn_1/events/stream", SESSION),
        ("/v1/sessions/sesn_1/events/stream?beta=true", SESSION),
        ("https://api.example.com/v1/sessions/sesn_1/events/stream/", SESSION),
        ("sessions/sesn_1/events/stream", SESSION),
        ("/v1/sessions/sesn_1/threads/sthr_1/stream", THREAD),
        (f"/v1/sessions/{'x' * 200}/events/stream", Feed("x" * 128)),
        ("/v1/sessions/sesn_1/events", None),
        ("/v1/sessions/sesn_1/threads/stream", None),
        ("/v1/sessions/sesn_1/stream", None),
        ("/v1/sessions//events/stream", None),
        ("/v1/my_sessions/sesn_1/events/stream", None),
        ("/v1/messages", None),
        ("", None),
    ],
)
def test_a_feed_is_recognised_by_its_path(url, expected):
    assert feed_at(url) == expected


def test_a_feed_is_that_of_a_session_or_of_a_thread():
    assert (SESSION.kind, THREAD.kind) == ("session", "thread")


@pytest.mark.parametrize(
    ("feed", "kind", "thread_id", "expected"),
    [
        (SESSION, "session.status_terminated", None, True),
        (SESSION, "session.deleted", None, True),
        (SESSION, "session.status_idle", None, False),
        (SESSION, "session.thread_status_terminated", "sthr_1", False),
        (THREAD, "session.thread_status_terminated", "sthr_1", True),
        (THREAD, "session.thread_status_terminated", "sthr_2", False),
        (THREAD, "session.thread_status_terminated", None, False),
        (THREAD, "session.status_terminated", None, True),
    ],
)
def test_the_end_of_a_child_thread_is_not_the_last_event_of_a_feed(feed, kind, thread_id, expected):
    assert is_last(feed, kind, json.dumps({"session_thread_id": thread_id})) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        *(
            ({"error": {"type": kind, "retry_status": {"type": "exhausted"}}}, (kind, "exhausted"))
            for kind in ERROR_TYPES
        ),
        ({"error": {"type": "a new one", "retry_status": {"type": "later"}}}, ("other", "other")),
        ({"error": {"type": ["x"], "retry_status": ["retrying"]}}, ("other", "other")),
        ({"error": "text"}, ("other", "other")),
        ([], ("other", "other")),
    ],
)
def test_the_type_and_the_retry_status_of_an_error_are_of_closed_sets(data, expected):
    assert session_error(json.dumps(data)) == expected


@pytest.mark.parametrize("data", [None, "", "{", "[" * 100_000, b"{}"])
def test_an_error_without_a_json_object_is_other(data):
    assert session_error(data) == ("other", "other")


def test_events_are_in_the_journal_without_previews():
    state = FeedState(HotPath(int, 0), budget=16)
    assert (state.phase, state.stopped) == (Phase.AWAITING_FIRST_EVENT, False)
    state.ping(1, 0)
    state.ping(2, 0)
    state.feed_event("agent.message", 3, 7)
    state.feed_event("event_delta", 4, 9)
    state.feed_event("\ud83d" * 100, 5, 1)
    state.feed_event("", 6, 0, detail={"a": 1}, last=True)
    state.feed_event("event_delta", 7, 0)
    assert [(x.type, x.at, x.gap, x.count, x.detail) for x in state.journal.entries()] == [
        ("ping", 1, 0, 2, None),
        ("agent.message", 3, 7, 1, None),
        ("?" * 64, 5, 1, 1, None),
        ("unknown", 6, 0, 1, {"a": 1}),
    ]
    assert (state.events, state.pings, state.deltas, state.longest_gap) == (7, 2, 2, 9)
    assert (state.phase, state.stopped) == (Phase.STREAMING, True)
