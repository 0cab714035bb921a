"""`run` in a subprocess, as a user starts it, with real streams and a real export."""

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
from urllib.parse import urlsplit

import pytest
from tests.support.otlp_receiver import JSON, post
from tests.support.process_table import is_running, wait_until
from tests.support.report_pages import data_of

from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.otlp.receive import Message, Receiver
from otel_claude_stream.cli.run.lines import LineView
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


def app_file(folder: Path, text: str) -> str:
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
        with suppress(ValueError):  # the test has closed a pipe
            process.communicate()


@pytest.mark.slow
def test_an_application_with_report_recording_and_collector(tmp_path: Path) -> None:
    """Streams are shown, standard streams and exit code are passed through, telemetry is recorded and forwarded."""
    forwarded: list[Message] = []
    routes = {"good": ANSWER, "cut": ANSWER.cut_after(9, CutMidChunk()), "busy": [Script.http_error(529), ANSWER]}
    with FakeAPI(routes) as api, Receiver(forwarded.append, pytest.fail) as collector:
        files = ["--report", str(tmp_path / "out.html"), "--save", str(tmp_path / "kept.jsonl")]
        app = [sys.executable, app_file(tmp_path, APP), *map(api.url_for, routes)]
        done = subprocess.run(
            [*COMMAND, *files, "--", *app],
            input=b"\x00\xff\r\nunchanged",
            capture_output=True,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "mine"},
            timeout=60,
            check=False,
        )
    errors = done.stderr.decode()
    assert done.returncode == 7, errors
    answer = b"The count was wrong, and the sea went quiet.\n"
    assert done.stdout == answer + b"RemoteProtocolError\n" + answer + b"\x00\xff\r\nunchanged"
    lines = [line for line in errors.splitlines() if "claude-sonnet-5" in line]
    assert [line.split()[5] for line in lines] == ["completed", "failed", "completed"]
    assert "connection closed" in lines[1]
    assert "1 retry" in lines[2]
    assert "tok/s" in lines[2]
    assert "TTFT" in lines[0]
    assert "[claude] 3 streams: 2 completed, 1 failed. HTTP requests: 4." in errors
    assert all(line.startswith("[claude] ") for line in errors.splitlines())

    kept = (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(kept) == sorted(json.dumps(one.document, separators=(",", ":")) for one in forwarded)
    assert {next(iter(json.loads(line))) for line in kept} == {"resourceSpans", "resourceMetrics"}
    assert "secret" not in "".join(kept)
    report = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("[ok]*")] == [0o600, 0o600]
    assert "<title>Claude streams of mine</title>" in report
    assert api.url not in report + str(data_of(report))
    assert "3 streams over" in report
    assert "mine" in report

    assert main(["report", str(tmp_path / "kept.jsonl"), "-o", str(tmp_path / "again.html")]) == 0
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert len(data_of(again)[1]) == len(data_of(report)[1]) == 3


@pytest.mark.parametrize(
    ("code", "expected"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_exit_codes(tmp_path: Path, code: str, expected: int) -> None:
    app = [sys.executable, app_file(tmp_path, code)]
    done = subprocess.run([*COMMAND, "-q", "--", *app], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == expected, done.stderr
    assert done.stdout == ""
    assert "No telemetry arrived" in done.stderr
    assert "-m otel_claude_stream doctor" in done.stderr


@pytest.fixture
def not_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder with files that are not commands."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain.py", "plain", "text"):
        (tmp_path / name).write_text("print()\n")
    (tmp_path / "text").chmod(0o755)


@pytest.mark.usefixtures("not_commands")
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["no-such-program", "x"], 127, "no-such-program: command not found"),
        (["plain.py", "--x"], 126, "try: -- python plain.py --x"),
        (["./plain.py"], 126, "try: -- python ./plain.py"),
        (["./plain"], 126, "try: chmod +x ./plain"),
        (["plain"], 127, "./plain"),
        (["./text"], 126, "without a #! line"),
        (["."], 126, "is a folder"),
    ],
)
def test_commands_that_cannot_be_run(
    capsys: pytest.CaptureFixture[str], command: list[str], code: int, message: str
) -> None:
    assert main(["run", "--", *command]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "otel-claude-stream run -- python app.py"),
        (["--"], "otel-claude-stream run -- python app.py"),
        (["--otlp", "localhost:4318", "--", "python"], "http://localhost:4318"),
        (
            ["--report", "/no/such/folder/x.html", "python"],
            "--report /no/such/folder/x.html: the folder /no/such/folder does not exist",
        ),
        (["--save", "/", "python"], "--save /: is a folder"),
        (["--live", "-q", "python"], "not allowed with"),
        (["--save", "x", "--report", "x", "python"], "--report x would replace the telemetry of --save"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_recording_and_a_report_are_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "kept.jsonl")
    for save, report in (("kept.jsonl", "link"), ("kept.jsonl", "../" + tmp_path.name + "/kept.jsonl")):
        options = ["--save", str(tmp_path / save), "--report", str(tmp_path / report)]
        assert main(["run", "-q", *options, "--", sys.executable, "-c", ""]) == 2
        assert "would replace the telemetry of --save" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [link]


def test_a_recording_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept.jsonl" / "x"
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "nowhere" / "deep")
    assert main(["run", "--save", str(folder), "--", sys.executable, "-c", ""]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_arguments_are_not_in_the_report(tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    app = [sys.executable, app_file(tmp_path, "pass"), "--key", "CANARY"]
    subprocess.run([*COMMAND, "--report", str(report), "--", *app], capture_output=True, timeout=30, check=True)
    text = report.read_text(encoding="utf-8")
    assert "<title>Claude streams of app</title>" in text
    assert "CANARY" not in text + str(data_of(text))


def test_requests_without_the_token_do_not_reach_the_collector(tmp_path: Path) -> None:
    code = "import os, time; print(os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'], flush=True); time.sleep(60)"
    forwarded: list[Message] = []
    with Receiver(forwarded.append, pytest.fail) as collector:
        arguments = ["--otlp", collector.url, "--", sys.executable, app_file(tmp_path, code)]
        with started(*arguments) as process:
            assert process.stdout is not None
            endpoint = process.stdout.readline().strip()
            base = endpoint.rpartition("/")[0]
            assert post(base, "/v1/traces?tenant=other", b'{"resourceSpans": []}', JSON)[0] == 404
            assert post(endpoint, "/v1/logs", b'{"resourceLogs": []}', JSON)[0] == 200
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
    assert [message.signal for message in forwarded] == ["logs"]
    assert errors.count("refused a request of another program") == 1
    assert urlsplit(endpoint).path[1:] not in errors


def test_secrets_of_the_endpoint_are_not_printed(tmp_path: Path) -> None:
    for port in (9, 4317):
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:CANARY@127.0.0.1:{port}/?key=CANARY"}
        app = [sys.executable, app_file(tmp_path, "pass")]
        command = [*COMMAND, "--", *app]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True)
        assert "CANARY" not in done.stdout + done.stderr
        assert ("user:***@127.0.0.1:4317/?key=***" in done.stderr) == (port == 4317)


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


def test_signals_are_forwarded_once(tmp_path: Path) -> None:
    app = [sys.executable, app_file(tmp_path, RECORDS_SIGNALS), ",".join(SIGNALS), "3"]
    with started("-q", "--", *app) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for name in SIGNALS:
            process.send_signal(getattr(signal, name))
            assert process.stdout.readline() == f"{name}\n"
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, ""), errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_the_application(tmp_path: Path, number: signal.Signals) -> None:
    code = "import os, signal, time; signal.signal(2, signal.SIG_DFL); print(os.getpid(), flush=True); time.sleep(60)"
    with started("-q", "--", sys.executable, app_file(tmp_path, code)) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert not is_running(pid)


def test_under_nohup_a_hangup_is_ignored(tmp_path: Path) -> None:
    code = "import signal, time; print(signal.getsignal(1) == signal.SIG_IGN, flush=True); time.sleep(0.7)"
    app = [sys.executable, app_file(tmp_path, code)]
    with started("-q", "--", *app, before=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 0


class Terminal:
    """A process in the foreground of a new terminal, which is the first one that the leader of a session opens."""

    def __init__(self, command: list[str]) -> None:
        self._terminal, other = pty.openpty()
        opens_it = 'exec "$@" <"$TERMINAL" >"$TERMINAL" 2>&1'
        env = {**os.environ, "TERM": "xterm-256color", "TERMINAL": os.ttyname(other)}
        self._process = subprocess.Popen(["sh", "-c", opens_it, "sh", *command], env=env, start_new_session=True)
        self._other = other
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> int:
        """Wait for the end of the process and return its exit code."""
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            os.close(self._other)
            self._reader.join()
            os.close(self._terminal)

    def _read(self) -> None:
        with suppress(OSError):  # Linux raises EIO when the other side is closed
            while found := os.read(self._terminal, 65536):
                self.output += found


@pytest.mark.parametrize("options", [["-q"], ["--live"], ["-q", "--web"]], ids=["lines", "live", "web"])
def test_ctrl_c_in_a_terminal_arrives_once(tmp_path: Path, options: list[str]) -> None:
    """The terminal sends it to the whole process group. The output of the application is unchanged in a live view."""
    app = [sys.executable, app_file(tmp_path, RECORDS_SIGNALS), "SIGINT", "1.5"]
    terminal = Terminal([*COMMAND, *options, "--", *app])
    terminal.resize(30, 100)
    wait_until(lambda: b"ready" in terminal.output)
    time.sleep(0.3)
    terminal.type(b"\x03")
    assert terminal.close() == 0, terminal.output
    assert terminal.output.count(b"SIGINT\r\n") == 1
    if options == ["--live"]:
        assert terminal.output.count("── claude streams: 0 streams ended".encode()) >= 2
        reserved, released = terminal.output.find(b"\x1b[1;20r"), terminal.output.rfind(b"\x1b[r")
        assert 0 < reserved < released
        assert b"\x1b[1;20r" not in terminal.output[released:]


def test_a_view_that_fails_does_not_disturb_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LineView, "update", lambda *_: 1 / 0)
    code = "import time; time.sleep(0.4); print('done'); raise SystemExit(5)"
    assert main(["run", "--", sys.executable, app_file(tmp_path, code)]) == 5
    shown, errors = capfd.readouterr()
    assert shown == "done\n"
    assert errors.count("the view failed") == 1


def test_a_closed_standard_error_does_not_disturb_the_application(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.5); print('done', flush=True); raise SystemExit(5)"
    with started("--otlp", "http://127.0.0.1:9", "--", sys.executable, app_file(tmp_path, code)) as process:
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
