"""One stream call behind one object: what it saw, why it ended, and what the policy makes of that."""

from __future__ import annotations

from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.session import StreamSession
from otel_claude_stream._session.timing import BURST_NS, WAIT_NS, Clocks

__all__ = ["BURST_NS", "WAIT_NS", "Clocks", "CallPolicy", "StreamSession"]
