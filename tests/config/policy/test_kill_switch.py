"""The kill switch is read for each stream and never raises."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from otel_claude_stream._config.policy import kill_switch, kill_switched, without_kill_switch
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy

VARIABLE = "OTEL_CLAUDE_STREAM_KILL_SWITCH"


@pytest.fixture(autouse=True)
def _nothing_logged(monkeypatch):
    monkeypatch.setattr(kill_switch, "_logged", set())


def test_the_variable_switches_the_policy_off():
    assert kill_switched({VARIABLE: "true"})
    assert not kill_switched({})


@pytest.mark.parametrize("policy_value", [False, True])
@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), (" TRUE ", True), ("1", True), ("on", True), ("false", False), ("0", False), ("off", False),
     (None, None), ("", None), ("  ", None), ("maybe", None)],
)  # fmt: skip
def test_a_valid_variable_overrides_the_key_of_the_policy(text, value, policy_value):
    environment = {} if text is None else {VARIABLE: text}
    assert kill_switched(environment, policy_value) is (policy_value if value is None else value)


def test_the_variable_is_read_on_each_call():
    environment = {VARIABLE: "true"}
    assert kill_switched(environment)
    environment[VARIABLE] = "false"
    assert not kill_switched(environment)


def test_an_invalid_value_is_logged_once(caplog):
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    for text in ("maybe", "maybe", "perhaps", "maybe", " "):
        assert not kill_switched({VARIABLE: text})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            (
                f"otel-claude-stream: environment: {VARIABLE}={text!r} is not valid: allowed is true or false; "
                "nothing is switched off"
            ),
        )
        for text in ("maybe", "perhaps")
    ]


def test_the_key_is_removed_from_a_policy_and_from_its_models():
    policy = RetryPolicy(mode=Mode.RETRY, kill_switch=True)
    whole = replace(policy, models=(("a*", policy),))
    without = replace(policy, kill_switch=False)
    assert without_kill_switch(whole) == replace(without, models=(("a*", without),))
