"""Events of the feeds of agent sessions, and a way to connect that every release of the SDK has."""

from __future__ import annotations

from typing import Any

import anthropic

from otel_claude_stream.testing import Event, Pause, Ping, Script

SECRET = "a secret of the agent"
SESSION = "/v1/sessions/sesn_1/events/stream"
THREAD = "/v1/sessions/sesn_1/threads/sthr_1/stream"
HAS_SESSIONS = hasattr(anthropic.Anthropic(api_key="none").beta, "sessions")
HAS_THREADS = HAS_SESSIONS and hasattr(anthropic.Anthropic(api_key="none").beta.sessions, "threads")


def event(kind: str, **data: Any) -> Event:
    """Return an event of a feed with this data."""
    return Event(kind, {"type": kind, "id": "sevt_1", "processed_at": "2026-11-01T00:00:00Z", **data})


def error(kind: str = "model_overloaded_error", status: str = "retrying") -> Event:
    """Return a `session.error`."""
    return event("session.error", error={"type": kind, "message": SECRET, "retry_status": {"type": status}})


def thread_ended(thread_id: str = "sthr_1") -> Event:
    """Return the end of a thread."""
    return event("session.thread_status_terminated", session_thread_id=thread_id, agent_name=SECRET)


RUNNING = event("session.status_running")
MESSAGE = event("agent.message", content=[{"type": "text", "text": SECRET}])
PREVIEW = Event(
    "event_delta", {"type": "event_delta", "event_id": "sevt_2", "delta": {"type": "content_delta", "text": SECRET}}
)
TERMINATED = event("session.status_terminated")
DELETED = event("session.deleted")
OPEN = Script(name="feed", steps=(RUNNING, Pause(0.5), Ping(), MESSAGE, error()))
"""A feed that goes on; the body ends cleanly after it."""


def feed(*further: Any, **fields: Any) -> Script:
    """Return the beginning of a feed, followed by further steps."""
    return Script(name="feed", steps=(*OPEN.steps, *further), **fields)


def connect(client: Any, path: str = SESSION) -> Any:
    """Connect to a feed by the client's low-level method. Releases without the resource can do so too."""
    kind = anthropic.AsyncStream if isinstance(client, anthropic.AsyncAnthropic) else anthropic.Stream
    return client.get(path, cast_to=object, stream=True, stream_cls=kind[object])


def read_feed(client: Any, path: str = SESSION) -> list[Any]:
    """Read a feed to its end, and return its events."""
    with connect(client, path) as stream:
        return list(stream)
