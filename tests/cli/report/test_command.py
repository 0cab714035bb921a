from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, delta, healthy, span
from tests.support.report_pages import data_of

from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.report.command import run

GOOD = samples.traces(healthy())
BAD = samples.traces(span(CUT, [delta(0.1)], start=3.0, span_id="1" * 16))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def recording_file(name: str, *documents: object, end: str = "\n") -> Path:
    path = Path(name)
    path.write_text("\n".join(json.dumps(document) for document in documents) + end)
    return path


def test_the_report_is_written_before_the_table_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `otel-claude-stream report FILE | head`."""

    def closed(*_: object) -> None:
        raise BrokenPipeError

    recording_file("a.jsonl", GOOD)
    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(BrokenPipeError):
        run(Namespace(files=["a.jsonl"], output="out.html", open=False))
    assert Path("out.html").exists()


def test_a_report_and_a_table_from_several_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    recording_file("a.jsonl", GOOD, {"resourceLogs": []})
    recording_file("b.jsonl", BAD, GOOD)
    assert main(["report", "a.jsonl", "b.jsonl", "--output", "out.html"]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "2 streams: 1 completed, 1 failed. HTTP requests: 2." in shown
    assert shown.splitlines()[-1] == "Report: out.html"
    text = Path("out.html").read_text(encoding="utf-8")
    assert "Claude streams of chat-worker" in text
    assert Path("out.html").stat().st_mode & 0o777 == 0o600
    assert len(data_of(text)[1]) == 2


def test_a_document_over_many_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_text(json.dumps(GOOD, indent=2))
    assert main(["report", "a.json"]) == 0
    assert "1 stream: 1 completed" in capsys.readouterr().out
    assert Path("claude-streams.html").exists()


def test_a_file_that_is_still_being_written(capsys: pytest.CaptureFixture[str]) -> None:
    recording_file("a.jsonl", GOOD, end='\n\n{"resourceSpans": [{"scop')
    assert main(["report", "a.jsonl"]) == 0
    assert capsys.readouterr().err.startswith("warning: a.jsonl: 1 line left out; line 3: it is not JSON: ")


def test_without_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    recording_file("a.jsonl", samples.traces(healthy(), scope="another.library"))
    assert main(["report", "a.jsonl"]) == 0
    assert "The recordings contain no stream of the Anthropic SDK." in capsys.readouterr().out
    assert "No stream was seen" in Path("claude-streams.html").read_text(encoding="utf-8")


def test_the_fault_of_a_line_is_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    recording_file("a.jsonl", GOOD, end='\n{"resourceSpans": "')
    assert main(["report", "a.jsonl"]) == 0
    assert capsys.readouterr().err.endswith("line 2: it is not JSON: Unterminated string starting\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", ""),
        ("hello\n", "line 1: it is not JSON"),
        ("[1]\n", "line 1: it is not a JSON object"),
        ('{"a": 1}\n', "line 1: it has none of resourceSpans, resourceMetrics, resourceLogs"),
        ('{"resourceSpans": 7}\n', "line 1: not an OTLP traces request in JSON"),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}\n', "an id is not in hex"),
        ("[" * 100_000 + "\n", "line 1: it is not JSON"),
        ("\xff\xfe", "it is not JSON"),
    ],
)
def test_files_that_are_not_recordings(content: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.jsonl").write_bytes(content.encode("latin-1"))
    assert main(["report", "a.jsonl"]) == (1 if reason else 0)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.jsonl"], 1, "cannot read none.jsonl: No such file"),
        (["."], 1, "cannot read .: Is a directory"),
        (["a.jsonl", "-o", "a.jsonl"], 1, "would replace a recording"),
        (["a.jsonl", "-o", "no/out.html"], 2, "the folder no does not exist"),
        ([], 2, "FILE"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    recording_file("a.jsonl", GOOD)
    assert main(["report", *arguments]) == code
    assert message in capsys.readouterr().err
    assert json.loads(Path("a.jsonl").read_text()) == GOOD


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
@pytest.mark.parametrize("name", ["absolute", "symbolic", "hard", "dotted"])
def test_a_recording_is_not_replaced_under_another_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = recording_file("a.jsonl", GOOD)
    names = {"absolute": file.resolve(), "symbolic": Path("soft"), "hard": Path("hard"), "dotted": Path("x/../a.jsonl")}
    Path("soft").symlink_to("a.jsonl")
    Path("hard").hardlink_to("a.jsonl")
    Path("x").mkdir()
    assert main(["report", "a.jsonl", "-o", str(names[name])]) == 1
    assert "would replace a recording" in capsys.readouterr().err
    assert json.loads(file.read_text()) == GOOD


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_a_recording_that_does_not_exist_yet_and_a_loop_of_links(capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    assert main(["report", "none.jsonl", "-o", str(Path("none.jsonl").resolve())]) == 1
    assert "would replace a recording" in capsys.readouterr().err
    recording_file("a.jsonl", GOOD)
    assert main(["report", "a.jsonl", "-o", "loop"]) == 1
    assert "cannot write loop" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="a device of POSIX")
def test_a_report_may_be_discarded() -> None:
    recording_file("a.jsonl", GOOD)
    assert main(["report", "a.jsonl", "/dev/null", "-o", "/dev/null"]) == 0


def texts_of(value: object) -> Iterator[str]:
    """Yield every text in JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts_of(item)


def test_hostile_names_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[31m\x9b\u202e\r.jsonl"
    evil = {
        name: f"{value}\x1b]0;PWNED\x07\x9b31m\u202e\r\nINJECTED" if isinstance(value, str) else value
        for name, value in {**CUT, "claude.stream.request.id": "r", "\x1b[5m": "x"}.items()
    }
    recording_file(hostile, samples.traces(span(evil, [delta(0.1)], name="chat \x1b[31m"), service="s\x1b[5m"))
    assert main(["report", hostile, "-o", "out\x1b.html"]) == 0
    assert main(["report", "no\x1b[31m\nINJECTED.jsonl"]) == 1
    assert main(["report", "a", "--no\x1b[31m"]) == 2
    shown, errors = capsys.readouterr()
    page = Path("out\x1b.html").read_text(encoding="utf-8")
    for text in (shown, errors, "\n".join(map(str, texts_of(data_of(page))))):
        assert not set(text) & {"\x1b", "\x9b", "\u202e", "\x07", "\r", "\x00"}
        assert "\\x1b" in text
    assert not any(line.startswith("INJECTED") for line in shown.splitlines())


def test_the_file_is_private_even_if_it_exists() -> None:
    recording_file("a.jsonl", GOOD)
    Path("out.html").write_text("old " * 1_000_000)
    Path("out.html").chmod(0o644)
    assert main(["report", "a.jsonl", "-o", "out.html"]) == 0
    assert Path("out.html").stat().st_mode & 0o777 == 0o600
    assert "old" not in Path("out.html").read_text(encoding="utf-8")[-100:]
