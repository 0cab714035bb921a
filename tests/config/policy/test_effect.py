"""A configured policy takes effect on real streams, and so does the kill switch."""

from __future__ import annotations

import anthropic
import pytest

from otel_claude_stream import ClaudeStreamInstrumentor, RetryPolicy, no_retry, retry_policy
from otel_claude_stream._config.policy import kill_switch
from otel_claude_stream._session import policy_resolver as policies
from otel_claude_stream.testing import Capture, Error, FakeAPI, Script

PREFIX = "OTEL_CLAUDE_STREAM_"
SWITCH = f"{PREFIX}KILL_SWITCH"
WHOLE = Script.message("Hello there.")
REFUSED = WHOLE.cut_after(0, ending=Error())
"""A response with status 200 whose first event is an `overloaded_error`."""
RETRIED, FAILED = "Hello there.", "overloaded_error"
QUICK = {"mode": "retry", "rules": [{"reasons": ["overloaded"], "backoff": {"base": "1ms", "cap": "1ms"}}]}


@pytest.fixture
def ask(monkeypatch):
    """Instrument the SDK, and return a function that calls an API that refuses the first request of each call."""
    instrumentor = ClaudeStreamInstrumentor()

    def instrument(policy=None, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(PREFIX + name, value)
        instrumentor.instrument(**capture.providers, retry_policy=policy)
        return call

    def call():
        with (
            FakeAPI([REFUSED, WHOLE]) as api,
            anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0) as client,
        ):
            asked = [{"role": "user", "content": "Hello?"}]
            try:
                with client.messages.stream(model="claude-sonnet-5", max_tokens=64, messages=asked) as stream:
                    return stream.get_final_text()
            except anthropic.APIStatusError as error:
                return error.body["error"]["type"]

    policies._budgets.reset()  # shared by the process, so other tests have drawn on it
    with Capture() as capture:
        yield instrument
        instrumentor.uninstrument()


@pytest.mark.parametrize(
    ("policy", "variables", "outcome"),
    [
        (None, {}, FAILED),
        (None, {"MODE": "retry"}, RETRIED),
        (None, {"PRESET": "interactive"}, RETRIED),
        (None, {"MODE": "retry", "LIMITS__MAX_ATTEMPTS": "1"}, FAILED),
        (None, {"MODE": "retry", "KILL_SWITCH": "true"}, FAILED),
        (QUICK, {"MODE": "observe"}, RETRIED),
        ({**QUICK, "kill_switch": True}, {}, FAILED),
        ({**QUICK, "kill_switch": True}, {"KILL_SWITCH": "false"}, RETRIED),
        ({"mode": "observe", "models": {"claude-sonnet-*": QUICK}}, {}, RETRIED),
        ({**QUICK, "models": {"claude-sonnet-*": {"mode": "observe"}}}, {}, FAILED),
        (RetryPolicy(), {"MODE": "retry"}, FAILED),
        ("unattended", {"BACKOFF__BASE": "1ms"}, RETRIED),
        ("bach", {"MODE": "retry"}, FAILED),
    ],
)
def test_the_policy_of_a_process_takes_effect(ask, policy, variables, outcome):
    assert ask(policy, **variables)() == outcome


def test_the_policy_of_a_block_takes_effect(ask):
    call = ask()
    with retry_policy(QUICK):
        assert call() == RETRIED
    assert call() == FAILED


def test_no_retry_takes_effect_in_a_block(ask):
    call = ask(QUICK)
    with no_retry():
        assert call() == FAILED
    assert call() == RETRIED


def test_the_kill_switch_takes_effect_on_the_next_stream(ask, monkeypatch):
    call = ask(QUICK)
    assert call() == RETRIED
    monkeypatch.setenv(SWITCH, "true")
    assert call() == FAILED
    with retry_policy(QUICK):
        assert call() == FAILED
    monkeypatch.setenv(SWITCH, "false")
    assert call() == RETRIED


def test_the_file_of_the_kill_switch_takes_effect_in_a_running_process(ask, monkeypatch, tmp_path):
    monkeypatch.setattr(kill_switch, "CHECK_INTERVAL", 0.0)
    brake = tmp_path / "brake"
    call = ask({**QUICK, "kill_switch_file": str(brake)})
    assert call() == RETRIED
    brake.touch()
    assert call() == FAILED
    with retry_policy(QUICK):
        assert call() == FAILED
    brake.unlink()
    assert call() == RETRIED
