"""The file of open streams that `run` asks for, from a stream of the SDK to what a reader shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anthropic
import pytest
from opentelemetry.sdk.trace import TracerProvider
from tests.support.process_table import wait_until

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _guard
from otel_claude_stream._session import live
from otel_claude_stream._session.stall_ticker import StallTicker
from otel_claude_stream.cli.view.open_streams import LiveFolder, OpenStream
from otel_claude_stream.testing import End, FakeAPI, Hang, Script

SECRET = "the sea went quiet"
ANSWER = Script.message(f"The count was wrong, and {SECRET}.", gap=0.01)
QUESTION = [{"role": "user", "content": "a secret question"}]


@contextmanager
def instrumented(monkeypatch: pytest.MonkeyPatch, folder: str, thresholds: tuple[float, ...] = ()) -> Iterator[None]:
    monkeypatch.setenv(live.VARIABLE, folder)
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider(), config=StreamConfig(stall_thresholds=thresholds))
    try:
        yield
    finally:
        instrumentor.uninstrument()


@contextmanager
def reading(url: str, pause: float = 0.0) -> Iterator[None]:
    """Read a stream in another thread, which ends by the end of the block."""

    def read() -> None:
        with suppress(Exception), anthropic.Anthropic(api_key="none", base_url=url, max_retries=1) as client:
            for _ in client.messages.create(
                model="claude-sonnet-5", max_tokens=9, messages=QUESTION, stream=True, timeout=9.0
            ):
                time.sleep(pause)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        thread.join(15.0)
        assert not thread.is_alive()


def seen(folder: Path, condition: Callable[[OpenStream], bool]) -> OpenStream:
    """Wait until one stream is open that fulfils the condition."""
    found: list[OpenStream] = []

    def look() -> bool:
        found[:] = LiveFolder(str(folder)).read() or ()
        return len(found) == 1 and condition(found[0])

    wait_until(look)
    return found[0]


def test_a_silent_stream_is_open_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        instrumented(monkeypatch, str(tmp_path)),
        FakeAPI(ANSWER.cut_after(5, Hang(2.5))) as api,
        reading(api.url),
    ):
        found = seen(tmp_path, lambda one: one.doing.startswith("silent for"))
        (file,) = tmp_path.glob("*.json")
        assert file.name == f"{os.getpid()}.json"
        text = file.read_text()
    assert found.doing.endswith(" s, in text")
    assert (found.model, found.port) == ("claude-sonnet-5", api.port)
    assert 1.0 <= found.hangs <= found.age
    assert found.request_id.startswith("req_")
    assert "secret" not in text
    assert SECRET not in text
    wait_until(lambda: LiveFolder(str(tmp_path)).read() == ())


def test_the_threshold_that_a_wait_has_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        instrumented(monkeypatch, str(tmp_path), (0.5, 1.5, 60.0)),
        FakeAPI(ANSWER.cut_after(5, Hang(2.5))) as api,
        reading(api.url),
    ):
        assert seen(tmp_path, lambda one: one.stall != "").stall == "0.5s"
        assert seen(tmp_path, lambda one: one.stall not in ("", "0.5s")).stall == "1.5s"


def test_a_back_off_and_the_attempt_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Script.http_error(529, headers=[("retry-after-ms", "1500")])
    with (
        instrumented(monkeypatch, str(tmp_path)),
        FakeAPI([busy, ANSWER.cut_after(5, Hang(1.5))]) as api,
        reading(api.url),
    ):
        assert seen(tmp_path, lambda one: one.doing.startswith("back-off")).doing.endswith(
            ", attempt 2 after overloaded"
        )
        assert seen(tmp_path, lambda one: one.doing.startswith("silent for")).doing.endswith("in text, attempt 2")


def test_a_response_that_does_not_come_and_a_caller_that_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = replace(ANSWER, header_delay=1.5)
    with instrumented(monkeypatch, str(tmp_path)), FakeAPI(late) as api, reading(api.url):
        assert seen(tmp_path, lambda one: one.doing.startswith("no response for")).hangs > 0
    with instrumented(monkeypatch, str(tmp_path)), FakeAPI(ANSWER.cut_after(3, End())) as api, reading(api.url, 1.6):
        assert seen(tmp_path, lambda one: one.doing.startswith("not read for")).hangs == 0.0


def test_without_the_variable_there_is_no_file_and_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", _refuse(threading.Thread.start))
    with (
        instrumented(monkeypatch, ""),
        FakeAPI(ANSWER) as api,
        anthropic.Anthropic(api_key="none", base_url=api.url) as client,
    ):
        for _ in client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=QUESTION, stream=True):
            continue
    assert list(tmp_path.iterdir()) == []


def _refuse(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def checked(thread: threading.Thread) -> None:
        assert thread.name != "otel-claude-stream-stalls"
        start(thread)

    return checked


def test_a_process_that_ends_removes_its_file(tmp_path: Path) -> None:
    code = (
        "import anthropic, sys, time; from otel_claude_stream import ClaudeStreamInstrumentor as C\n"
        "from opentelemetry.sdk.trace import TracerProvider as P; C().instrument(tracer_provider=P())\n"
        "client = anthropic.Anthropic(api_key='none', base_url=sys.argv[1])\n"
        "s = client.messages.create(model='claude-sonnet-5', max_tokens=9, messages=[], stream=True)\n"
        "next(iter(s)); time.sleep(1); print(*__import__('os').listdir(sys.argv[2]))\n"
    )
    with FakeAPI(ANSWER.cut_after(5, Hang(5.0))) as api:
        done = subprocess.run(
            [sys.executable, "-c", code, api.url, str(tmp_path)],
            env={**os.environ, live.VARIABLE: str(tmp_path)}, check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert done.stdout.strip().endswith(".json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_and_a_session_that_fails_disturb_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        is_over = False
        state = SimpleNamespace(call=SimpleNamespace(feed=None))
        looked = 0

        def check_stall(self) -> None:
            self.looked += 1

    monkeypatch.setattr(live, "describe", lambda _: {})
    live.LiveFile("/no/such/folder").write([Session()])
    live.LiveFile("/no/such/folder").close()
    monkeypatch.undo()
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    session = Session()
    assert StallTicker((), lambda: [session], live.LiveFile("/no/such/folder")).look() is True
    assert (session.looked, _guard.counts()) == (1, {"live": 1})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_without_streams_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = live.LiveFile(str(tmp_path))
    monkeypatch.setattr(live, "describe", lambda _: {})

    class Session:
        is_over = False
        state = SimpleNamespace(call=SimpleNamespace(feed=None))

    file.write([Session()])
    file.write([])
    assert json.loads((tmp_path / f"{os.getpid()}.json").read_text())["streams"] == []
    monkeypatch.setattr(os, "getpid", lambda: 1)
    file.write([])
    assert len(list(tmp_path.iterdir())) == 1
