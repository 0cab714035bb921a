from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from tests.cli.test_process import runs, wait_until

from otel_claude_stream.cli.run import application as run_app
from otel_claude_stream.cli.run.application import Application, CannotRun, Signals, check_command

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); open({!r}, 'w').close(); time.sleep(60)"


# Signals are raised in this very thread: others of the test run, started before, would take those of the process.


@pytest.mark.parametrize("exact", [True, False])
def test_signals_to_send_on(exact: bool) -> None:
    before = signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with Signals(exact=exact) as signals:
        assert signals.wait(0.01) is None
        signal.raise_signal(signal.SIGUSR1)
        assert signals.wait(1.0) == signal.SIGUSR1
        signal.raise_signal(signal.SIGUSR1)  # meant for an application that has ended
    assert (signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


def test_ctrl_c_where_senders_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_app, "_in_foreground", lambda: True)
    with Signals(exact=False) as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert signals.wait(1.0) == signal.SIGTERM


def test_ctrl_z_tells_the_view_first(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with Signals(exact=True, on_stop=lambda: told.append("view")) as signals:
        signal.raise_signal(signal.SIGTSTP)
        monkeypatch.setattr(os, "kill", lambda pid, number: told.append(signal.Signals(number).name))
        assert signals.wait(1.0) is None
    assert told == ["view", "SIGSTOP"]


def test_threads_within_leave_signals_alone() -> None:
    masks: list[set[int]] = []
    with Signals(exact=True):
        thread = threading.Thread(target=lambda: masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, []))))
        thread.start()
        thread.join()
    assert {signal.SIGINT, signal.SIGTERM} <= masks[0]


@pytest.mark.slow
def test_leaving_by_an_exception_ends_it(tmp_path: Path) -> None:
    there = tmp_path / "there"
    app = Application([sys.executable, "-c", STUBBORN.format(str(there))], os.environ, set())
    with pytest.raises(KeyError), app:  # noqa: PT012 - it must run before it can be left
        wait_until(there.exists)
        raise KeyError
    wait_until(lambda: not runs(app.pid))


def test_it_gets_the_mask_and_the_signals_that_python_ignores() -> None:
    code = (
        "import signal, sys; left = signal.pthread_sigmask(signal.SIG_BLOCK, []);"
        "sys.exit(bool(left) or open('/proc/self/status').read().count('SigIgn:\\t0000000001000000'))"
    )
    with Signals(exact=True) as signals, Application([sys.executable, "-c", code], os.environ, signals.mask) as app:
        wait_until(lambda: app.poll() is not None)
    assert app.poll() == 0


def test_what_is_not_there() -> None:
    check_command([sys.executable])
    with pytest.raises(CannotRun, match="command not found") as raised:
        check_command(["python"], path="/nowhere")
    assert raised.value.code == 127


def test_what_starts_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_app, "instrumented", lambda command: ["/no/such/opentelemetry-instrument", *command])
    with pytest.raises(CannotRun, match="cannot run /no/such") as raised, Application(["x"], {}, set()):
        pass
    assert raised.value.code == 127
