"""The kill switch is checked for each stream and never raises."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from tests.support.policy_samples import load_policy

from otel_claude_stream._config.policy import KillSwitch, kill_switch, without_kill_switch
from otel_claude_stream._config.policy.kill_switch import kill_switched
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


# --- The file -------------------------------------------------------------------------------------------------------
class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def brake(tmp_path):
    """The path of the file, which does not exist."""
    return tmp_path / "brake"


def switch_of(path, clock, environment=None, *, key=False):
    policy = RetryPolicy(mode=Mode.RETRY, kill_switch=key, kill_switch_file=str(path))
    return KillSwitch({} if environment is None else environment, policy, clock)


def test_the_switch_is_on_while_the_file_exists(brake, clock):
    switch = switch_of(brake, clock)
    assert not switch()
    brake.touch()
    clock.now += 0.1
    assert switch()
    brake.unlink()
    clock.now += 0.1
    assert not switch()


def test_many_streams_look_for_the_file_once_in_100_ms(brake, clock, monkeypatch):
    looked = []
    monkeypatch.setattr(kill_switch, "file_exists", lambda path: looked.append(path) or False)
    switch = switch_of(brake, clock)
    for _ in range(1000):
        switch()
        clock.now += 0.001
    assert 10 <= len(looked) <= 11


def test_without_a_file_no_system_call_is_made(clock, monkeypatch):
    monkeypatch.setattr(kill_switch, "file_exists", None)
    assert not KillSwitch({}, RetryPolicy(mode=Mode.RETRY), clock)()


@pytest.mark.parametrize(
    ("switches", "on"),
    [
        ((True, "false", False), True),
        ((True, None, False), True),
        ((False, "true", False), True),
        ((False, None, True), True),
        ((False, "false", True), False),
        ((False, None, False), False),
    ],
)
def test_the_file_overrides_the_variable_which_overrides_the_key(brake, clock, switches, on):
    exists, variable, key = switches
    if exists:
        brake.touch()
    assert switch_of(brake, clock, {VARIABLE: variable} if variable else {}, key=key)() is on


@pytest.mark.parametrize("name", ["x" * 1000, "nul\0"])
def test_a_file_that_cannot_be_checked_is_logged_once_and_switches_nothing_off(brake, clock, caplog, name):
    switch = switch_of(brake / name if name.isalpha() else f"{brake}{name}", clock)
    brake.mkdir()
    for _ in range(3):
        assert not switch()
        clock.now += 1
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "kill_switch_file=" in record.getMessage()
    assert "so it switches nothing off" in record.getMessage()


def test_a_relative_path_stays_in_the_working_directory_of_the_start(tmp_path, brake, clock, monkeypatch):
    monkeypatch.chdir(tmp_path)
    switch = switch_of(brake.name, clock)
    brake.touch()
    monkeypatch.chdir("/")
    assert switch()


def test_the_file_is_set_for_the_process_and_not_for_a_model():
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_KILL_SWITCH_FILE": "/run/brake"}, {"mode": "retry"})
    assert (policy.kill_switch_file, problems) == ("/run/brake", ())
    _, (problem,) = load_policy({}, {"models": {"claude-*": {"kill_switch_file": "/run/brake"}}})
    assert (problem.setting, problem.allowed) == ("models.claude-*.kill_switch_file", "no such key")
