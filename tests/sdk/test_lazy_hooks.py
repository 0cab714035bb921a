"""The hooks are created with the first stream; a call that arrives meanwhile passes through."""

from __future__ import annotations

import threading

import pytest

from otel_claude_stream._config.policy.override import PolicySource
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks


def test_the_hooks_are_not_available_while_they_are_created():
    """A garbage collection may close a dropped stream at that moment, in the same thread."""
    during_creation = []

    def make():
        during_creation.append(lazy.get())
        return "hooks"

    lazy = LazyHooks(make)
    assert (lazy.get(), during_creation) == ("hooks", [None])


def test_a_hook_that_is_called_while_the_hooks_are_created_does_not_block():
    """The creation in another thread ends, and later calls get the hooks."""
    seen = []

    def make():
        seen.append(lazy.get())
        return "hooks"

    lazy = LazyHooks(make)
    thread = threading.Thread(target=lambda: seen.append(lazy.get()), daemon=True)
    thread.start()
    thread.join(10)
    assert seen == [None, "hooks"]
    assert lazy.get() == "hooks"


def test_hooks_that_cannot_be_created_stay_away(monkeypatch):
    """The failure is hidden, and each later call gets None."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")

    def make():
        raise ValueError("no provider")

    lazy = LazyHooks(make)
    assert [lazy.get() for _ in range(2)] == [None, None]


def test_a_policy_that_is_used_while_it_is_loaded_does_not_block(monkeypatch):
    """For example by a stream that begins in a finaliser. The policy is loaded twice then."""
    loads = []

    def load(environment, policy, *, declared):
        loads.append(policy)
        if len(loads) == 1:
            source.loaded()
        return len(loads)

    monkeypatch.setattr("otel_claude_stream._config.policy.loading.load", load)
    source = PolicySource({}, "batch")
    thread = threading.Thread(target=source.loaded, daemon=True)
    thread.start()
    thread.join(10)
    assert loads == ["batch", "batch"]
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() <= before  # one of an earlier test may have ended
