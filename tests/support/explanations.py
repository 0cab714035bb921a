"""Explanations of scripts and spans, made in the process of the test."""

from __future__ import annotations

import io

from tests.support import cli_samples as samples

from otel_claude_stream.cli.explain.inputs import Input, read
from otel_claude_stream.cli.explain.playback import play
from otel_claude_stream.cli.explain.text import lines_of, write
from otel_claude_stream.cli.view.explanation import Explanation, explanation
from otel_claude_stream.cli.view.model import streams
from otel_claude_stream.testing import Script

ANSWER = Script.message("Nothing is as quiet as a wire.", gap=0.1, model="claude-sonnet-5")
HALF = 6
"""Events of the first half of `ANSWER`: message_start, content_block_start, ping, and three deltas."""

CUT_SPAN = samples.span(
    {
        **samples.CUT,
        "claude.stream.abort.rule": "closed",
        "claude.stream.abort.elapsed": 4.2,
        "claude.stream.abort.exception": "httpx2.RemoteProtocolError",
        "claude.stream.event.count": 5,
        "claude.stream.intermediary": "nginx",
    },
    (
        ("claude.stream.message_start", 0.05, {"claude.stream.event.coalesced": 1}),
        ("claude.stream.ping", 1.0, {"claude.stream.event.coalesced": 2, "claude.stream.event.duration": 0.5}),
        samples.delta(2.0, **{"claude.stream.event.coalesced": 3, "claude.stream.event.duration": 0.2}),
        ("claude.stream.abort", 4.2, {"claude.stream.abort.reason": "connection_closed"}),
    ),
    seconds=4.2,
)


def explained(script: Script, limits: str = "") -> Explanation:
    """Explain a script, which is played to the SDK in this process."""
    return explained_raw(script.to_json().encode(), limits)


def explained_raw(raw: bytes, limits: str = "") -> Explanation:
    """Explain the content of a file with one script or recording."""
    found = read("x", raw)
    assert found.script is not None
    (span,) = play([found.script], limits)
    return explained_input(found.played(span))[0]


def explained_spans(*spans: object) -> tuple[Explanation, ...]:
    """Explain exported spans."""
    return explained_input(Input("x", "spans", streams(samples.decoded(*spans))))


def explained_input(found: Input) -> tuple[Explanation, ...]:
    """Explain each stream of an input."""
    return tuple(explanation(view, found.source, found.kind) for view in found.views)


def as_text(found: Explanation) -> str:
    """Return an explanation as the command prints it."""
    out = io.StringIO()
    write(lines_of(found), 100, out, colours=False)
    return out.getvalue()
