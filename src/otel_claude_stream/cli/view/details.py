"""The details of one stream, in groups, and the columns of the report's table, both without markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.spec import Attribute
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.attribute_values import line
from otel_claude_stream.cli.view.decisions import policy_summary, recovered_cuts
from otel_claude_stream.cli.view.formatting import count, readable, seconds, size
from otel_claude_stream.cli.view.model import StreamView

Text = Callable[[StreamView], str]
Sort = Callable[[StreamView], "float | str | None"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the report's table: ``text`` is shown, ``sort`` gives the order, figures are aligned right."""

    title: str
    text: Text
    sort: Sort
    figure: bool = False
    help: str = ""


def tokens(view: StreamView) -> str:
    """Return input and output tokens, such as ``412 → 96``; empty if not known."""
    used = view.tokens
    return "" if used.input is None and used.output is None else f"{count(used.input)} → {count(used.output)}"


def limit_text(view: StreamView) -> str:
    """Return the limit that the ending is consistent with, with all products that have it, else the recovered cuts."""
    return formatting.limit_text(view.limit_match, view.suspects, len(view.suspects)) or recovered_cuts(view)


def _text(attribute: Attribute) -> Text:
    return lambda view: view.text(attribute)


def _readable(attribute: Attribute) -> Text:
    return lambda view: readable(view.text(attribute)).replace(formatting.DASH, "")


def _number(attribute: Attribute, shown: Callable[[float | None], str]) -> Text:
    def text(view: StreamView) -> str:
        value = view.number(attribute)
        return "" if value is None else shown(value)

    return text


def _count(attribute: Attribute) -> Text:
    return _number(attribute, lambda value: count(None if value is None else int(value)))


def _seconds(attribute: Attribute) -> Text:
    return _number(attribute, seconds)


def _figure(title: str, attribute: Attribute, shown: Text) -> Column:
    return Column(title, shown, lambda view: view.number(attribute), figure=True, help=attribute.doc)


def _enum(title: str, text: Callable[[StreamView], str], help_text: str = "") -> Column:
    return Column(title, lambda view: readable(text(view)), text, help=help_text)


COLUMNS: Final = (
    Column("Stream", lambda view: view.name, lambda view: float(view.start), help="Sorted by start"),
    Column("Model", lambda view: view.model.removeprefix("claude-"), lambda view: view.model),
    _enum("Outcome", lambda view: view.outcome, a.OUTCOME.doc),
    _enum("Reason", lambda view: view.reason, a.REASON.doc),
    _enum("Phase", lambda view: view.phase, a.PHASE.doc),
    _figure("TTFT", a.TIME_TO_FIRST_TOKEN, lambda view: seconds(view.ttft)),
    _figure("Longest silence", a.LONGEST_SILENCE, lambda view: seconds(view.longest_silence)),
    Column(
        "Gaps ≥\u00a01\u00a0s", lambda view: str(view.long_gaps or ""), lambda view: float(view.long_gaps), figure=True,
        help="Times of 1 s or more without content, after the first token",
    ),
    Column(
        "Retries", lambda view: str(view.retries or ""), lambda view: float(view.retries), figure=True,
        help="HTTP requests after the first",
    ),
    Column(
        "Retry policy", policy_summary, policy_summary,
        help="The policy's action on a stream that broke; empty if it did nothing, or only observed",
    ),
    Column(
        "Tokens in → out", tokens, lambda view: view.tokens.output, figure=True,
        help="Input and output tokens, sorted by the latter. Output tokens are known once the usage has arrived",
    ),
    Column(
        "Duration", lambda view: seconds(view.duration), lambda view: view.duration, figure=True,
        help="From the start of the call to the end of its stream",
    ),
    Column("Limit", limit_text, limit_text, help=a.LIMIT_MATCH.doc),
    Column("Advice", lambda view: view.advice, lambda view: view.advice, help=a.ADVICE.doc),
    Column("Request id", _text(a.REQUEST_ID), _text(a.REQUEST_ID), help=a.REQUEST_ID.doc),
)  # fmt: skip

GROUPS: Final[tuple[tuple[str, tuple[tuple[str, Text], ...]], ...]] = (
    (
        "Ending",
        (
            ("Outcome", lambda view: readable(view.outcome)),
            ("Reason", _readable(a.REASON)),
            ("Also possible", _readable(a.ALSO_POSSIBLE)),
            ("Origin", _readable(a.ORIGIN)),
            ("Phase", _readable(a.PHASE)),
            ("Error type", _text(a.ERROR_TYPE)),
            ("Error reported in", _readable(a.ERROR_SOURCE)),
            ("Limit match", _text(a.LIMIT_MATCH)),
            ("Consistent with", _text(a.SUSPECTS)),
            ("Exception", _text(a.ABORT_EXCEPTION)),
            ("errno", _count(a.ABORT_ERRNO)),
            ("Recovered", recovered_cuts),
            ("Rule", _text(a.RULE)),
            ("Stop reason", _readable(a.STOP_REASON)),
            ("Only message_stop missing", _text(a.MISSING_MESSAGE_STOP)),
            ("Fault after message_stop", _text(a.FAULT_AFTER_STOP)),
        ),
    ),
    (
        "Times",
        (
            ("Until the response", _seconds(a.TIME_TO_HEADERS)),
            ("Until the first token", _seconds(a.TIME_TO_FIRST_TOKEN)),
            ("Longest silence", _seconds(a.LONGEST_SILENCE)),
            ("Longest wait for content", _seconds(a.CHUNK_LONGEST_GAP)),
            ("Silence before the end", _seconds(a.ABORT_IDLE)),
            ("In the caller's loop", _seconds(a.CALLER_TIME)),
            ("Duration", lambda view: seconds(view.duration)),
        ),
    ),
    (
        "On the wire",
        (
            ("SSE events", _count(a.EVENT_COUNT)),
            ("Content deltas", _count(a.DELTA_COUNT)),
            ("Pings", _count(a.PING_COUNT)),
            ("Content blocks", _count(a.BLOCK_COUNT)),
            ("Characters", _count(a.CONTENT_CHARACTERS)),
            ("Bytes", _number(a.READ_BYTES, lambda value: size(None if value is None else int(value)))),
            ("Reads", _count(a.READ_COUNT)),
            ("Input tokens", lambda view: "" if view.tokens.input is None else count(view.tokens.input)),
            ("Output tokens", lambda view: "" if view.tokens.output is None else count(view.tokens.output)),
        ),
    ),
    (
        "Request",
        (
            ("Model", lambda view: view.model),
            ("HTTP requests", lambda view: count(view.requests)),
            ("Status", _text(a.STATUS_CODE)),
            ("Request id", _text(a.REQUEST_ID)),
            ("Server", lambda view: view.server + (f":{view.port}" if view.port is not None else "")),
            ("Intermediary", _text(a.INTERMEDIARY)),
            ("Recovered by", _readable(a.RECOVERY_ACTION)),
            ("Seam", _readable(a.SEAM)),
            ("Characters of each attempt", _text(a.ATTEMPT_CHARACTERS)),
            ("Input tokens of each attempt", _text(a.ATTEMPT_INPUT_TOKENS)),
            ("Output tokens of each attempt", _text(a.ATTEMPT_OUTPUT_TOKENS)),
            ("Called by", lambda view: ".".join(part for part in (view.text(a.API), view.text(a.HELPER)) if part)),
            ("Service", lambda view: view.service),
            ("Trace / span", lambda view: view.key),
        ),
    ),
)


def groups(view: StreamView) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the known details in groups of label and text."""
    found = [(title, [(label, text(view)) for label, text in rows if text(view)]) for title, rows in GROUPS]
    return [(title, rows) for title, rows in found if rows]


def every_attribute(view: StreamView) -> list[tuple[str, str]]:
    """Return all attributes of the span, sorted by name."""
    return sorted((name, line(value)) for name, value in view.attributes.items())
