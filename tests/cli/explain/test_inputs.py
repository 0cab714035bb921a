"""Inputs that cannot be explained, with the position of the fault."""

from __future__ import annotations

import json

import pytest
from tests.support import cli_samples as samples

from otel_claude_stream.cli.explain.inputs import BadInput, read

BROKEN = {
    "": "it is empty; expected a recorded stream",
    "\n\n<html>": "line 3: '<html>' is not the beginning of a recorded stream",
    "[1, 2]": "line 1: JSON, but list where an object was expected",
    '{"steps": [{"do": "dance"}], "version": 1}': "not a script: steps[0].do: 'dance' is not valid",
    '{"version": 1,\n "steps": [}': "not JSON: Expecting value at line 2, column 12",
    '{"a": 1, "b": 2}': "line 1: a JSON object with the keys a, b; expected",
    '{"resourceSpans": []}': "it has no span of otel-claude-stream (found: no spans at all)",
    '{"resourceMetrics": []}': "it has no span of otel-claude-stream",
    '{"resourceSpans": []}\n{"resourceSpans": [': "no spans at all); line 2 is left out: it is not JSON",
    '{"resourceSpans": []}\n{"resourceSpans": [\n': "line 2: not JSON: Expecting value at column 20",
    '{"resourceSpans": []}\n{"a": "b\n{}': "line 2: not JSON: Unterminated string starting at column 7",
    '{"resourceSpans": "': "not JSON: Unterminated string starting at line 1, column 19",
    '{"resourceSpans": []}\n[]': "line 2: JSON, but list",
    '{"resourceSpans": 7}': "line 1: not an OTLP traces request in JSON",
    '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}': "line 1: an id is not in hex: 'zz'",
    "[" * 100_000: "not JSON: nested too deeply",
    "\x1f\x8b": "compressed (gzip): decompress it first",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_an_input_of_no_known_kind(text: str) -> None:
    with pytest.raises(BadInput) as raised:
        read("x", text.encode("latin-1"))
    assert str(raised.value).startswith(("it is ", "it has ", BROKEN[text]))
    assert BROKEN[text] in str(raised.value)


def test_spans_of_other_libraries_are_named() -> None:
    document = samples.traces(samples.healthy(), scope="com.anthropic.sdk.python")
    with pytest.raises(BadInput, match=r"found: com\.anthropic\.sdk\.python"):
        read("x", json.dumps(document).encode())
