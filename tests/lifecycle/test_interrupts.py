"""Interrupts at any instruction: Ctrl-C, signal handlers, exceptions of other threads."""

from __future__ import annotations

import ctypes
import functools
import signal
import threading

import pytest
from tests.lifecycle.interrupts import POLICY, Stop, TimeIsUp, interrupt_streams
from tests.support.rig import API, instrumented, read
from tests.support.scenes import MESSAGE

from otel_claude_stream import _guard
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks
from otel_claude_stream._telemetry.stream_telemetry import StreamTelemetry

RUNS = 60


@pytest.mark.parametrize("policy", [None, POLICY], ids=["observe", "resume"])
@pytest.mark.parametrize("error", [Stop, TimeIsUp])
def test_an_interrupt_at_any_instruction_leaves_nothing_behind(monkeypatch, error, policy):
    """The caller gets the exception itself. No context stays attached, and no span or stream stays open."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    result = interrupt_streams(RUNS, 1, error, policy)
    assert result.places == []
    assert result.struck - result.unraisable > RUNS / 2


def test_an_interrupt_while_the_hooks_are_created_costs_no_later_stream():
    """The next call creates them."""
    errors = [Stop()]

    def make():
        if errors:
            raise errors.pop()
        return "hooks"

    lazy = LazyHooks(make)
    with pytest.raises(Stop):
        lazy.get()
    assert lazy.get() == "hooks"


class Job(Exception):
    """An exception of the application."""


def at_once(*_):
    raise Job


@pytest.mark.parametrize("handler", [at_once, functools.partial(at_once), type("H", (), {"__call__": at_once})()])
def test_an_exception_of_a_signal_handler_inside_a_guard_reaches_the_caller(handler):
    """It is no failure of this package, and is not counted."""
    before, counted = signal.signal(signal.SIGUSR1, handler), _guard.counts()
    try:
        with pytest.raises(Job), _guard.guard("here"):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert _guard.counts() == counted


def test_an_exception_of_another_thread_inside_a_guard_reaches_the_caller():
    """It has no frame of its own, and seems to be raised by the function that it strikes."""
    spinning, raised = threading.Event(), []
    spin = eval("lambda on: [on() for _ in iter(int, 1)]", {"__name__": "otel_claude_stream.spin"})

    def job():
        try:
            _guard.guarded("here", None)(spin)(spinning.set)
        except BaseException as error:  # noqa: BLE001 - compared below
            raised.append(type(error))

    thread = threading.Thread(target=job)
    thread.start()
    spinning.wait()
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Job))
    thread.join()
    assert raised == [Job]


def test_an_exception_of_a_span_processor_is_no_interrupt(monkeypatch):
    """The caller does not get it, and the span ends."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})
    original = StreamTelemetry.finish

    def finish(*args):
        original(*args)
        raise Job

    monkeypatch.setattr(StreamTelemetry, "finish", finish)
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        assert read(api).error == []
        assert len(capture.spans()) == 1
    assert _guard.counts() == {"stream_ended": 1}
