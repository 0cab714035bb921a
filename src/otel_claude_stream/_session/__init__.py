"""The session of one call, which listens to its stream, decides about its failures and reports its end."""

from __future__ import annotations

from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._session.listener import StreamListener
from otel_claude_stream._session.session import StreamSession

__all__ = ["CallPolicy", "StreamListener", "StreamSession"]
