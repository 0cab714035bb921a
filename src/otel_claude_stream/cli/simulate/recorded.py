"""An incident that is learned from recorded telemetry: how requests failed, and how long answers took."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from otel_claude_stream._core.diagnosis.limits import NO_MATCH
from otel_claude_stream._core.vocabulary import AbortReason, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.simulate.incidents import ENDLESS, PING_EVERY, Incident, Question
from otel_claude_stream.cli.simulate.responses import Arriving, Ending, Response, Stretch
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.stream_store import StreamStore
from otel_claude_stream.cli.view.telemetry import Telemetry, add_recording
from otel_claude_stream.cli.view.timeline import CONTENT, ERROR_STATUS

NEEDED: Final = (("opentelemetry.proto", "otlp"),)
MOST_STREAMS: Final = 50_000
MOST_MARKS: Final = 500_000
EVERY: Final = 0.2
"""The wait for a delta of a recorded answer."""
SAME: Final = 0.8
"""The share of a wait above which a silence is that wait."""

_HANGS: Final = {
    AbortReason.SILENT: Stretch(Arriving.NOTHING, ENDLESS),
    AbortReason.FIRST_EVENT_TIMEOUT: Stretch(Arriving.NOTHING, ENDLESS),
    AbortReason.NO_PROGRESS: Stretch(Arriving.PING, PING_EVERY, round(ENDLESS / PING_EVERY)),
    AbortReason.FIRST_CONTENT_TIMEOUT: Stretch(Arriving.PING, PING_EVERY, round(ENDLESS / PING_EVERY)),
    AbortReason.LIFETIME_EXCEEDED: Stretch(Arriving.TEXT, 20.0, round(ENDLESS / 20.0)),
}
"""The endless rest of a response that a clock or a time-out ended. A clock of the simulated policy may end it."""
_BEFORE_RESPONSE: Final = (Phase.CONNECTING.value, Phase.AWAITING_RESPONSE.value)


class Failed(NamedTuple):
    """A recorded request that failed. Times are from its start."""

    ending: Ending
    phase: str
    headers: float
    written: float
    """When its last text arrived."""
    seconds: float

    def response(self, whole: Response) -> Response:
        """Return the response that fails in the same way, instead of the whole one."""
        if self.phase in _BEFORE_RESPONSE:
            return Response(self.seconds, ending=self.ending)
        begun: tuple[Stretch, ...] = ()
        if self.phase != Phase.AWAITING_FIRST_EVENT.value:
            begun = (whole.stretches[0]._replace(every=min(whole.stretches[0].every, self.seconds - self.headers)),)
        if self.phase in (Phase.STREAMING.value, Phase.FINISHING.value):
            text = self.written - self.headers - begun[0].every
            begun = (*begun, Stretch(Arriving.TEXT, EVERY, max(1, round(text / EVERY))))
        rest = self.seconds - self.headers - Response(0.0, begun).seconds
        tail = _HANGS.get(self.ending.reason, Stretch(Arriving.NOTHING, max(0.0, rest)))
        return Response(self.headers, (*begun, tail), self.ending)


def recorded_incident(path: Path) -> Incident:
    """Return an incident with the failures and the answers of a recording.

    Raises ``CommandError`` for a file that cannot be read, and for one without a completed stream.
    """
    check_installed(NEEDED)
    telemetry = Telemetry(streams=StreamStore(streams=MOST_STREAMS, marks=MOST_MARKS))
    add_recording(path, telemetry)
    views = telemetry.snapshot().views
    answers = [view for view in views if view.outcome == Outcome.COMPLETED.value]
    if not answers:
        raise CommandError(
            f"{path} has {formatting.plural(len(views), 'stream')}, none of them completed, so it does not show how "
            "long answers take; record a longer time"
        )
    failed = [one for view in views for one in _failures(view) if one.ending.reason is not AbortReason.QUEUE_TIMEOUT]
    questions = [_question(view) for view in answers]
    requests: list[Failed | None] = [*failed, *[None] * len(answers)]

    def fault(response: Response, chance: random.Random) -> Response:
        drawn = chance.choice(requests)
        return response if drawn is None else drawn.response(response)

    return Incident(
        path.name,
        _about(failed, len(requests)),
        begins=0.0,
        ends=300.0,
        headers=statistics.median(view.headers_at or 0.0 for view in answers),
        first=statistics.median(question.first for question in questions),
        deltas=round(statistics.median(question.deltas for question in questions)),
        fault=fault,
        questions=lambda chance: chance.choice(questions),
    )


def _about(failed: Sequence[Failed], requests: int) -> str:
    counts = Counter(one.ending.reason.value for one in failed)
    shares = ", ".join(f"{formatting.readable(reason)} {n / requests:.1%}" for reason, n in counts.most_common())
    return f"{formatting.plural(requests, 'recorded request')}; of them failed: {shares or 'none'}"


def _question(view: StreamView) -> Question:
    """Return the question whose answer takes what a completed stream took."""
    begun = view.attempts[-1].start if view.attempts else 0.0
    headers = max(begun, view.headers_at or 0.0)
    first = max(headers, headers if view.ttft is None else view.ttft)
    wait, quiet = first - headers, view.longest_silence or 0.0
    thought = wait > PING_EVERY and quiet < wait * SAME  # something arrived meanwhile
    silence = quiet if quiet > wait else 0.0
    writing = view.duration - first - silence - (view.number(a.CALLER_TIME) or 0.0)
    deltas = max(1, round(writing / EVERY)) + (silence > EVERY)
    return Question(min(1.0, wait) if thought else wait, deltas, EVERY, wait - 1.0 if thought else 0.0, silence)


def _failures(view: StreamView) -> Iterator[Failed]:
    """Yield the failed requests of a call. One that the caller closed did not fail."""
    phases = {decision.attempt: decision.phase for decision in view.decisions}
    for attempt in view.attempts[:-1]:
        ending = _ending(attempt.reason, attempt.status, attempt.retry_after, attempt.limit_match)
        if ending is not None:
            other = Phase.AWAITING_FIRST_TOKEN if attempt.streamed else Phase.AWAITING_RESPONSE
            took = attempt.end - attempt.start
            yield Failed(ending, phases.get(attempt.number, other.value), 0.0, took, took)
    if view.outcome != Outcome.FAILED.value:
        return
    after = view.attempts[-1].retry_after if view.attempts else None
    ending = _ending(view.reason, view.status, after, view.limit_match)
    if ending is not None:
        begun = view.attempts[-1].start if view.attempts else 0.0
        headers = max(begun, view.headers_at or begun)
        ended = max(headers, view.duration - (view.number(a.CALLER_TIME) or 0.0))
        idle = view.number(a.ABORT_IDLE) or 0.0
        written = max((mark.until for mark in view.marks if mark.kind in CONTENT), default=ended - idle)
        yield Failed(ending, view.phase, headers - begun, written - begun, ended - begun)


def _ending(reason: str, status: int | None, retry_after: float | None, limit_match: str) -> Ending | None:
    """Return the ending of a request; None for a reason that this version does not know."""
    try:
        known = AbortReason(reason)
    except ValueError:
        return None
    rejected = status if status is not None and status >= ERROR_STATUS else None
    return Ending(known, rejected, retry_after, limit_match or NO_MATCH)
