from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.cli_samples import HEALTHY, span, traces

from otel_claude_stream._core.retry.policy import Mode, RetryPolicy, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason, Phase
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.simulate.incidents import Api, Question
from otel_claude_stream.cli.simulate.recorded import recorded_incident
from otel_claude_stream.cli.simulate.responses import Arriving, Ending, Reader, Response
from otel_claude_stream.cli.simulate.simulation import simulate

WHOLE = {**HEALTHY, "claude.stream.caller.time": 0.0}
FAILED = {**WHOLE, "claude.stream.outcome": "failed"}


def failed(reason: str, phase: str, **more: object) -> dict[str, object]:
    return {**FAILED, "claude.stream.abort.reason": reason, "claude.stream.phase": phase, **more}


REJECTED = failed("overloaded", "awaiting_response", **{"http.response.status_code": 529})
CUT = failed("connection_closed", "streaming", **{"claude.stream.abort.limit_match": "duration:60s"})
SILENT = failed("silent", "streaming")
EMPTY = failed("first_event_timeout", "awaiting_first_event")
PINGS = failed("no_progress", "awaiting_first_token")
CLOSED = {**WHOLE, "claude.stream.outcome": "closed", "claude.stream.abort.reason": "caller_closed"}


def recording(path: Path, *streams: tuple[dict[str, object], float] | dict[str, object]) -> Path:
    """Write a recording of calls with these attributes and durations."""
    pairs = [stream if isinstance(stream, tuple) else (stream, 2.0) for stream in streams]
    spans = [
        span(attributes, start=float(number), seconds=seconds, span_id=f"{number + 1:016x}")
        for number, (attributes, seconds) in enumerate(pairs)
    ]
    path.write_text(json.dumps(traces(*spans)) + "\n")
    return path


def responses(path: Path, number: int = 400) -> list[Response]:
    incident = recorded_incident(path)
    api = Api(incident, seed=1)
    return [api.answer(1.0, api.question()) for _ in range(number)]


def test_the_reasons_are_as_frequent_as_in_the_recording(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", *[WHOLE] * 6, REJECTED, CUT, SILENT, EMPTY, CLOSED)
    incident = recorded_incident(path)
    assert incident.about == (
        "10 recorded requests; of them failed: overloaded 10.0%, connection closed 10.0%, silent 10.0%, "
        "first event timeout 10.0%"
    )
    endings = [response.ending for response in responses(path, 4000)]
    assert endings.count(None) == pytest.approx(2400, rel=0.1)
    for reason in (AbortReason.OVERLOADED, AbortReason.CONNECTION_CLOSED, AbortReason.SILENT):
        assert sum(ending is not None and ending.reason is reason for ending in endings) == pytest.approx(400, rel=0.2)


def test_an_answer_takes_as_long_as_the_recorded_one(tmp_path: Path) -> None:
    (response,) = set(responses(recording(tmp_path / "a.jsonl", (WHOLE, 10.0))))
    found = Reader(Watchdog()).read(response)
    assert response.headers == 0.05
    assert found.first_content == pytest.approx(0.35 + 0.2)
    assert response.headers + found.seconds == pytest.approx(10.0, abs=0.2)


@pytest.mark.parametrize(
    ("attributes", "question"),
    [
        ({"claude.stream.longest_silence": 20.0}, Question(0.35, 48, 0.2, 0.0, 20.0)),
        ({"claude.stream.time_to_first_token": 20.05}, Question(1.0, 50, 0.2, 19.0, 0.0)),
        (
            {"claude.stream.time_to_first_token": 20.05, "claude.stream.longest_silence": 19.0},
            Question(20.0, 50, 0.2, 0.0, 0.0),
        ),
        ({"claude.stream.caller.time": 20.0}, Question(0.35, 48, 0.2, 0.0, 0.4)),
    ],
    ids=["silence in the text", "pings before the text", "silence before the text", "a slow caller"],
)
def test_silences_thoughts_and_slow_callers(tmp_path: Path, attributes: dict[str, float], question: Question) -> None:
    incident = recorded_incident(recording(tmp_path / "a.jsonl", ({**WHOLE, **attributes}, 30.05)))
    assert incident.questions is not None
    found = incident.questions(random.Random(1))
    assert found._replace(deltas=0) == pytest.approx(question._replace(deltas=0))
    assert found.deltas == pytest.approx(question.deltas, abs=2)


@pytest.mark.parametrize(
    ("attributes", "seconds", "phase", "ends"),
    [
        (REJECTED, 0.0, None, Ending(AbortReason.OVERLOADED, status=529)),
        (CUT, 1.95, Phase.STREAMING, Ending(AbortReason.CONNECTION_CLOSED, limit_match="duration:60s")),
        (SILENT, 600.0, Phase.STREAMING, Ending(AbortReason.SILENT)),
        (EMPTY, 600.0, Phase.AWAITING_FIRST_EVENT, Ending(AbortReason.FIRST_EVENT_TIMEOUT)),
        (PINGS, 86_400.0, Phase.AWAITING_FIRST_TOKEN, Ending(AbortReason.NO_PROGRESS)),
        (failed("connection_reset", "awaiting_first_token"), 1.95, Phase.AWAITING_FIRST_TOKEN, None),
        (failed("connection_reset", "awaiting_first_event"), 1.95, Phase.AWAITING_FIRST_EVENT, None),
    ],
    ids=["rejected", "cut", "silent", "empty", "pings", "reset before the text", "reset before the first event"],
)
def test_a_failure_is_replayed_in_its_phase(
    tmp_path: Path, attributes: dict[str, object], seconds: float, phase: Phase | None, ends: Ending | None
) -> None:
    found = responses(recording(tmp_path / "a.jsonl", WHOLE, attributes))
    response = next(one for one in found if one.ending is not None)
    if phase is None:
        assert response == Response(2.0, ending=ends)
        return
    reading = Reader(Watchdog()).read(response)
    assert reading.phase is phase
    assert reading.seconds == pytest.approx(seconds, rel=0.01)
    assert reading.ending is not None
    assert reading.ending == (ends or Ending(AbortReason.CONNECTION_RESET))


def test_a_stream_that_a_time_out_ended_hangs_until_a_clock_of_the_policy_expires(tmp_path: Path) -> None:
    """Recorded with a time-out of ten minutes, it ends after a minute under a policy with that silence."""
    incident = recorded_incident(
        recording(tmp_path / "a.jsonl", *[WHOLE] * 9, ({**SILENT, "claude.stream.abort.idle": 600.0}, 602.0))
    )
    incident = replace(incident, users=100)
    alone = simulate(incident, RetryPolicy())
    watched = simulate(incident, RetryPolicy(Mode.RESUME, watchdog=Watchdog(silence=30.0)))
    assert watched.total("calls") > 1.5 * alone.total("calls")
    assert alone.total("left") > 50
    assert watched.total("left") == 0


def test_attempts_that_a_policy_retried_count_as_failed_requests(tmp_path: Path) -> None:
    attempt = {"claude.stream.attempt.number": 1, "claude.stream.retry.reason": "rate_limited"}
    event = (
        "claude.stream.retry",
        0.5,
        {**attempt, "claude.stream.retry.delay": 1.0, "claude.stream.retry.retry_after": 1.0}
        | {"claude.stream.retry.decision": "retry", "http.response.status_code": 429},
    )
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(traces(span({**WHOLE, "claude.stream.attempt.count": 2}, [event]))))
    incident = recorded_incident(path)
    assert incident.about == "2 recorded requests; of them failed: rate limited 50.0%"
    response = next(one for one in responses(path) if one.ending is not None)
    assert response == Response(0.5, ending=Ending(AbortReason.RATE_LIMITED, status=429, retry_after=1.0))


def test_what_hangs_is_what_the_reason_names(tmp_path: Path) -> None:
    drip = failed("lifetime_exceeded", "streaming")
    for attributes, arriving in ((PINGS, Arriving.PING), (SILENT, Arriving.NOTHING), (drip, Arriving.TEXT)):
        found = responses(recording(tmp_path / "a.jsonl", WHOLE, attributes))
        response = next(one for one in found if one.ending is not None)
        assert response.stretches[-1].arriving is arriving
        assert response.seconds >= 86_400.0


def test_a_recording_without_an_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"has 1 stream, none of them completed"):
        recorded_incident(recording(tmp_path / "a.jsonl", CUT))
    with pytest.raises(CommandError, match="cannot read"):
        recorded_incident(tmp_path / "missing.jsonl")


def test_a_reason_of_a_later_version_is_left_out(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", WHOLE, failed("eaten_by_a_whale", "streaming"))
    assert recorded_incident(path).about == "1 recorded request; of them failed: none"
