"""The session of one call: the listener of its stream, what the policy makes of its failures, and how it ended."""

from __future__ import annotations

from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.listener import StreamListener
from otel_claude_stream._session.session import StreamSession

__all__ = ["CallPolicy", "StreamListener", "StreamSession"]
