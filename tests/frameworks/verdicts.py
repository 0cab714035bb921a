"""Verdicts on a run, such as the expected ends of its streams and the number of counted tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.frameworks.catalogue import Framework
from tests.frameworks.faults import ENDINGS, OUTPUT_TOKENS
from tests.frameworks.probe import SCOPE
from tests.frameworks.runs import Call

ATTEMPTS = "claude.stream.attempt.count"
REASON = "claude.stream.abort.reason"
SPAN_OWNER = "claude.stream.span_owner"
OUTCOME = "claude.stream.outcome"

Ending = tuple[str, str | None]


def endings(call: Call) -> list[Ending]:
    """The outcome and the abort reason of each stream span."""
    return [(span["attributes"][OUTCOME], span["attributes"].get(REASON)) for span in call.streams]


def expected_endings(framework: Framework, way: str, call: Call) -> list[Ending]:
    """The endings that follow from what the API played.

    A stream takes as many requests as its span counts attempts; its ending is that of the last one. So neither the
    retries of the SDK nor those of the framework have to be known.
    """
    played = [request["script"] for request in call.requests]
    expected = []
    for span in call.streams:
        taken, played = _split(played, span["attributes"].get(ATTEMPTS, 1))
        expected.append(_ending(framework, way, taken[-1] if taken else "nothing"))
    return expected


def unaccounted_requests(call: Call) -> int:
    """The number of requests beyond those that the stream spans count as attempts."""
    return len(call.requests) - sum(span["attributes"].get(ATTEMPTS, 1) for span in call.streams)


def _split(played: list[str], count: int) -> tuple[list[str], list[str]]:
    return played[:count], played[count:]


def _ending(framework: Framework, way: str, script: str) -> Ending:
    outcome, reason = ENDINGS.get(script, ("no request", script))
    return outcome, framework.left_as.get(way, "caller_closed") if script == "left" else reason


def others_spans(call: Call) -> Counter[tuple[Any, ...]]:
    """The spans of everything but our package: scope, name, kind and tokens, and those outside of OpenTelemetry."""
    found: Counter[tuple[Any, ...]] = Counter(
        (span["scope"], span["name"], span["kind"], span["status"], _tokens(span))
        for span in call.telemetry["spans"]
        if span["scope"] != SCOPE
    )
    found.update(("", name) for name in call.telemetry["other_spans"])
    return found


def tokens_of_spans(call: Call) -> int:
    """Output tokens summed over `chat` spans, as a backend sums them."""
    chats = (span for span in call.telemetry["spans"] if span["attributes"].get("gen_ai.operation.name") == "chat")
    return sum(_tokens(span) or 0 for span in chats)


def tokens_of_metrics(call: Call) -> int:
    """Output tokens summed over the conventions' metric, whichever instrumentation recorded it."""
    return int(sum(value for _, value in call.telemetry["output_tokens"]))


def tokens_generated(call: Call) -> int:
    """Output tokens of the answers that the API completed."""
    return OUTPUT_TOKENS * sum(request["script"] in {"healthy", "slow", "tool"} for request in call.requests)


def _tokens(span: dict[str, Any]) -> int | None:
    return span["attributes"].get("gen_ai.usage.output_tokens")


def ancestry(call: Call) -> Iterator[str]:
    """For each stream span its kind, and the scope and name of its parent."""
    for span in call.streams:
        scope, name = span["parent"] or ("", "")
        yield f"{span['kind']} in {scope}:{name}" if scope else span["kind"]
