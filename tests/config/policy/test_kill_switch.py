"""The kill switch: read anew for each stream, and never a reason to fail."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from otel_claude_stream._config.policy import kill_switch, kill_switched, lifted
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy

VARIABLE = "OTEL_CLAUDE_STREAM_KILL_SWITCH"


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch):
    monkeypatch.setattr(kill_switch, "_told", set())


@pytest.mark.parametrize("policy_says", [False, True])
@pytest.mark.parametrize(
    ("word", "found"),
    [("true", True), (" TRUE ", True), ("1", True), ("on", True), ("false", False), ("0", False), ("off", False),
     (None, None), ("", None), ("  ", None), ("maybe", None)],
)  # fmt: skip
def test_the_variable_wins_over_the_policy_if_it_says_anything(word, found, policy_says):
    environment = {} if word is None else {VARIABLE: word}
    assert kill_switched(environment, policy_says) is (policy_says if found is None else found)


def test_it_is_read_each_time():
    environment = {VARIABLE: "true"}
    assert kill_switched(environment)
    environment[VARIABLE] = "false"
    assert not kill_switched(environment)


def test_a_wrong_word_is_one_error_log(caplog):
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    for word in ("maybe", "maybe", "perhaps", "maybe", " "):
        assert not kill_switched({VARIABLE: word})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            (
                f"otel-claude-stream: environment: {VARIABLE}={word!r} is not valid: allowed is true or false; "
                "nothing is switched off"
            ),
        )
        for word in ("maybe", "perhaps")
    ]


def test_lifted_from_a_policy_and_from_those_of_its_models():
    policy = RetryPolicy(mode=Mode.RETRY, kill_switch=True)
    whole = replace(policy, models=(("a*", policy),))
    free = replace(policy, kill_switch=False)
    assert lifted(whole) == replace(free, models=(("a*", free),))
