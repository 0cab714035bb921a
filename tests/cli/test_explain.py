from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anthropic
import pytest
from tests.support import cli_samples as samples

from otel_claude_stream._core.diagnosis.classify import RULES
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, parse_limits
from otel_claude_stream.cli import main, otlp
from otel_claude_stream.cli._replay import READ_TIMEOUT
from otel_claude_stream.cli.explain import show
from otel_claude_stream.cli.explanation import Explanation, consistent, explain
from otel_claude_stream.cli.inputs import BadInput, Input, read
from otel_claude_stream.cli.model import streams
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

ANSWER = Script.message("Nothing is as quiet as a wire.", gap=0.1, model="claude-sonnet-5")
HALF = 6  # events of it: message_start, block start, ping, three deltas


def one(script: Script, limits: str = "") -> Explanation:
    known = parse_limits(limits) if limits else KNOWN_LIMITS
    (found,) = explain(read("x", script.to_json().encode(), known))
    return found


# --------------------------------------------------------------------------------------------------------- golden text


def test_a_script_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = replace(ANSWER.cut_after(HALF, Hang(60.0)), name="cut by somebody")
    Path("cut.json").write_text(script.to_json(), encoding="utf-8")
    assert main(["explain", "cut.json"]) == 0
    assert (
        capsys.readouterr().out
        == """\
cut.json · cut by somebody · claude-sonnet-5 · ✗ failed · connection closed

What came
       0.00 s  request sent
       0.00 s  response 200
       0.00 s  message_start
       0.00 s  content_block_start [0]
       0.00 s  ping
       0.00 s  content_block_delta [0] text x3, 13 characters, over 200 ms, longest wait 100 ms
       0.20 s  nothing for 60.0 s: not a byte
      60.20 s  a retry policy would give up (too short)
      60.20 s  end: connection closed, the application got httpx2.RemoteProtocolError

How it ended
  Failed after 60.2 s, streaming: connection closed, caused by something between the application and
  the API.

Why we think so
  The connection was closed in the middle of the body. (rule closed)
  Consistent with an idle limit of 60 s: nginx, AWS ALB, Kong, HAProxy, Apache httpd, Varnish.
  Evidence: silence before the end 60.0 s; from request to end 60.2 s; longest silence 60.0 s;
    events 6; deltas 3; pings 1; bytes 958; exception httpx2.RemoteProtocolError; status 200.

What to change
  Consistent with an idle limit of 60 s, which cuts streams that are silent for longer. Raise it
  (nginx: proxy_read_timeout, AWS ALB: idle_timeout.timeout_seconds, Kong: read_timeout), or keep
  bytes flowing: forward pings and disable buffering (X-Accel-Buffering: no, proxy_buffering off).
"""
    )


def test_a_recording_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """A body without times and without a head: nothing is said of either."""
    monkeypatch.chdir(tmp_path)
    Path("half.sse").write_bytes(ANSWER.cut_after(HALF, End()).body())
    assert main(["explain", "half.sse"]) == 0
    assert (
        capsys.readouterr().out
        == """\
half.sse · claude-sonnet-5 · ✗ failed · truncated

What came (a recorded body: its head and its times are not known)
  message_start
  content_block_start [0]
  ping
  content_block_delta [0] text x3, 13 characters
  a retry policy would give up (too short)
  end: truncated, nothing was raised

How it ended
  Failed, streaming: truncated; the evidence does not tell who caused it.

Why we think so
  The body ended cleanly in the middle of the message. It was cut at the source, or a proxy hid the
  cut. (rule truncated)
  The same evidence fits: connection closed.
  Evidence: events 6; deltas 3; pings 1; bytes 958.

What to change
  The answer is incomplete although no exception was raised. Treat it as failed, and let the proxy
  in between use HTTP/1.1 for its upstream.
"""
    )


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


def test_spans_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("traces.json").write_text(json.dumps(samples.traces(CUT_SPAN)), encoding="utf-8")
    assert main(["explain", "traces.json"]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
traces.json · {samples.TRACE}/00f067aa0ba902b7 · claude-sonnet-5 · ✗ failed · connection closed

What came
       0.00 s  request sent
       0.05 s  response 200, from nginx
       0.05 s  message_start
       0.05 s  nothing for 1.95 s: no content yet
       1.00 s  ping x2, over 500 ms
       2.00 s  content_block_delta [0] text x3, 4 characters, over 200 ms
       2.20 s  nothing for 2.00 s: not a byte
       4.20 s  end: connection closed, the application got httpx2.RemoteProtocolError

How it ended
  Failed after 4.20 s, streaming: connection closed, caused by something between the application and
  the API.

Why we think so
  The connection was closed in the middle of the body. (rule closed)
  Consistent with an idle limit of 2 s: nginx, AWS ALB.
  Evidence: silence before the end 2.00 s; from request to end 4.20 s; until the response 50 ms;
    until the first token 400 ms; longest silence 400 ms; time in the application's loop 10 ms;
    events 5; exception httpx2.RemoteProtocolError; status 200; who answered nginx.

What to change
  Raise the idle limit.
"""
    )


# ------------------------------------------------------------------------------------------------- every kind of ending

DONE = tuple(ANSWER.steps)
ENDS: dict[str, tuple[Script, str, str]] = {
    # what the response does: the reason (or outcome), and the rule
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
    found = one(script)
    assert (found.reason or found.outcome, found.rule) == (reason, rule)
    assert found.because == next(known.description for known in RULES if known.id == rule)
    assert found.timeline[-1].kind == "end"
    assert found.advice


@pytest.mark.parametrize("name", ENDS)
def test_it_says_what_the_live_instrumentation_says(name: str, live) -> None:
    """The same Script over a real socket, through the real SDK, gives the same span."""
    script, _, _ = ENDS[name]
    found, attributes = one(script), live(script)
    told = {
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
    seen = {key: attributes.get(f"claude.stream.{key}") for key in told}
    empty = {"abort.also_possible": (), "abort.suspects": ()}
    assert told == {
        key: tuple(value) if isinstance(value, list) else empty.get(key, "") if value is None else value
        for key, value in seen.items()
    }
    if "exception" in dict(found.evidence):
        library, _, kind = dict(found.evidence)["exception"].partition(".")
        real = attributes["claude.stream.abort.exception"]
        if library == "httpx2" or kind == "APIConnectionError":
            assert real.partition(".")[2] == kind
        elif library == "anthropic":
            assert real.startswith("anthropic.")
        else:
            assert real == f"{library}.{kind}".rstrip(".")


def stream(script: Script, **providers: object) -> None:
    """Stream once with the instrumented SDK, whatever comes of it."""
    from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig

    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(**providers, config=StreamConfig())
    question = {"role": "user", "content": "?"}
    try:
        with FakeAPI(script) as api, suppress(Exception):
            client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)
            call = client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=[question], stream=True)
            with client, call:
                for _ in call:
                    continue
    finally:
        instrumentor.uninstrument()


@pytest.fixture
def live():
    """Plays a Script to the instrumented SDK; returns the attributes of its span."""

    def play(script: Script) -> dict[str, object]:
        with Capture() as capture:
            stream(script, **capture.providers)
            (span,) = capture.spans()
            return span["attributes"]

    return play


# --------------------------------------------------------------------------------------------------------------- clocks


def test_the_client_s_own_clock_runs_out() -> None:
    """The SDK's default, 600 s: a longer wait is never waited for."""
    quiet = one(ANSWER.cut_after(HALF, Hang(9999.0)))
    assert (quiet.reason, quiet.origin, quiet.limit_match) == ("silent", "client", "idle:600s")
    assert quiet.duration == pytest.approx(READ_TIMEOUT + 0.2)
    unanswered = one(replace(ANSWER, header_delay=9999.0))
    assert (unanswered.reason, unanswered.phase) == ("response_timeout", "awaiting_response")
    assert unanswered.duration == READ_TIMEOUT


def test_stalls_are_told_with_their_kind() -> None:
    silent = one(ANSWER.insert_pause(HALF, 45.0))
    pings = one(ANSWER.insert_pause(HALF, 45.0, ping_interval=10.0))
    late = one(replace(ANSWER, steps=(DONE[0], Pause(30.0), *DONE[1:])))
    assert [m.what for m in silent.timeline if m.kind == "stall"] == ["nothing for 45.1 s: not a byte"]
    assert [m.what for m in pings.timeline if m.kind == "stall"] == ["nothing for 45.1 s: pings only (4 pings)"]
    assert [m.what for m in late.timeline if m.kind == "stall"] == ["nothing for 30.0 s: no content yet"]


def test_a_stall_that_no_gap_shows_is_told_all_the_same() -> None:
    """Spans have one mark for the deltas of a block: the stall between them has a mark of its own."""
    run = {"claude.stream.event.coalesced": 9, "claude.stream.event.duration": 50.0, "claude.stream.event.gap": 45.0}
    stall = ("claude.stream.stall", 12.0, {"claude.stream.event.gap": 10.0})
    (found,) = explain(spans(samples.span(samples.HEALTHY, (samples.delta(1.0, **run), stall), seconds=51.0)))
    told = [(m.at, m.what) for m in found.timeline if m.kind == "stall"]
    assert told == [(12.0, "stall: no content for 10.0 s so far")]


def test_pings_begin_a_silence_anew() -> None:
    pinged = one(ANSWER.cut_after(HALF, End()).insert_pause(HALF, 50.0, ping_interval=20.0))
    assert dict(pinged.evidence)["silence before the end"] == "10.0 s"


def test_limits_can_be_replaced() -> None:
    cut = ANSWER.cut_after(HALF, Hang(2.0))
    assert one(cut).limit_match == "none"
    assert one(cut, "idle:2s=nginx").limit_match == "idle:2s"
    assert one(cut, "x0.0333").limit_match == "ambiguous"  # all of them are close together now


# ------------------------------------------------------------------------------------------------------------- wording


@pytest.mark.parametrize(
    ("match", "suspects", "said"),
    [
        ("idle:60s", ("nginx", "Kong"), "Consistent with an idle limit of 60 s: nginx, Kong."),
        (
            "duration:29s",
            ("AWS API Gateway",),
            "Consistent with a limit on the whole response of 29 s: AWS API Gateway.",
        ),
        ("ambiguous", ("a", "b"), "Consistent with an idle limit and with a limit on the whole response alike: a, b."),
        ("idle:7s", (), "Consistent with an idle limit of 7 s: no product that we know by default."),
        ("none", ("nginx",), "Consistent with no known time limit. The response names nginx."),
        ("none", (), "Consistent with no known time limit."),
        ("", (), ""),
    ],
)
def test_it_is_never_more_than_consistent_with(match: str, suspects: tuple[str, ...], said: str) -> None:
    assert consistent(match, suspects) == said


def test_what_the_caller_or_the_api_did_is_not_compared_with_limits() -> None:
    left = {"claude.stream.outcome": "closed", "claude.stream.abort.reason": "caller_closed"}
    (found,) = explain(spans(samples.span({**samples.HEALTHY, **left, "claude.stream.abort.origin": "caller"})))
    assert (found.consistent, found.advice) == ("", "Nothing: the application ended the stream itself.")
    assert one(Script.http_error(529)).consistent == ""


def test_a_rule_of_another_version_is_named_and_no_more() -> None:
    (found,) = explain(spans(samples.span({**samples.CUT, "claude.stream.abort.rule": "from_the_future"})))
    assert (found.rule, found.because) == ("from_the_future", "")
    assert "(rule from_the_future)" in printed(found)
    (found,) = explain(spans(samples.span({**samples.CUT, "claude.stream.abort.advice": ""})))
    assert "(rule not known)" in printed(found)
    assert "No advice." in printed(found)


def test_attempts_before_the_stream_are_told() -> None:
    retry = {"claude.stream.retry.reason": "overloaded", "claude.stream.retry.delay": 0.5}
    span = samples.span(
        {**samples.HEALTHY, "claude.stream.attempt.count": 2, "claude.stream.time_to_headers": 0.8},
        (("claude.stream.retry", 0.1, retry), *samples.HEALTHY_EVENTS[1:]),
    )
    (found,) = explain(spans(span))
    assert found.timeline[1].what == "attempt 1 failed: overloaded; next attempt after 500 ms"
    assert dict(found.evidence)["HTTP requests"] == "2"


def test_a_long_timeline_keeps_its_ends_and_its_stalls() -> None:
    block = Script.message("one two", gap=0.0).steps[1:-2]
    steps = (*[*block, Pause(0.1)] * 15, Pause(20.0), *[*block, Pause(0.1)] * 15)
    found = one(Script(steps=(DONE[0], *steps, *DONE[-2:])))
    assert len(found.timeline) < 50
    assert found.timeline[20].what.startswith("...")
    assert any(moment.what.startswith("nothing for 20") for moment in found.timeline)


# --------------------------------------------------------------------------------------------------------- the command


def spans(*found: object) -> Input:
    return Input("x", "spans", streams(samples.decoded(*found)))


def printed(found: Explanation) -> str:
    out = io.StringIO()
    show([found], out)
    return out.getvalue()


def given(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_json_has_one_object_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    lines = [json.dumps(samples.traces(CUT_SPAN)), "", json.dumps({"resourceMetrics": []})]
    lines += [json.dumps(samples.traces(samples.healthy(span_id="00f067aa0ba902b8", start=9.0)))]
    (tmp_path / "many.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given(monkeypatch, ANSWER.to_json().encode())
    assert main(["explain", "--json", str(tmp_path / "many.jsonl"), "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["outcome"], one["reason"], one["rule"]) for one in found] == [
        ("failed", "connection_closed", "closed"),
        ("completed", "", "message_stop"),
        ("completed", "", "message_stop"),
    ]
    assert found[0]["suspects"] == ["nginx", "AWS ALB"]
    assert found[0]["timeline"][-1] == {
        "at": 4.2,
        "what": "end: connection closed, the application got httpx2.RemoteProtocolError",
        "kind": "end",
    }
    assert found[2]["source"] == "standard input"


def test_spans_as_the_exporter_writes_them(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From the live instrumentation through the OTLP exporter's own encoder, as a Collector writes it to a file."""
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    stream(ANSWER.cut_after(HALF, Reset()), tracer_provider=provider)
    encoded = encoder.encode_spans(kept.get_finished_spans()).SerializeToString()
    given(monkeypatch, json.dumps(otlp.read("traces", encoded, otlp.PROTOBUF)).encode())
    assert main(["explain", "-", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["reason"], found["rule"], found["phase"]) == ("connection_reset", "reset", "streaming")
    assert found["because"] == "The connection was reset in the middle of the body."
    assert [moment["what"].split(",")[0] for moment in found["timeline"]] == [
        "request sent",
        "response 200",
        "message_start",
        "content_block_start [0]",
        "ping",
        "content_block_delta [0] text x3",
        "a retry policy would give up (too short)",
        "end: connection reset",
    ]


BROKEN = {
    "": "it is empty; expected a recorded stream",
    "\n\n<html>": "line 3: '<html>' is not the beginning of a recorded stream",
    "[1, 2]": "line 1: JSON, but list where an object was expected",
    '{"steps": [{"do": "dance"}], "version": 1}': "not a Script: steps[0].do: 'dance' is not valid",
    '{"version": 1,\n "steps": [}': "not JSON: Expecting value at line 2, column 12",
    '{"a": 1, "b": 2}': "line 1: a JSON object with the keys a, b; expected",
    '{"resourceSpans": []}': "it has no span of otel-claude-stream (found: no spans at all)",
    '{"resourceMetrics": []}': "it has no span of otel-claude-stream",
    '{"resourceSpans": []}\n{"resourceSpans": [': "line 2: not JSON: Expecting value at line 1",
    '{"resourceSpans": []}\n[]': "line 2: JSON, but list",
    '{"resourceSpans": 7}': "line 1: not an OTLP traces request in JSON",
    '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}': "line 1: an id is not in hex: 'zz'",
    "[" * 100_000: "not JSON: nested too deeply",
    "\x1f\x8b": "compressed (gzip): unpack it first",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_an_input_that_is_none(text: str) -> None:
    with pytest.raises(BadInput) as raised:
        read("x", text.encode("latin-1"), KNOWN_LIMITS)
    assert str(raised.value).startswith(("it is ", BROKEN[text]))
    assert BROKEN[text] in str(raised.value)


def test_spans_of_others_are_named() -> None:
    document = samples.traces(samples.healthy(), scope="com.anthropic.sdk.python")
    with pytest.raises(BadInput, match=r"found: com\.anthropic\.sdk\.python"):
        read("x", json.dumps(document).encode(), KNOWN_LIMITS)


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.sse"
    good.write_bytes(b"\xef\xbb\xbf" + ANSWER.body())
    assert main(["explain", str(tmp_path / "none.sse"), str(good), str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "✓ completed" in shown.out
    assert shown.err.splitlines() == [
        f"otel-claude-stream: {tmp_path / 'none.sse'}: cannot be read: No such file or directory",
        f"otel-claude-stream: {tmp_path}: cannot be read: Is a directory",
    ]


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "answer.sse"
    file.write_bytes(ANSWER.body())
    command = [sys.executable, "-m", "otel_claude_stream", "explain", *[str(file)] * 200]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read()
    assert (process.returncode, complaints) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FILE"),
        (["-", "-"], "once only"),
        (["x", "--known-limits", "idle:soon"], "--known-limits: 'idle:soon' is not a limit"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_limits_are_not_for_spans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.json").write_text(json.dumps(samples.traces(CUT_SPAN)), encoding="utf-8")
    assert main(["explain", str(tmp_path / "t.json"), "--known-limits", "idle:7s"]) == 0
    shown = capsys.readouterr()
    assert "idle limit of 2 s" in shown.out
    assert "spans keep their own limits" in shown.err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit codes:" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("term", "coloured"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_gets_colours_and_the_same_words(term: str, coloured: bool, monkeypatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out, found = Terminal(), one(ANSWER)
    show([found, found], out)
    assert ("\x1b[" in out.getvalue()) is coloured
    assert "Nothing: the message is complete." in out.getvalue()


def test_without_rich_it_is_plain(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    out = Terminal()
    show([one(ANSWER)], out)
    assert "\x1b[" not in out.getvalue()


@pytest.mark.recordings
def test_recordings_are_explained(recordings: list[Path]) -> None:
    """Every recorded stream is complete; cut anywhere, it is not, and nothing raises."""
    for path in recordings:
        raw = path.read_bytes()
        (whole,) = explain(read(path.name, raw, KNOWN_LIMITS))
        assert (whole.outcome, whole.rule) == ("completed", "message_stop"), path.name
        (cut,) = explain(read(path.name, raw[: len(raw) // 2], KNOWN_LIMITS))
        assert (cut.outcome, cut.reason) == ("failed", "truncated"), path.name
