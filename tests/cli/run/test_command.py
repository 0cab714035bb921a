"""`run` as a user starts it: a subprocess, real streams, a real export."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.cli.test_process import runs, wait_until

from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.otlp.receive import Message, Receiver
from otel_claude_stream.cli.run.lines import Lines
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

COMMAND = [sys.executable, "-m", "otel_claude_stream", "run"]
ANSWER = Script.message("The count was wrong, and the sea went quiet.", gap=0.02, input_tokens=40, output_tokens=50)
APP = """
import sys
import anthropic
for url in sys.argv[1:]:
    client = anthropic.Anthropic(api_key="none", base_url=url, max_retries=1)
    asked = [{"role": "user", "content": "a secret question"}]
    try:
        with client.messages.stream(model="claude-sonnet-5", max_tokens=9, messages=asked) as stream:
            print("".join(stream.text_stream), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
sys.stdout.buffer.write(sys.stdin.buffer.read())
sys.exit(7)
"""
RECORDS_SIGNALS = """
import signal, sys, time
def note(number, frame):
    print(signal.Signals(number).name, flush=True)
for name in sys.argv[1].split(","):
    signal.signal(getattr(signal, name), note)
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    time.sleep(0.05)
"""
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def script(folder: Path, text: str) -> str:
    path = folder / "app.py"
    path.write_text(text)
    return str(path)


@contextmanager
def started(*arguments: str, before: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    command = [*before, *COMMAND, *arguments]
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        with suppress(ValueError):  # the test has closed one
            process.communicate()


@pytest.mark.slow
def test_everything_of_an_application(tmp_path: Path) -> None:
    """Its streams, input, output and exit code; the report, the recording, and the same bytes at a collector."""
    forwarded: list[Message] = []
    routes = {"good": ANSWER, "cut": ANSWER.cut_after(9, CutMidChunk()), "busy": [Script.http_error(529), ANSWER]}
    with FakeAPI(routes) as api, Receiver(forwarded.append, pytest.fail) as collector:
        files = ["--report", str(tmp_path / "out.html"), "--save", str(tmp_path / "kept.jsonl")]
        app = [sys.executable, script(tmp_path, APP), *map(api.url_for, routes)]
        done = subprocess.run(
            [*COMMAND, *files, "--", *app],
            input=b"\x00\xff\r\nas it is",
            capture_output=True,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine"},
            timeout=60,
            check=False,
        )
    said = done.stderr.decode()
    assert done.returncode == 7, said
    story = b"The count was wrong, and the sea went quiet.\n"
    assert done.stdout == story + b"RemoteProtocolError\n" + story + b"\x00\xff\r\nas it is"
    lines = [line for line in said.splitlines() if "claude-sonnet-5" in line]
    assert [line.split()[4] for line in lines] == ["completed", "failed", "completed"]
    assert "connection closed" in lines[1]
    assert "1 retry" in lines[2]
    assert "tok/s" in lines[2]
    assert "TTFT" in lines[0]
    assert "[claude] 3 streams: 2 completed, 1 failed. HTTP requests: 4." in said
    assert all(line.startswith("[claude] ") for line in said.splitlines())

    kept = (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(kept) == sorted(json.dumps(one.document, separators=(",", ":")) for one in forwarded)
    assert {next(iter(json.loads(line))) for line in kept} == {"resourceSpans", "resourceMetrics"}
    assert "secret" not in "".join(kept)
    report = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "3 streams over" in report
    assert "mine" in report

    assert main(["report", str(tmp_path / "kept.jsonl"), "-o", str(tmp_path / "again.html")]) == 0
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert again.count('<th scope="row"') == report.count('<th scope="row"') == 3


@pytest.mark.parametrize(
    ("code", "expected"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_exit_codes(tmp_path: Path, code: str, expected: int) -> None:
    app = [sys.executable, script(tmp_path, code)]
    done = subprocess.run([*COMMAND, "-q", "--", *app], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == expected, done.stderr
    assert done.stdout == ""
    assert "No telemetry came" in done.stderr
    assert "-m otel_claude_stream doctor" in done.stderr


@pytest.fixture
def odd_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: files that are no commands."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain.py", "plain", "text"):
        (tmp_path / name).write_text("print()\n")
    (tmp_path / "text").chmod(0o755)


@pytest.mark.usefixtures("odd_files")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["no-such-program", "x"], 127, "no-such-program: command not found"),
        (["plain.py", "--x"], 126, "perhaps: -- python plain.py --x"),
        (["./plain.py"], 126, "perhaps: -- python ./plain.py"),
        (["./plain"], 126, "perhaps: chmod +x ./plain"),
        (["plain"], 127, "./plain"),
        (["./text"], 126, "without a #! line"),
        (["."], 126, "is a folder"),
    ],
)
def test_commands_that_cannot_be_run(
    capsys: pytest.CaptureFixture[str], command: list[str], code: int, said: str
) -> None:
    assert main(["run", "--", *command]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "otel-claude-stream run -- python app.py"),
        (["--"], "otel-claude-stream run -- python app.py"),
        (["--otlp", "localhost:4318", "--", "python"], "http://localhost:4318"),
        (["--report", "/no/such/folder/x.html", "python"], "--report /no/such/folder/x.html: there is no folder"),
        (["--save", "/", "python"], "--save /: that is a folder"),
        (["--live", "-q", "python"], "not allowed with"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_recording_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept.jsonl" / "x"
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "nowhere" / "deep")
    assert main(["run", "--save", str(folder), "--", sys.executable, "-c", ""]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_leaves_the_exit_code(tmp_path: Path) -> None:
    target = tmp_path / "out.html"
    code = f"import os; os.mkdir({str(target)!r}); raise SystemExit(4)"
    done = subprocess.run(
        [*COMMAND, "--report", str(target), "--", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 4
    assert f"cannot write {target}" in done.stderr


def test_signals_are_sent_on_once(tmp_path: Path) -> None:
    app = [sys.executable, script(tmp_path, RECORDS_SIGNALS), ",".join(SIGNALS), "3"]
    with started("-q", "--", *app) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for name in SIGNALS:
            process.send_signal(getattr(signal, name))
            assert process.stdout.readline() == f"{name}\n"
        rest, said = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, ""), said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    code = "import os, signal, time; signal.signal(2, signal.SIG_DFL); print(os.getpid(), flush=True); time.sleep(60)"
    with started("-q", "--", sys.executable, script(tmp_path, code)) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert not runs(pid)


def test_under_nohup_a_hangup_is_ignored(tmp_path: Path) -> None:
    code = "import signal, time; print(signal.getsignal(1) == signal.SIG_IGN, flush=True); time.sleep(0.7)"
    app = [sys.executable, script(tmp_path, code)]
    with started("-q", "--", *app, before=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 0


class Terminal:
    """A process in a terminal of its own, in whose foreground it is: a session's leader gets the first one it opens."""

    def __init__(self, command: list[str]) -> None:
        self._terminal, other = pty.openpty()
        opens_it = 'exec "$@" <"$TERMINAL" >"$TERMINAL" 2>&1'
        env = {**os.environ, "TERM": "xterm-256color", "TERMINAL": os.ttyname(other)}
        self._process = subprocess.Popen(["sh", "-c", opens_it, "sh", *command], env=env, start_new_session=True)
        self._other = other
        self.said = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> int:
        """The exit code."""
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            os.close(self._other)
            self._reader.join()
            os.close(self._terminal)

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that nobody is left on the other side
            while found := os.read(self._terminal, 65536):
                self.said += found


@pytest.mark.parametrize("options", [["-q"], ["--live"]], ids=["lines", "live"])
def test_ctrl_c_in_a_terminal_comes_once(tmp_path: Path, options: list[str]) -> None:
    """The terminal sends it to the whole group; what the application prints stays as it is, also in a live view."""
    app = [sys.executable, script(tmp_path, RECORDS_SIGNALS), "SIGINT", "1.5"]
    terminal = Terminal([*COMMAND, *options, "--", *app])
    terminal.resize(30, 100)
    wait_until(lambda: b"ready" in terminal.said)
    time.sleep(0.3)
    terminal.type(b"\x03")
    assert terminal.close() == 0, terminal.said
    assert terminal.said.count(b"SIGINT\r\n") == 1
    if options == ["--live"]:
        assert terminal.said.count("── claude streams: 0 streams ended".encode()) >= 2
        reserved, released = terminal.said.find(b"\x1b[1;20r"), terminal.said.rfind(b"\x1b[r")
        assert 0 < reserved < released
        assert b"\x1b[1;20r" not in terminal.said[released:]


def test_a_view_that_fails_does_not_disturb_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "update", lambda *_: 1 / 0)
    code = "import time; time.sleep(0.4); print('done'); raise SystemExit(5)"
    assert main(["run", "--", sys.executable, script(tmp_path, code)]) == 5
    shown, said = capfd.readouterr()
    assert shown == "done\n"
    assert said.count("the view has failed") == 1


def test_nobody_reads_our_lines(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.5); print('done', flush=True); raise SystemExit(5)"
    with started("--otlp", "http://127.0.0.1:9", "--", sys.executable, script(tmp_path, code)) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        assert process.stdout.read() == "done\n"
        assert process.wait(20) == 5


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "run [options] -- python app.py" in shown
    assert "examples:" in shown
