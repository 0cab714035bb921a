"""Test kit for code that streams from the Claude API, with scripted failures over real sockets.

``Script`` describes one HTTP response and how it fails. ``FakeAPI`` is a local server that plays scripts to a real
client. ``Capture`` records the spans, metrics and logs that result. ``ManualClock`` is a clock that only ``advance()``
moves. ``Script`` and ``FakeAPI`` need the standard library only; ``Capture`` needs ``opentelemetry-sdk``.

The example plays an overloaded API first, then a stream that breaks off in the middle::

    import anthropic

    from otel_claude_stream.testing import FakeAPI, Script

    busy = Script.http_error(529, headers=[("retry-after-ms", "1")])
    broken = Script.message("Hello, world!").cut_after(5)

    with FakeAPI({"greeting": [busy, broken]}) as api:
        client = anthropic.Anthropic(api_key="none", base_url=api.url_for("greeting"))
        question = {"role": "user", "content": "Hello?"}
        try:
            with client.messages.stream(model="claude", max_tokens=9, messages=[question]) as stream:
                for text in stream.text_stream:
                    print(text)
        except Exception as error:
            print(type(error).__name__)
        print([request.attempt for request in api.requests])
"""

from __future__ import annotations

from otel_claude_stream.testing.capture import Capture
from otel_claude_stream.testing.checks import ScriptError
from otel_claude_stream.testing.clock import ManualClock, SteppingClock
from otel_claude_stream.testing.script import Script
from otel_claude_stream.testing.server import FakeAPI, Request
from otel_claude_stream.testing.steps import (
    Comment,
    CutMidChunk,
    End,
    Ending,
    Error,
    Event,
    Hang,
    Pause,
    Ping,
    Reset,
    Send,
    Step,
)

__all__ = [
    "Capture",
    "Comment",
    "CutMidChunk",
    "End",
    "Ending",
    "Error",
    "Event",
    "FakeAPI",
    "Hang",
    "ManualClock",
    "Pause",
    "Ping",
    "Request",
    "Reset",
    "Script",
    "ScriptError",
    "Send",
    "Step",
    "SteppingClock",
]
