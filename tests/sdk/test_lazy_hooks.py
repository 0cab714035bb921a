"""The hooks are created with the first stream; a call that one of them sees meanwhile passes."""

from __future__ import annotations

import threading

import pytest

from otel_claude_stream._config.policy.process import PolicySource
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks


def test_a_hook_that_is_called_while_the_hooks_are_created():
    """As by a garbage collection that closes a dropped stream: no deadlock, and nothing of it is kept."""
    seen = []

    def make():
        seen.append(lazy.get())
        return "hooks"

    lazy = LazyHooks(make)
    made = threading.Thread(target=lambda: seen.append(lazy.get()), daemon=True)
    made.start()
    made.join(10)
    assert seen == [None, "hooks"]
    assert lazy.get() == "hooks"


def test_hooks_that_cannot_be_created(monkeypatch):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")

    def make():
        raise ValueError("no provider")

    lazy = LazyHooks(make)
    assert [lazy.get() for _ in range(2)] == [None, None]


def test_a_policy_that_is_asked_for_while_it_is_loaded(monkeypatch):
    """For example by a stream that begins in a finaliser."""
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
