"""Scripts that are played to the SDK in simulated time give the telemetry of the same streams over real sockets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anthropic
import pytest
from tests.support.explanations import ANSWER, HALF, explained, explained_raw

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _instrumentor
from otel_claude_stream._core.diagnosis.classify import RULES
from otel_claude_stream.cli.activate.path import FOLDER
from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.explain import playback
from otel_claude_stream.cli.explain.playback import http_library, play, play_isolated
from otel_claude_stream.testing import (
    Capture,
    CutMidChunk,
    End,
    Error,
    Event,
    FakeAPI,
    Hang,
    Pause,
    Reset,
    Script,
    Send,
)

READ_TIMEOUT = 600.0  # the SDK's default

DONE = tuple(ANSWER.steps)
ENDS: dict[str, tuple[Script, str, str]] = {
    # the response, the reason (or outcome), and the rule
    "end": (ANSWER, "completed", "message_stop"),
    "end without message_stop": (replace(ANSWER, steps=DONE[:-1]), "completed", "only_stop_missing"),
    "end in the middle": (ANSWER.cut_after(HALF, End()), "truncated", "truncated"),
    "end before anything": (Script(), "truncated", "no_events"),
    "cut in a chunk": (ANSWER.cut_after(HALF, CutMidChunk("event: cont")), "connection_closed", "closed"),
    "cut short of the length": (
        replace(ANSWER.cut_after(HALF, CutMidChunk()), framing="length"),
        "connection_closed",
        "closed",
    ),
    "cut without framing": (replace(ANSWER.cut_after(HALF, CutMidChunk()), framing="close"), "truncated", "truncated"),
    "reset": (ANSWER.cut_after(HALF, Reset()), "connection_reset", "reset"),
    "reset after the end": (replace(ANSWER, steps=(*DONE, Reset())), "completed", "message_stop"),
    "hang, then closed": (ANSWER.cut_after(HALF, Hang(0.2)), "connection_closed", "closed"),
    "error event": (ANSWER.cut_after(HALF, Error("overloaded_error")), "overloaded", "sse_error"),
    "unknown error event": (ANSWER.cut_after(HALF, Event("error", "no JSON")), "stream_error", "sse_error"),
    "api error": (Script.http_error(529), "overloaded", "http_error"),
    "api error 429": (Script.http_error(429), "rate_limited", "http_error"),
    "gateway page": (Script.nginx_error(502), "gateway_error", "gateway_5xx"),
    "gateway refusal": (Script.plain_response(403, "<html>no</html>"), "gateway_error", "gateway_4xx"),
    "gateway page without a body": (Script.plain_response(502, ""), "gateway_error", "gateway_5xx"),
    "redirection to nowhere": (Script.plain_response(302, "<html>elsewhere</html>"), "gateway_error", "gateway_4xx"),
    "portal": (Script.plain_response(200, "<html>Sign in</html>"), "bad_response", "wrong_content_type"),
    "no response": (Script.no_response("fin"), "connection_closed", "closed_before_headers"),
    "no response, reset": (Script.no_response("rst"), "connection_reset", "reset_before_headers"),
    "no JSON": (ANSWER.cut_after(HALF, End()), "decode_error", "undecodable"),
    "no UTF-8": (ANSWER.cut_after(HALF, End()), "decode_error", "undecodable"),
    "unknown event, comment, no name": (
        replace(ANSWER, steps=(Event("novelty", {"a": 1}), Send(": warm\n\n"), Event("", {"b": 2}), *DONE)),
        "completed",
        "message_stop",
    ),
    "error page cut": (
        replace(Script.nginx_error(502), steps=(Send("<html>"), CutMidChunk())),
        "gateway_error",
        "error_body_cut",
    ),
}
for name, damage in (("no JSON", b"event: content_block_delta\ndata: {oops\n\n"), ("no UTF-8", b"data: \xff\xfe\n\n")):
    script, reason, rule = ENDS[name]
    ENDS[name] = (replace(script, steps=(*script.steps[:-1], Send.from_bytes(damage))), reason, rule)


@pytest.mark.parametrize("name", ENDS)
def test_every_kind_of_ending(name: str) -> None:
    script, reason, rule = ENDS[name]
    found = explained(script)
    assert (found.reason or found.outcome, found.rule) == (reason, rule)
    assert found.because == next(known.description for known in RULES if known.id == rule)
    assert found.timeline[-1].kind == "end"
    assert found.advice


@pytest.mark.parametrize("name", ENDS)
def test_the_explanation_agrees_with_a_live_stream(name: str, live) -> None:
    """The same script over a real socket gives the same span."""
    script, _, _ = ENDS[name]
    found, attributes = explained(script), live(script)
    expected = {
        "outcome": found.outcome,
        "phase": found.phase,
        "abort.reason": found.reason,
        "abort.origin": found.origin,
        "abort.limit_match": found.limit_match,
        "abort.also_possible": found.also_possible,
        "abort.suspects": found.suspects,
        "abort.advice": found.advice if found.outcome == "failed" else "",
        "event.count": int(dict(found.evidence)["events"]),
    }
    seen = {key: attributes.get(f"claude.stream.{key}") for key in expected}
    empty = {"abort.also_possible": (), "abort.suspects": ()}
    assert expected == {
        key: tuple(value) if isinstance(value, list) else empty.get(key, "") if value is None else value
        for key, value in seen.items()
    }
    assert dict(found.evidence).get("exception") == attributes.get("claude.stream.abort.exception")


@pytest.fixture
def live():
    """A function that streams a script over a real socket and returns the attributes of its span."""

    def stream(script: Script) -> dict[str, object]:
        with Capture() as capture:
            instrumentor = ClaudeStreamInstrumentor()
            instrumentor.instrument(**capture.providers, config=StreamConfig())
            try:
                read_live(script)
            finally:
                instrumentor.uninstrument()
            (span,) = capture.spans()
            return span["attributes"]

    return stream


def read_live(script: Script) -> None:
    question = {"role": "user", "content": "?"}
    with (
        FakeAPI(script) as api,
        suppress(Exception),
        anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0) as client,
    ):
        call = client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=[question], stream=True)
        with call:
            for _ in call:
                continue


# --- Simulated time ---------------------------------------------------------------------------------------------------


def test_the_read_timeout_of_the_client_runs_out() -> None:
    """It is the SDK's default, 600 s. Nothing waits for a longer pause."""
    quiet = explained(ANSWER.cut_after(HALF, Hang(9999.0)))
    assert (quiet.reason, quiet.origin, quiet.limit_match) == ("silent", "client", "idle:600s")
    assert quiet.duration == pytest.approx(READ_TIMEOUT + 0.2)
    unanswered = explained(replace(ANSWER, header_delay=9999.0))
    assert (unanswered.reason, unanswered.phase) == ("response_timeout", "awaiting_response")
    assert unanswered.duration == READ_TIMEOUT


def test_long_gaps_have_their_kind() -> None:
    silent = explained(ANSWER.insert_pause(HALF, 45.0))
    pings = explained(ANSWER.insert_pause(HALF, 45.0, ping_interval=10.0))
    late = explained(replace(ANSWER, steps=(DONE[0], Pause(30.0), *DONE[1:])))
    assert [m.what for m in silent.timeline if m.kind == "stall"] == ["no content for 45.1 s: no bytes at all"]
    assert [m.what for m in pings.timeline if m.kind == "stall"] == ["no content for 45.1 s: pings only (4 pings)"]
    assert [m.what for m in late.timeline if m.kind == "stall"] == ["no content for 30.0 s: before the first token"]


def test_pings_begin_a_new_silence() -> None:
    pinged = explained(ANSWER.cut_after(HALF, End()).insert_pause(HALF, 50.0, ping_interval=20.0))
    assert dict(pinged.evidence)["silence before the end"] == "10.0 s"


def test_limits_can_be_replaced() -> None:
    cut = ANSWER.cut_after(HALF, Hang(2.0))
    assert explained(cut).limit_match == "none"
    assert explained(cut, "idle:2s=nginx").limit_match == "idle:2s"
    assert explained(cut, "x0.0333").limit_match == "ambiguous"  # all limits are close together


def test_a_long_timeline_keeps_its_ends_and_its_stalls() -> None:
    block = Script.message("one two", gap=0.0).steps[1:-2]
    steps = (*[*block, Pause(0.1)] * 15, Pause(20.0), *[*block, Pause(0.1)] * 15)
    found = explained(Script(steps=(DONE[0], *steps, *DONE[-2:])))
    assert len(found.timeline) < 50
    assert found.timeline[20].what.startswith("...")
    assert any(moment.what.startswith("no content for 20") for moment in found.timeline)


# --- Isolation --------------------------------------------------------------------------------------------------------


def test_a_playback_leaves_no_instrumentation_behind() -> None:
    before = _instrumentor.CLOCK, _instrumentor.RANDOM
    play([ANSWER], "")
    assert before == (_instrumentor.CLOCK, _instrumentor.RANDOM)
    assert not ClaudeStreamInstrumentor().is_instrumented_by_opentelemetry


@pytest.mark.slow
def test_the_playback_is_not_exported_by_an_instrumented_command(tmp_path: Path) -> None:
    """The command itself may be instrumented, by PYTHONPATH for example."""
    file = tmp_path / "answer.sse"
    file.write_bytes(ANSWER.body())
    env = {**os.environ, "PYTHONPATH": str(FOLDER), "OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}
    command = [sys.executable, "-m", "otel_claude_stream", "explain", "--json", str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)  # without a span of the console exporter
    assert found["outcome"] == "completed"


@pytest.mark.slow
def test_a_playback_in_another_process_gives_the_same_spans() -> None:
    scripts = [ANSWER, ANSWER.cut_after(HALF, Reset())]
    here, there = play(scripts, ""), play_isolated(scripts, "")
    assert [(span.attributes, len(span.events)) for span in here] == [
        (span.attributes, len(span.events)) for span in there
    ]
    assert play_isolated([], "") == []


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "NEEDED", (("no_such_sdk", "instruments"),))
    with pytest.raises(CommandError, match=r"no_such_sdk\nInstall them with: pip install .*\[instruments\]"):
        play_isolated([ANSWER], "")


def test_a_process_that_fails_is_an_error_with_its_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "PROGRAM", "raise SystemExit('no memory')")
    with pytest.raises(CommandError, match=r"could not play the streams \(exit code 1\).*\nno memory"):
        play_isolated([ANSWER], "")


def test_a_process_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(playback, "SECONDS", 0.5)
    with pytest.raises(CommandError, match="took longer than"):
        play_isolated([ANSWER], "")


def test_an_sdk_that_cannot_be_instrumented_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClaudeStreamInstrumentor, "instrument", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="could not be instrumented"):
        play([ANSWER], "")


def test_the_http_library_is_that_of_the_sdk() -> None:
    library = http_library(anthropic)
    assert library.Client in anthropic.DefaultHttpxClient.__mro__
    plain = SimpleNamespace(DefaultHttpxClient=library.Client)  # as in releases where it is only an alias
    assert http_library(plain) is library


@pytest.mark.recordings
def test_recordings_are_complete_and_their_halves_are_truncated(recordings: list[Path]) -> None:
    for path in recordings:
        raw = path.read_bytes()
        whole = explained_raw(raw)
        assert (whole.outcome, whole.rule) == ("completed", "message_stop"), path.name
        cut = explained_raw(raw[: len(raw) // 2])
        assert (cut.outcome, cut.reason) == ("failed", "truncated"), path.name
