from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import cli_samples as samples

from otel_claude_stream.cli.errors import CommandError
from otel_claude_stream.cli.otlp import record
from otel_claude_stream.cli.otlp.decode import JSON, BadTelemetry, spans
from otel_claude_stream.cli.otlp.decode import read as read_request
from otel_claude_stream.cli.otlp.receive import Message
from otel_claude_stream.cli.otlp.record import Recorder, UnreadableLine, read

GOOD = samples.traces(samples.healthy())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def message(document: dict[str, object]) -> Message:
    return Message("traces", "/v1/traces", {}, b"", document)


def test_a_recording_can_be_read_back() -> None:
    warnings: list[str] = []
    document = read_request("traces", json.dumps(GOOD).encode(), JSON)
    with Recorder(Path("a.jsonl"), warnings.append) as recorder:
        recorder.write(message(document))
        recorder.write(message({"resourceSpans": [{"resource": {}, "note": "Grüße\u2028\n"}]}))
        assert Path("a.jsonl").read_bytes().count(b"\n") == 2, "each line is written at once"
        assert Path("a.jsonl").stat().st_mode & 0o777 == 0o600
    first, second = read(Path("a.jsonl"))
    assert first == ("traces", list(spans(document)))
    assert not isinstance(second, UnreadableLine)
    assert warnings == []


def test_a_full_disk_ends_the_recording() -> None:
    warnings: list[str] = []
    with Recorder(Path("/dev/full"), warnings.append) as recorder:
        recorder.write(message(GOOD))
        recorder.write(message(GOOD))
    assert warnings == [
        "cannot write /dev/full: No space left on device. The recording ends here; everything else continues."
    ]


def test_lines_that_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_LINE", 100)
    path = Path("a.jsonl")
    documents = ({"resourceSpans": [], "x": "y" * 250}, {"resourceSpans": []})
    path.write_text("\n".join(map(json.dumps, documents)) + "\n")
    assert [isinstance(found, UnreadableLine) for found in read(path)] == [True, True, True, False]


def test_a_folder_that_does_not_exist() -> None:
    with pytest.raises(CommandError, match="cannot write"), Recorder(Path("no/a.jsonl"), pytest.fail):
        pass
    with pytest.raises(BadTelemetry):
        read_request("traces", b"[]", JSON)
