"""Responses can be pickled and copied while their stream is open, as without the instrumentation."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import anthropic

from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Script


def pickled_and_copied(original: Any) -> Iterator[Any]:
    """Pickle and copy a response; yield the results."""
    for again in (lambda response: pickle.loads(pickle.dumps(response)), copy.copy):
        try:
            response = again(original)
        except Exception as error:  # noqa: BLE001 - the exception is compared with that of the SDK alone
            yield type(error), str(error)
        else:
            yield type(response), response.status_code, sorted(response.__dict__)


def pickle_and_copy_while_reading(url: str) -> list[Any]:
    """Pickle and copy the response before, during and after reading its stream; return the results."""
    found: list[Any] = []
    with anthropic.Anthropic(api_key="none", base_url=url) as client:
        stream = client.messages.create(
            model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "go on"}], stream=True
        )
        for then in (lambda: next(stream), lambda: list(stream), lambda: None):
            found += pickled_and_copied(stream.response)
            then()
    return found


def test_pickling_and_copying_a_response_works_as_without_instrumentation() -> None:
    """The stream can still be read to its end, and its span ends once."""
    with Capture() as capture, FakeAPI(Script.message(text="one two three")) as api:
        bare = pickle_and_copy_while_reading(api.url)
        ClaudeStreamInstrumentor().instrument(**capture.providers)
        try:
            instrumented = pickle_and_copy_while_reading(api.url)
        finally:
            ClaudeStreamInstrumentor().uninstrument()
        assert instrumented == bare
        assert [span["attributes"]["claude.stream.outcome"] for span in capture.spans()] == ["completed"]
