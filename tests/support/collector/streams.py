"""Spans of streams, as the package makes them."""

from __future__ import annotations

from tests.support.collector import sending

ABORTED = {"claude.stream.outcome": "failed", "claude.stream.abort.reason": "overloaded"}
"""Attributes of a stream that failed."""


def stream_ids(backend):
    """The span id of each stream that arrived, once for each arrival."""
    return [span["spanId"] for span in backend.spans() if "claude.stream.outcome" in sending.plain(span["attributes"])]
