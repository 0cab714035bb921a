"""Responses that are pickled or copied while their stream is open: nothing of ours is in the way."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import anthropic

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Script


def seen_while_reading(url: str) -> list[Any]:
    """What pickling and copying the response gives before, in the middle of, and after the reading of its stream."""
    stream = anthropic.Anthropic(api_key="none", base_url=url).messages.create(
        model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "go on"}], stream=True
    )
    found: list[Any] = []
    for then in (lambda: next(stream), lambda: list(stream), lambda: None):
        for again in (lambda response: pickle.loads(pickle.dumps(response)), copy.copy):
            try:
                response = again(stream.response)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same without us
                found.append((type(error), str(error)))
            else:
                found.append((type(response), response.status_code, sorted(response.__dict__)))
        then()
    return found


def test_pickled_and_copied_responses_are_as_without_us() -> None:
    """The copies have what they had, the original is read to its end, and it ends once."""
    with Capture() as capture, FakeAPI(Script.message(text="one two three")) as api:
        bare = seen_while_reading(api.url)
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            instrumented = seen_while_reading(api.url)
        finally:
            ClaudeStreamInstrumentor().uninstrument()
        assert instrumented == bare
        assert [span["attributes"]["claude.stream.outcome"] for span in capture.spans()] == ["completed"]
