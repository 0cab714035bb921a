from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_claude_stream.cli.process import Child, Terminated, instrumented, signals_raise

posix = pytest.mark.skipif(os.name != "posix", reason="process groups and signals are POSIX")


def wait_until(holds: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def child(code: str, **more) -> Child:
    return Child([sys.executable, "-c", code], {**os.environ, "PYTHONUNBUFFERED": "1"}, **more)


def test_input_output_and_exit_code() -> None:
    heard: list[str] = []
    with child("import sys; print(sys.stdin.read()); sys.exit(3)", stdin="grüße", on_line=heard.append) as found:
        wait_until(lambda: found.poll() is not None)
    assert (found.poll(), heard, list(found.lines)) == (3, ["grüße"], ["grüße"])


def test_one_that_does_not_read_its_input() -> None:
    with child("pass", stdin="x" * 10_000_000) as found:
        wait_until(lambda: found.poll() is not None)
    assert found.poll() == 0


def test_one_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError), Child(["/no/such/program"], {}):
        pass


@posix
def test_leaving_ends_it() -> None:
    with child("import time; time.sleep(60)") as found:
        assert found.poll() is None
    assert not runs(found.pid)
    assert found.poll() == -signal.SIGTERM


@posix
@pytest.mark.slow
def test_one_that_does_not_want_to_end_is_killed_with_all_it_started() -> None:
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
        assert runs(below)
    assert found.poll() == -signal.SIGKILL
    wait_until(lambda: not runs(below))


@posix
def test_an_exception_inside_ends_it_too() -> None:
    found = child("import time; time.sleep(60)")
    with pytest.raises(KeyboardInterrupt), found:
        raise KeyboardInterrupt
    assert not runs(found.pid)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_become_exceptions(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Terminated) as raised, signals_raise():  # noqa: PT012 - the signal comes when it comes
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert raised.value.signal == number
    assert signal.getsignal(number) is before


def test_auto_instrumentation_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Path(sys.executable).with_name("opentelemetry-instrument")
    if beside.exists():
        assert instrumented(["x"]) == [str(beside), "x"]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    command = instrumented(["x", "--y"])
    assert command[:2] == [str(tmp_path / "python"), "-c"]
    assert command[3:] == ["x", "--y"]
