"""The watch is made with the first stream; what a hook sees meanwhile goes on as if nobody watched."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from otel_claude_stream._config.policy.process import PolicySource
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks


def test_a_hook_that_is_called_while_the_watch_is_made():
    """As by a garbage collection that closes a dropped stream: no deadlock, and nothing of it is kept."""
    seen = []

    def make():
        seen.append(late.close(lambda: "closed by the SDK", None, (), {}))
        return SimpleNamespace(close=lambda wrapped, *_: f"watched, {wrapped()}")

    late = LazyHooks(make)
    made = threading.Thread(target=lambda: seen.append(late.close(lambda: "closed", None, (), {})), daemon=True)
    made.start()
    made.join(10)
    assert seen == ["closed by the SDK", "watched, closed"]


def test_a_watch_that_cannot_be_made(monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")

    def make():
        raise ValueError("no provider")

    late = LazyHooks(make)
    assert [late.close(lambda: "closed", None, (), {}) for _ in range(2)] == ["closed", "closed"]


def test_a_policy_that_is_asked_for_while_it_is_loaded(monkeypatch):
    """By a stream that begins in a finaliser, say."""
    loads = []

    def load(environment, given, *, declared):
        loads.append(given)
        if len(loads) == 1:
            source.loaded()
        return len(loads)

    monkeypatch.setattr("otel_claude_stream._config.policy.loading.load", load)
    source = PolicySource({}, "batch")
    asking = threading.Thread(target=source.loaded, daemon=True)
    asking.start()
    asking.join(10)
    assert loads == ["batch", "batch"]
    assert not asking.is_alive()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before
