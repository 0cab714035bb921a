from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.support.process_table import is_running, wait_until

from otel_claude_stream.cli.process import Child, Terminated, auto_instrumented, raise_on_signals

posix = pytest.mark.skipif(os.name != "posix", reason="process groups and signals are POSIX")


def child(code: str, **more) -> Child:
    return Child([sys.executable, "-c", code], {**os.environ, "PYTHONUNBUFFERED": "1"}, **more)


def test_input_output_and_exit_code() -> None:
    lines: list[str] = []
    with child("import sys; print(sys.stdin.read()); sys.exit(3)", stdin="grüße", on_line=lines.append) as found:
        wait_until(lambda: found.poll() is not None)
    assert (found.poll(), lines, list(found.lines)) == (3, ["grüße"], ["grüße"])


def test_a_command_that_does_not_read_its_input() -> None:
    with child("pass", stdin="x" * 10_000_000) as found:
        wait_until(lambda: found.poll() is not None)
    assert found.poll() == 0


def test_a_command_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError), Child(["/no/such/program"], {}):
        pass


@posix
def test_leaving_ends_the_process() -> None:
    with child("import time; time.sleep(60)") as found:
        assert found.poll() is None
    assert not is_running(found.pid)
    assert found.poll() == -signal.SIGTERM


@posix
@pytest.mark.slow
def test_a_process_that_ignores_sigterm_is_killed_with_its_children() -> None:
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);'"
        "'print(0, flush=True); time.sleep(60)';"
        "below = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE); below.stdout.readline();"
        "print(below.pid); time.sleep(60)"
    )
    with child(stubborn) as found:
        wait_until(lambda: found.lines)
        below = int(found.lines[0])
        assert is_running(below)
    assert found.poll() == -signal.SIGKILL
    wait_until(lambda: not is_running(below))


@posix
def test_an_exception_ends_the_process() -> None:
    found = child("import time; time.sleep(60)")
    with pytest.raises(KeyboardInterrupt), found:
        raise KeyboardInterrupt
    assert not is_running(found.pid)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_raise_exceptions(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # ignored in a run under nohup
    try:
        with pytest.raises(Terminated) as raised, raise_on_signals():  # noqa: PT012 - a signal arrives asynchronously
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert raised.value.signal == number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_auto_instrumentation_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    if launcher.exists():
        assert auto_instrumented(["x"]) == [str(launcher), "x"]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    command = auto_instrumented(["x", "--y"])
    assert command[:2] == [str(tmp_path / "python"), "-c"]
    assert command[3:] == ["x", "--y"]
