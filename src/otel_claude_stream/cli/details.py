"""All that is known of one stream, in groups, and the columns of the report's table: data, no markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.spec import Attribute
from otel_claude_stream.cli import words
from otel_claude_stream.cli.decisions import recovery
from otel_claude_stream.cli.model import StreamView, line
from otel_claude_stream.cli.words import count, seconds, size

Text = Callable[[StreamView], str]
Sort = Callable[[StreamView], "float | str | None"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the report's table: ``text`` is shown, ``sort`` gives the order; figures stand to the right."""

    title: str
    text: Text
    sort: Sort
    figure: bool = False
    help: str = ""


def tokens(view: StreamView) -> str:
    """Input and output tokens."""
    used = view.tokens
    return "" if used.input is None and used.output is None else f"{count(used.input)} → {count(used.output)}"


def limit(view: StreamView) -> str:
    """The limit that the end is consistent with, and whose it may be; empty if none."""
    if view.limit_match in ("", "none"):
        return ""
    return f"{view.limit_match} ({', '.join(view.suspects)})" if view.suspects else view.limit_match


def _text(attribute: Attribute) -> Text:
    return lambda view: view.text(attribute)


def _word(attribute: Attribute) -> Text:
    return lambda view: words.words(view.text(attribute)).replace(words.NONE, "")


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


def _name(title: str, text: Callable[[StreamView], str], help_text: str = "") -> Column:
    return Column(title, lambda view: words.words(text(view)), text, help=help_text)


COLUMNS: Final = (
    Column("Stream", lambda view: view.name, lambda view: float(view.start), help="Sorted by start"),
    Column("Model", lambda view: view.model.removeprefix("claude-"), lambda view: view.model),
    _name("Outcome", lambda view: view.outcome, a.OUTCOME.doc),
    _name("Reason", lambda view: view.reason, a.REASON.doc),
    _name("Phase", lambda view: view.phase, a.PHASE.doc),
    _figure("TTFT", a.TIME_TO_FIRST_TOKEN, lambda view: seconds(view.ttft)),
    _figure("Longest silence", a.LONGEST_SILENCE, lambda view: seconds(view.longest_silence)),
    Column(
        "Gaps ≥\u00a01\u00a0s", lambda view: str(view.stalls or ""), lambda view: float(view.stalls), figure=True,
        help="Times of 1 s or more without content, after the first token",
    ),
    Column(
        "Retries", lambda view: str(view.retries or ""), lambda view: float(view.retries), figure=True,
        help="HTTP requests after the first",
    ),
    Column(
        "Retry policy", recovery, recovery,
        help="What it did about a stream that broke; empty if it did nothing, or only observed",
    ),
    Column(
        "Tokens in → out", tokens, lambda view: view.tokens.output, figure=True,
        help="Input tokens, and output tokens, by which the column is sorted; those are known once the usage came",
    ),
    Column(
        "Duration", lambda view: seconds(view.duration), lambda view: view.duration, figure=True,
        help="From the start of the call to the end of its stream",
    ),
    Column("Limit", limit, limit, help=a.LIMIT_MATCH.doc),
    Column("Advice", lambda view: view.advice, lambda view: view.advice, help=a.ADVICE.doc),
    Column("Request id", _text(a.REQUEST_ID), _text(a.REQUEST_ID), help=a.REQUEST_ID.doc),
)  # fmt: skip

GROUPS: Final[tuple[tuple[str, tuple[tuple[str, Text], ...]], ...]] = (
    (
        "The end",
        (
            ("Outcome", lambda view: words.words(view.outcome)),
            ("Reason", _word(a.REASON)),
            ("Also possible", _word(a.ALSO_POSSIBLE)),
            ("Origin", _word(a.ORIGIN)),
            ("Phase", _word(a.PHASE)),
            ("Error type", _text(a.ERROR_TYPE)),
            ("Error said in", _word(a.ERROR_SOURCE)),
            ("Limit match", _text(a.LIMIT_MATCH)),
            ("Consistent with", _text(a.SUSPECTS)),
            ("Exception", _text(a.ABORT_EXCEPTION)),
            ("errno", _count(a.ABORT_ERRNO)),
            ("Rule", _text(a.RULE)),
            ("Stop reason", _word(a.STOP_REASON)),
            ("Only message_stop missing", _text(a.MISSING_MESSAGE_STOP)),
            ("Fault after message_stop", _text(a.FAULT_AFTER_STOP)),
        ),
    ),
    (
        "Time",
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
            ("Tokens in", lambda view: "" if view.tokens.input is None else count(view.tokens.input)),
            ("Tokens out", lambda view: "" if view.tokens.output is None else count(view.tokens.output)),
        ),
    ),
    (
        "The request",
        (
            ("Model", lambda view: view.model),
            ("HTTP requests", lambda view: count(view.requests)),
            ("Status", _text(a.STATUS_CODE)),
            ("Request id", _text(a.REQUEST_ID)),
            ("Server", lambda view: view.server + (f":{view.port}" if view.port is not None else "")),
            ("Intermediary", _text(a.INTERMEDIARY)),
            ("Recovered by", _word(a.RECOVERY_ACTION)),
            ("Seam", _word(a.SEAM)),
            ("Characters of each", _text(a.ATTEMPT_CHARACTERS)),
            ("Tokens in of each", _text(a.ATTEMPT_INPUT_TOKENS)),
            ("Tokens out of each", _text(a.ATTEMPT_OUTPUT_TOKENS)),
            ("Called by", lambda view: ".".join(part for part in (view.text(a.API), view.text(a.HELPER)) if part)),
            ("Service", lambda view: view.service),
            ("Trace / span", lambda view: view.key),
        ),
    ),
)


def groups(view: StreamView) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is known, in groups of label and text; what is not known is left out."""
    found = [(title, [(name, text(view)) for name, text in rows if text(view)]) for title, rows in GROUPS]
    return [(title, rows) for title, rows in found if rows]


def every_attribute(view: StreamView) -> list[tuple[str, str]]:
    """All attributes of the span by name, as they came."""
    return sorted((name, line(value)) for name, value in view.attributes.items())
