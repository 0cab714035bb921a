from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from tests.support.process_table import is_running, wait_until

from otel_claude_stream.cli.run import application
from otel_claude_stream.cli.run.application import Application, CannotRun, Signals, check_command

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); open({!r}, 'w').close(); time.sleep(60)"


# Signals are raised in this thread, since other threads of the test run would receive those of the process.


@pytest.mark.parametrize("exact", [True, False])
def test_signals_are_forwarded(exact: bool) -> None:
    before = signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with Signals(exact=exact) as signals:
        assert signals.wait(0.01) is None
        signal.raise_signal(signal.SIGUSR1)
        assert signals.wait(1.0) == signal.SIGUSR1
        signal.raise_signal(signal.SIGUSR1)  # pending when the application has ended
    assert (signal.getsignal(signal.SIGUSR1), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


def test_ctrl_c_is_not_forwarded_in_the_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_in_foreground", lambda: True)
    with Signals(exact=False) as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert signals.wait(1.0) == signal.SIGTERM


def test_ctrl_z_pauses_the_view_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    with Signals(exact=True, on_stop=lambda: calls.append("view")) as signals:
        signal.raise_signal(signal.SIGTSTP)
        monkeypatch.setattr(os, "kill", lambda pid, number: calls.append(signal.Signals(number).name))
        assert signals.wait(1.0) is None
    assert calls == ["view", "SIGSTOP"]


def test_threads_within_do_not_receive_signals() -> None:
    masks: list[set[int]] = []
    with Signals(exact=True):
        thread = threading.Thread(target=lambda: masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, []))))
        thread.start()
        thread.join()
    assert {signal.SIGINT, signal.SIGTERM} <= masks[0]


@pytest.mark.slow
def test_an_exception_ends_the_application(tmp_path: Path) -> None:
    started = tmp_path / "started"
    app = Application([sys.executable, "-c", STUBBORN.format(str(started))], os.environ, set())
    with pytest.raises(KeyError), app:  # noqa: PT012 - it must have started
        wait_until(started.exists)
        raise KeyError
    wait_until(lambda: not is_running(app.pid))


def test_the_application_has_the_mask_and_default_handlers() -> None:
    code = (
        "import signal, sys; left = signal.pthread_sigmask(signal.SIG_BLOCK, []);"
        "sys.exit(bool(left) or open('/proc/self/status').read().count('SigIgn:\\t0000000001000000'))"
    )
    with Signals(exact=True) as signals, Application([sys.executable, "-c", code], os.environ, signals.mask) as app:
        wait_until(lambda: app.poll() is not None)
    assert app.poll() == 0


def test_a_command_that_does_not_exist() -> None:
    check_command([sys.executable])
    with pytest.raises(CannotRun, match="command not found") as raised:
        check_command(["python"], path="/nowhere")
    assert raised.value.code == 127


def test_a_launcher_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        application, "auto_instrumented", lambda command: ["/no/such/opentelemetry-instrument", *command]
    )
    with pytest.raises(CannotRun, match="cannot run /no/such") as raised, Application(["x"], {}, set()):
        pass
    assert raised.value.code == 127
