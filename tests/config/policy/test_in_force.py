"""What is configured is done: by the environment, by code, for a block, and by the kill switch at any time."""

from __future__ import annotations

import anthropic
import pytest

from otel_claude_stream import ClaudeStreamInstrumentor, RetryPolicy, no_retry, retry_policy
from otel_claude_stream._session import policy_resolver as policies
from otel_claude_stream.testing import Capture, Error, FakeAPI, Script

PREFIX = "OTEL_CLAUDE_STREAM_"
SWITCH = f"{PREFIX}KILL_SWITCH"
WHOLE = Script.message("Hello there.")
REFUSED = WHOLE.cut_after(0, ending=Error())
"""A 200 whose first event says that the API is overloaded."""
AGAIN, FAILED = "Hello there.", "overloaded_error"
QUICK = {"mode": "retry", "rules": [{"reasons": ["overloaded"], "backoff": {"base": "1ms", "cap": "1ms"}}]}


@pytest.fixture
def ask(monkeypatch):
    """Instrument, and ask an API that refuses the first request of each call."""
    instrumentor = ClaudeStreamInstrumentor()

    def asking(given=None, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(PREFIX + name, value)
        instrumentor.instrument(**capture.providers, retry_policy=given)
        return calling

    def calling():
        with FakeAPI([REFUSED, WHOLE]) as api:
            client = anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=0)
            asked = [{"role": "user", "content": "Hello?"}]
            try:
                with client.messages.stream(model="claude-sonnet-5", max_tokens=64, messages=asked) as stream:
                    return stream.get_final_text()
            except anthropic.APIStatusError as error:
                return error.body["error"]["type"]

    policies._budgets.reset()  # one for the process: other tests have drawn on it
    with Capture() as capture:
        yield asking
        instrumentor.uninstrument()


@pytest.mark.parametrize(
    ("given", "variables", "outcome"),
    [
        (None, {}, FAILED),
        (None, {"MODE": "retry"}, AGAIN),
        (None, {"PRESET": "interactive"}, AGAIN),
        (None, {"MODE": "retry", "LIMITS__MAX_ATTEMPTS": "1"}, FAILED),
        (None, {"MODE": "retry", "KILL_SWITCH": "true"}, FAILED),
        (QUICK, {"MODE": "observe"}, AGAIN),
        ({**QUICK, "kill_switch": True}, {}, FAILED),
        ({**QUICK, "kill_switch": True}, {"KILL_SWITCH": "false"}, AGAIN),
        ({"mode": "observe", "models": {"claude-sonnet-*": QUICK}}, {}, AGAIN),
        ({**QUICK, "models": {"claude-sonnet-*": {"mode": "observe"}}}, {}, FAILED),
        (RetryPolicy(), {"MODE": "retry"}, FAILED),
        ("unattended", {"BACKOFF__BASE": "1ms"}, AGAIN),
        ("bach", {"MODE": "retry"}, FAILED),
    ],
)
def test_for_a_process(ask, given, variables, outcome):
    assert ask(given, **variables)() == outcome


def test_for_a_block(ask):
    calling = ask()
    with retry_policy(QUICK):
        assert calling() == AGAIN
    assert calling() == FAILED


def test_for_a_block_that_does_not_retry(ask):
    calling = ask(QUICK)
    with no_retry():
        assert calling() == FAILED
    assert calling() == AGAIN


def test_the_kill_switch_is_turned_while_the_process_runs(ask, monkeypatch):
    calling = ask(QUICK)
    assert calling() == AGAIN
    monkeypatch.setenv(SWITCH, "true")
    assert calling() == FAILED
    with retry_policy(QUICK):
        assert calling() == FAILED
    monkeypatch.setenv(SWITCH, "false")
    assert calling() == AGAIN
