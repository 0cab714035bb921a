"""The feeds of agent sessions: their paths, their last events, and the errors that they report. No content is read."""

from __future__ import annotations

import re
from typing import Final

from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import Feed
from otel_claude_stream._core.stream.frames import decode
from otel_claude_stream._core.stream.journal import Entry
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.vocabulary import Phase

SESSION_ERROR: Final = "session.error"
PREVIEW: Final = "event_delta"
"""A part of an event that is still being written. It is counted, since a message may have hundreds."""

OTHER: Final = "other"
ERROR_TYPES: Final = (
    "unknown_error", "model_overloaded_error", "model_rate_limited_error", "model_request_failed_error",
    "mcp_connection_failed_error", "mcp_authentication_failed_error", "billing_error",
    "credential_host_unreachable_error", "tool_use_limit_reached_error", "compaction_limit_reached_error",
    "repository_authentication_error", "repository_forbidden_error", "repository_not_found_error",
    "repository_checkout_error", "repository_clone_error", OTHER,
)  # fmt: skip
"""The types of `session.error` in SDK 2.14, and the one of all others."""
RETRY_STATUSES: Final = ("retrying", "exhausted", "terminal", OTHER)
"""The reaction of the server to such an error."""

_PATH: Final = re.compile(r"(?:.*/)?sessions/([^/]+)/(?:events|threads/([^/]+))/stream/?")
_LAST: Final = frozenset({"session.status_terminated", "session.deleted"})
_LAST_OF_THREAD: Final = "session.thread_status_terminated"


def feed_at(url: str) -> Feed | None:
    """Return the feed at a URL or path; None if there is none."""
    found = _PATH.fullmatch(url.partition("?")[0])
    if found is None:
        return None
    session_id, thread_id = map(bounds.text, found.groups())
    return Feed(session_id or "", thread_id)


def is_last(feed: Feed, kind: str, data: object) -> bool:
    """Whether no event follows an event with this JSON `data`. A session's feed also has the ends of its threads."""
    if kind == _LAST_OF_THREAD:
        return feed.thread_id is not None and decode(data).get("session_thread_id") == feed.thread_id
    return kind in _LAST


def session_error(data: object) -> tuple[str, str]:
    """Return the type and the retry status of a `session.error` with this JSON `data`, each of its closed set."""
    error = decode(data).get("error")
    error = error if isinstance(error, dict) else {}
    status = error.get("retry_status")
    found = status.get("type") if isinstance(status, dict) else None
    kind = error.get("type")
    return kind if kind in ERROR_TYPES else OTHER, found if found in RETRY_STATUSES else OTHER


class FeedState(MessageState):
    """The state of one connection to a feed, which has events and no message."""

    __slots__ = ()

    @property
    def phase(self) -> Phase:
        """The furthest phase that was reached."""
        return Phase.STREAMING if self.events else Phase.AWAITING_FIRST_EVENT

    def feed_event(self, kind: str, at: int, gap: int, *, detail: object = None, last: bool = False) -> None:
        """Record an event of the feed with the attributes `detail`, which may be its `last` one."""
        self.stopped = self.stopped or last
        self.longest_gap = max(self.longest_gap, gap)
        if kind == PREVIEW:
            self.deltas += 1
            return
        self.close_batches(at)
        name = bounds.text(kind, bounds.EVENT_TYPE) or "unknown"
        self.journal.add(Entry(name, at, gap, detail=detail, order=self.events))
        self.others += 1
