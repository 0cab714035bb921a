"""`explain` as a user runs it. Tests with the fixture `in_this_process` play streams without another process."""

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
from tests.support.explanations import ANSWER, CUT_SPAN, HALF

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig
from otel_claude_stream.cli.explain import playback
from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.view.sides import API_SCOPE, API_SERVICE
from otel_claude_stream.testing import End, FakeAPI, Hang, Reset

HTTP = playback.http_library(anthropic).__name__


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_a_script_explained(capsys: pytest.CaptureFixture[str]) -> None:
    script = replace(ANSWER.cut_after(HALF, Hang(60.0)), name="cut by a proxy")
    Path("cut.json").write_text(script.to_json(), encoding="utf-8")
    assert main(["explain", "cut.json"]) == 0
    assert (
        capsys.readouterr().out
        == """\
cut.json · cut by a proxy · claude-sonnet-5 · ✗ failed · connection closed

Timeline
       0.00 s  request sent
       0.00 s  response 200
       0.00 s  message_start
       0.00 s  content_block_start [0]
       0.00 s  ping
       0.00 s  content_block_delta [0] text x3, 13 characters, over 200 ms, longest gap 100 ms
       0.20 s  no content for 60.0 s: no bytes at all
      60.20 s  request 1: connection closed (streaming); a retry policy would give up (the text is
                 too short)
      60.20 s  end: connection closed, the SDK raised httpx2.RemoteProtocolError

Ending
  Failed after 60.2 s, streaming: connection closed, caused by something between the application and
  the API.

Diagnosis
  The connection was closed in the middle of the body. (rule closed)
  Consistent with an idle limit of 60 s: nginx, AWS ALB, Kong, HAProxy, Apache httpd, Varnish.
  Evidence: silence before the end 60.0 s; from request to end 60.2 s; longest silence 60.0 s;
    events 6; deltas 3; pings 1; bytes 958; exception httpx2.RemoteProtocolError; status 200.

Advice
  Consistent with an idle limit of 60 s, which cuts streams that are silent for longer. Raise it
  (nginx: proxy_read_timeout, AWS ALB: idle_timeout.timeout_seconds, Kong: read_timeout), or keep
  bytes flowing: forward pings and disable buffering (X-Accel-Buffering: no, proxy_buffering off).
""".replace("httpx2", HTTP)
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_recording_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """A body without times and response headers is explained without either."""
    Path("half.sse").write_bytes(ANSWER.cut_after(HALF, End()).body())
    assert main(["explain", "half.sse"]) == 0
    assert (
        capsys.readouterr().out
        == """\
half.sse · claude-sonnet-5 · ✗ failed · truncated

Timeline (a recorded body has neither times nor response headers)
  message_start
  content_block_start [0]
  ping
  content_block_delta [0] text x3, 13 characters
  request 1: truncated (streaming); a retry policy would give up (the text is too short)
  end: truncated, no exception was raised

Ending
  Failed, streaming: truncated; the evidence does not show the cause.

Diagnosis
  The body ended cleanly in the middle of the message. It was cut at the source, or a proxy hid the
  cut. (rule truncated)
  The same evidence fits: connection closed.
  Evidence: events 6; deltas 3; pings 1; bytes 958.

Advice
  The answer is incomplete although no exception was raised. Treat it as failed, and let the proxy
  in between use HTTP/1.1 for its upstream.
"""
    )


def test_spans_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are not played, so the SDK is not needed."""
    monkeypatch.setattr(playback, "NEEDED", (("no_such_sdk", "instruments"),))
    Path("traces.json").write_text(json.dumps(samples.traces(CUT_SPAN)), encoding="utf-8")
    assert main(["explain", "traces.json"]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
traces.json · {samples.TRACE}/00f067aa0ba902b7 · claude-sonnet-5 · ✗ failed · connection closed

Timeline
       0.00 s  request sent
       0.05 s  response 200, from nginx
       0.05 s  message_start
       0.05 s  no content for 1.95 s: before the first token
       1.00 s  ping x2, over 500 ms
       2.00 s  content_block_delta [0] text x3, 4 characters, over 200 ms
       2.20 s  no content for 2.00 s: no bytes at all
       4.20 s  end: connection closed, the SDK raised httpx2.RemoteProtocolError

Ending
  Failed after 4.20 s, streaming: connection closed, caused by something between the application and
  the API.

Diagnosis
  The connection was closed in the middle of the body. (rule closed)
  Consistent with an idle limit of 2 s: nginx, AWS ALB.
  Evidence: silence before the end 2.00 s; from request to end 4.20 s; until the response 50 ms;
    until the first token 400 ms; longest silence 400 ms; time in the application's loop 10 ms;
    events 5; exception httpx2.RemoteProtocolError; status 200; intermediary nginx.

Advice
  Raise the idle limit.
"""
    )


def set_stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


@pytest.mark.usefixtures("in_this_process")
def test_json_has_one_object_for_each_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    lines = [json.dumps(samples.traces(CUT_SPAN)), "", json.dumps({"resourceMetrics": []})]
    lines += [json.dumps(samples.traces(samples.healthy(span_id="00f067aa0ba902b8", start=9.0)))]
    (tmp_path / "many.jsonl").write_text("\n".join(lines), encoding="utf-8")
    set_stdin(monkeypatch, ANSWER.to_json().encode())
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
        "what": "end: connection closed, the SDK raised httpx2.RemoteProtocolError",
        "kind": "end",
    }
    assert found[2]["source"] == "standard input"


def test_spans_as_the_exporter_writes_them(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From a live stream through the encoder of the OTLP exporter, as a Collector writes it to a file."""
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(tracer_provider=provider, config=StreamConfig())
    question = {"role": "user", "content": "?"}
    try:
        with FakeAPI(ANSWER.cut_after(HALF, Reset())) as api, suppress(Exception):
            client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)
            call = client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=[question], stream=True)
            with client, call:
                for _ in call:
                    continue
    finally:
        instrumentor.uninstrument()
    encoded = encoder.encode_spans(exporter.get_finished_spans()).SerializeToString()
    set_stdin(monkeypatch, json.dumps(decode.read("traces", encoded, decode.PROTOBUF)).encode())
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
        "request 1: connection reset (streaming); a retry policy would give up (the text is too short)",
        "end: connection reset",
    ]


@pytest.mark.usefixtures("in_this_process")
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


def test_without_the_sdk_the_error_names_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "NEEDED", (("no_such_sdk", "instruments"),))
    for name in ("a.sse", "b.sse"):
        (tmp_path / name).write_bytes(ANSWER.body())
    assert main(["explain", str(tmp_path / "a.sse"), str(tmp_path / "b.sse")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "otel-claude-stream: not installed: no_such_sdk\n"
        "Install them with: pip install 'otel-claude-stream[instruments]'\n"
    )


def test_a_closed_pipe_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "answer.sse"
    file.write_bytes(ANSWER.body())
    command = [sys.executable, "-m", "otel_claude_stream", "explain", *[str(file)] * 200]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILE"),
        (["-", "-"], "only once"),
        (["x", "--known-limits", "idle:soon"], "--known-limits: 'idle:soon' is not a limit"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_limits_do_not_apply_to_spans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.json").write_text(json.dumps(samples.traces(CUT_SPAN)), encoding="utf-8")
    assert main(["explain", str(tmp_path / "t.json"), "--known-limits", "idle:7s"]) == 0
    shown = capsys.readouterr()
    assert "idle limit of 2 s" in shown.out
    assert "--known-limits is ignored, since spans carry their verdict" in shown.err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit codes:" in shown


@pytest.mark.usefixtures("in_this_process")
def test_hostile_names_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """The names of files, models and events, and the fault of a script, in text and in JSON."""
    name = "a\x1b[31m\x9b\u202e"
    evil = {
        key: f"{value}\x1b]0;PWNED\x07\x9b31m\u202e\r\nINJECTED" if isinstance(value, str) else value
        for key, value in samples.CUT.items()
    }
    Path(f"{name}.jsonl").write_text(json.dumps(samples.traces(samples.span(evil, [samples.delta(0.1)]))))
    Path(f"{name}.sse").write_bytes(b"event: \x1b]0;PWNED\x07ev\ndata: {}\n\n")
    Path(f"{name}.json").write_text('{"steps": [{"send\\u001b[31m\\r\\nINJECTED": 1}]}')
    for options in ([], ["--json"]):
        assert main(["explain", *options, f"{name}.jsonl", f"{name}.sse", f"{name}.json"]) == 1
        shown, errors = capsys.readouterr()
        assert not set(shown + errors) & {"\x1b", "\x9b", "\u202e", "\x07", "\r"}
        assert not any(line.startswith("INJECTED") for line in shown.splitlines())
        assert "a\\x1b[31m\\x9b\\u202e.json: " in errors
        if options:
            assert [one["source"] for one in json.loads(shown)] == [f"{name}.jsonl", f"{name}.sse"]
        else:
            assert shown.startswith("a\\x1b[31m\\x9b\\u202e.jsonl · ")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_file_that_is_still_being_written(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A program that is killed leaves such a file too. The cut may be within a character."""
    good = json.dumps(samples.traces(CUT_SPAN))
    for cut in (good[:-9].encode(), '{"resourceSpans": [{"scope": "\u00e4'.encode()[:-1]):
        Path("a.jsonl").write_bytes(f"{good}\n\n".encode() + cut)
        assert main(["explain", "a.jsonl", *options]) == 0
        shown, errors = capsys.readouterr()
        assert shown.count("connection_closed" if options else "Timeline") == 1
        assert errors.startswith("warning: a.jsonl: 1 line left out; line 3: it is not JSON: ")
        assert errors.count("\n") == 1


def test_a_stream_that_is_in_several_files_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The file that has most of it counts. The place in the output is that of the first."""
    cut = {**CUT_SPAN, "events": [], "attributes": CUT_SPAN["attributes"][:9]}
    other = samples.healthy(span_id="00f067aa0ba902b8", start=9.0)
    recorded = {"poor": [cut, *FEED_SPANS], "rich": [other, CUT_SPAN, *FEED_SPANS]}
    for name, spans in recorded.items():
        Path(f"{name}.jsonl").write_text(json.dumps(samples.traces(*spans)), encoding="utf-8")
    for files in (["poor.jsonl", "rich.jsonl"], ["rich.jsonl", "poor.jsonl"], ["rich.jsonl", "./rich.jsonl"]):
        assert main(["explain", *files, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {one["source"] for one in found} == {"rich.jsonl"}
        outcomes = ["failed", "completed"]
        assert [one["outcome"] for one in found] == outcomes
        assert len(found[0]["timeline"]) == 8
    assert main(["explain", "poor.jsonl", "rich.jsonl"]) == 0
    assert "2 connections to feeds of agent sessions" in capsys.readouterr().out


API_SPAN = {
    **samples.span({"anthropic.request.id": "req_7", "error.type": "api_error"}, seconds=4.1, span_id="a" * 16),
    "name": "anthropic.messages.create",
    "kind": 2,
    "status": {"code": 2},
}
SEEN_FROM_THE_CLIENT = samples.span(
    {
        **samples.CUT,
        "claude.stream.abort.origin": "network",
        "claude.stream.abort.limit_match": "none",
        "claude.stream.abort.rule": "closed",
        "claude.stream.request_id": "req_7",
    },
    seconds=4.2,
)


def api_file(name: str) -> None:
    document = samples.traces(API_SPAN, scope=API_SCOPE, service=API_SERVICE)
    Path(name).write_text(json.dumps(document), encoding="utf-8")


def test_the_spans_of_the_api_in_another_file_decide_the_cause(capsys: pytest.CaptureFixture[str]) -> None:
    """A Collector's file may also have the lines of proxies."""
    Path("streams.json").write_text(json.dumps(samples.traces(SEEN_FROM_THE_CLIENT)), encoding="utf-8")
    api_file("api.json")
    attributes = {"proxy.product": "nginx", "claude.stream.request_id": "req_7", "proxy.cause": "upstream_closed"}
    record = {"timeUnixNano": str(samples.START + 4_000_000_000), "attributes": samples.pairs(attributes)}
    lines = [
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]},
        {"resourceLogs": []},
        {"resourceMetrics": []},
    ]
    Path("proxy.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert main(["explain", "streams.json", "api.json", "proxy.jsonl"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "4.00 s nginx: upstream closed" in text
    assert "4.10 s the API: request failed after 4.10 s, api_error" in text
    assert "connection closed, caused by the API." in text
    assert "The API failed too, so nothing in between has to be the cause." in text
    assert "; api failed." in text
    assert main(["explain", "api.json", "streams.json", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["source"], found["origin"], found["evidence"][-1]) == ("streams.json", "anthropic", ["api", "failed"])


def test_files_with_the_spans_of_the_api_alone_have_no_stream(capsys: pytest.CaptureFixture[str]) -> None:
    api_file("api.json")
    assert main(["explain", "api.json"]) == 1
    assert "no stream was found, only what the API or a proxy recorded" in capsys.readouterr().err


def test_a_malformed_log_of_a_proxy_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("proxy.jsonl").write_text('{"resourceLogs": 7, "x": "proxy.product"}', encoding="utf-8")
    assert main(["explain", "proxy.jsonl"]) == 1
    assert "line 1: not an OTLP logs request in JSON" in capsys.readouterr().err


FEED = {
    "claude.stream.outcome": "failed",
    "claude.stream.abort.reason": "truncated",
    "claude.stream.abort.limit_match": "idle:60s",
    "claude.stream.feed.kind": "thread",
    "claude.stream.feed.session.id": "sesn_1",
    "claude.stream.feed.thread.id": "sthr_1",
    "claude.stream.feed.connection.number": 2,
}
IDLE_FEED = {
    "claude.stream.outcome": "completed",
    "claude.stream.feed.session.id": "sesn_2",
    "claude.stream.feed.connection.number": 1,
}
FEED_SPANS = (
    samples.span(FEED, name="claude.stream.feed", span_id="00000000000000f1", start=1, seconds=60),
    samples.span(IDLE_FEED, name="claude.stream.feed", span_id="00000000000000f2", start=2, seconds=7200),
)


def test_connections_to_feeds_follow_the_streams_and_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """They have a line each. The array of --json has streams only."""
    Path("t.json").write_text(json.dumps(samples.traces(samples.healthy(), *FEED_SPANS)), encoding="utf-8")
    assert main(["explain", "t.json"]) == 0
    out = capsys.readouterr().out
    assert out.count("Timeline") == 1
    title, *lines = out.rpartition("\n\n")[2].splitlines()
    assert title == "2 connections to feeds of agent sessions"
    assert [line[10:] for line in lines] == [
        " sesn_1/sthr_1, connection 2: failed after 60.0 s, truncated, consistent with idle:60s",
        " sesn_2, connection 1: completed after 2 h 00 min",
    ]
    assert main(["explain", "t.json", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_telemetry_with_feeds_alone_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """The options that select streams select connections too."""
    Path("t.json").write_text(json.dumps(samples.traces(*FEED_SPANS)), encoding="utf-8")
    assert main(["explain", "t.json", "--failed"]) == 0
    assert "1 connection to feeds of agent sessions" in capsys.readouterr().out
