"""The checks of a retry policy."""

from __future__ import annotations

import json

import pytest

from otel_claude_stream._core.retry.policy import Mode, RetryLimits, RetryPolicy, SdkRetries
from otel_claude_stream.cli.doctor.findings import Level
from otel_claude_stream.cli.doctor.policy import TRANSPORTS, policy, worst_case
from otel_claude_stream.cli.main import main

PREFIX = "OTEL_CLAUDE_STREAM_"


def findings(section):
    return [(finding.level, finding.text) for finding in section.findings]


def policy_file(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return str(path)


def test_no_policy():
    assert findings(policy({})) == [
        (Level.OK, "no policy is configured: streams are observed, and nothing is retried"),
        (Level.OK, "retries and resumes: off, by mode observe (default); decisions are recorded as a dry run"),
        (Level.OK, "watchdog: off, no limit is set"),
        (Level.OK, "one call makes at most 3 HTTP requests with the SDK's default max_retries 2"),
    ]


def test_values_with_their_sources_effects_and_the_worst_case(tmp_path):
    path = policy_file(
        tmp_path,
        "version: 1\npreset: unattended\nlimits: {max_requests: 20}\n"
        "rules:\n  - reasons: [silent]\n    max_attempts: 2\n"
        "models:\n  claude-haiku-*: {mode: retry, limits: {max_attempts: 2, max_resumes: 0}}\n"
        "fallback: {claude-opus-*: [claude-sonnet-5]}\n",
    )
    found = policy({f"{PREFIX}SDK_RETRIES": "replace", f"{PREFIX}LIMITS__DEADLINE": "10m"}, path)
    defaults = (
        "backoff.type full_jitter, backoff.multiplier 2.0, retry_after.honour true, retry_after.on_exceed fail, "
        "budget.scope host_model, budget.ratio 0.2, budget.min_per_window 6, budget.window 1m, "
        "concurrency.max null, concurrency.queue 10s, concurrency.scope host_model, "
        "watchdog.first_event null, watchdog.first_content null, watchdog.lifetime null, "
        "resume.strategy auto, resume.prompt null, resume.anchor_chars 48, "
        "resume.min_partial_chars 64, resume.min_overlap 8, resume.on_seam_mismatch fail, "
        "commit.thinking_is_output true"
    )
    assert findings(found) == [
        (Level.OK, text)
        for text in (
            "mode = resume (preset unattended)",
            f"sdk_retries = replace ({PREFIX}SDK_RETRIES)",
            "limits.max_attempts = 5 (preset unattended)",
            "limits.max_resumes = 2 (preset unattended)",
            f"limits.max_requests = 20 ({path}:3)",
            f"limits.deadline = 10m ({PREFIX}LIMITS__DEADLINE)",
            "backoff.base = 1s (preset unattended)",
            "backoff.cap = 1m (preset unattended)",
            "retry_after.max = 15m (preset unattended)",
            "watchdog.silence = 6m (preset unattended)",
            "watchdog.no_progress = 15m (preset unattended)",
            "raise_on_truncation = true (preset unattended)",
            f"rules[0] applies to silent ({path}:5)",
            f"fallback of claude-opus-*: claude-sonnet-5 ({path}:9)",
            f"models that match claude-haiku-* differ in mode, limits.max_attempts, limits.max_resumes ({path}:8)",
            f"defaults: {defaults}",
            "retries before the first content: on, by mode resume (preset unattended)",
            "resumes of a broken text: on, by mode resume (preset unattended)",
            (
                "retries before the response headers: by the policy, by sdk_retries replace "
                f"({PREFIX}SDK_RETRIES); retry-after at most 15m"
            ),
            "watchdog.silence: on, by 6m (preset unattended)",
            "watchdog.no_progress: on, by 15m (preset unattended)",
            TRANSPORTS,
            "an exception for a truncated body: on, by raise_on_truncation (preset unattended)",
            (
                "one call makes at most 5 HTTP requests: 5 attempts, since the SDK's retries are off. "
                "Each attempt with a response is billed."
            ),
            (
                "one call of a model that matches claude-haiku-* makes at most 2 HTTP requests: 2 attempts, since the "
                "SDK's retries are off. Each attempt with a response is billed."
            ),
        )
    ]


def test_all_problems_and_that_the_policy_is_not_used(tmp_path):
    path = policy_file(tmp_path, "mood: x\nmode: retri\nwatchdog: {silence: 5}\n")
    found = policy({}, path)
    assert [(level, text.partition(": ")[0]) for level, text in findings(found)] == [
        (Level.ERROR, f"{path}:1"),
        (Level.ERROR, f"{path}:2"),
        (Level.ERROR, f"{path}:3"),
        (Level.WARNING, path),
        (Level.NOTE, "the policy is not used"),
    ]


def test_a_policy_with_warnings_is_shown():
    found = findings(policy({f"{PREFIX}MODE": "retry", f"{PREFIX}WATCHDOG__SILENCE": "10s"}))
    assert found[0][0] is Level.WARNING
    assert found[0][1].startswith(f"environment: {PREFIX}WATCHDOG__SILENCE='10s': shorter than the interval of pings")
    assert (Level.OK, f"mode = retry ({PREFIX}MODE)") in found
    assert (Level.OK, f"resumes of a broken text: off, by mode retry ({PREFIX}MODE)") in found


def test_resumes_that_a_limit_switches_off():
    found = findings(policy({f"{PREFIX}MODE": "resume", f"{PREFIX}LIMITS__MAX_RESUMES": "0"}))
    assert (
        Level.OK,
        f"resumes of a broken text: off, by limits.max_resumes 0 ({PREFIX}LIMITS__MAX_RESUMES)",
    ) in found


def test_models_that_do_more_than_the_others(tmp_path):
    path = policy_file(tmp_path, 'version: 1\nwatchdog: {silence: 1m}\nmodels: {"claude-opus-*": {mode: retry}}')
    found = findings(policy({}, path))
    assert (Level.NOTE, "retries and resumes: off for most models, by mode observe (default)") in found
    assert (Level.OK, f"watchdog.silence: on, by 1m ({path}:2), but only recorded in mode observe") in found
    assert found[-1] == (
        Level.OK,
        (
            "one call of a model that matches claude-opus-* makes at most 6 HTTP requests: 3 attempts of 3 requests "
            "each, cut from 9 by limits.max_requests. The SDK's default max_retries is 2. Each attempt with a response "
            "is billed."
        ),
    )


@pytest.mark.parametrize(
    ("environ", "level", "text"),
    [
        ({"KILL_SWITCH": "true"}, Level.WARNING, "the kill switch is on, so all of the above is off"),
        (
            {"KILL_SWITCH": "maybe"},
            Level.ERROR,
            (
                "environment: OTEL_CLAUDE_STREAM_KILL_SWITCH='maybe' is not valid: allowed is true or false; "
                "nothing is switched off"
            ),
        ),
    ],
)
def test_the_kill_switch(environ, level, text):
    found = findings(policy({f"{PREFIX}MODE": "retry"} | {PREFIX + name: value for name, value in environ.items()}))
    assert (level, text) in found


def test_the_kill_switch_of_a_file_is_lifted_by_the_environment(tmp_path):
    path = policy_file(tmp_path, "version: 1\nmode: retry\nkill_switch: true\n")
    warned = [text for level, text in findings(policy({}, path)) if level is Level.WARNING]
    assert [text.removeprefix(path) for text in warned] == [
        ":3: kill_switch='true': it disables mode retry; streams are only observed",
        "the kill switch is on, so all of the above is off",
    ]
    lifted = policy({f"{PREFIX}KILL_SWITCH": "false"}, path)
    assert "the kill switch is on, so all of the above is off" not in [text for _, text in findings(lifted)]


def test_the_file_of_the_kill_switch(tmp_path):
    brake = tmp_path / "brake"
    environ = {f"{PREFIX}MODE": "retry", f"{PREFIX}KILL_SWITCH_FILE": str(brake)}
    variable = f"{PREFIX}KILL_SWITCH_FILE"
    off = f"the kill switch is off; creating its file switches retries and resumes off ({variable})"
    assert (Level.OK, off) in findings(policy(environ))
    brake.touch()
    assert (Level.WARNING, f"the kill switch is on, because its file exists ({variable})") in findings(policy(environ))
    found = findings(policy({**environ, f"{PREFIX}KILL_SWITCH_FILE": str(tmp_path / ("x" * 300))}))
    assert any(level is Level.ERROR and "so it switches nothing off" in text for level, text in found)


def test_a_policy_in_the_declarative_file():
    found = findings(policy({}, declared={"mode": "retry"}))
    assert (Level.OK, "mode = retry (OTEL_CONFIG_FILE)") in found


@pytest.mark.parametrize(
    ("mode", "replace", "sdk_retries", "limits", "most"),
    [
        (Mode.OBSERVE, False, 2, RetryLimits(), 3),
        (Mode.OBSERVE, True, 2, RetryLimits(), 3),  # in observe the SDK is left alone
        (Mode.OBSERVE, False, 5, RetryLimits(), 6),
        (Mode.RETRY, False, 2, RetryLimits(max_requests=50), 9),
        (Mode.RETRY, False, 2, RetryLimits(), 6),
        (Mode.RETRY, False, 0, RetryLimits(), 3),
        (Mode.RETRY, True, 5, RetryLimits(), 3),
        (Mode.RESUME, False, 5, RetryLimits(max_attempts=5, max_requests=50), 30),
        (Mode.RETRY, True, 2, RetryLimits(max_attempts=5, max_requests=4), 4),
    ],
)
def test_the_worst_case_of_a_call(*, mode, replace, sdk_retries, limits, most):
    which = SdkRetries.REPLACE if replace else SdkRetries.KEEP
    assert worst_case(RetryPolicy(mode=mode, sdk_retries=which, limits=limits), sdk_retries) == most


@pytest.mark.parametrize(
    ("text", "code", "level"),
    [
        ("version: 1\nmode: retry\n", 0, "ok"),
        ("version: 1\nmode: retry\nlimits: {max_attempts: 5, max_requests: 15}\n", 0, "note"),
        ("mode: retry\n", 1, "warning"),
        ("version: 1\nmode: retri\n", 2, "error"),
    ],
)
def test_the_command_checks_a_policy_alone(text, code, level, tmp_path, capsys):
    assert main(["doctor", "--policy", policy_file(tmp_path, text), "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["level"], found["exit_code"]) == (level, code)
    assert [section["title"] for section in found["sections"]] == ["Retry policy"]


def test_the_command_for_a_file_that_does_not_exist(capsys):
    assert main(["doctor", "--policy", "/no/such/policy.yaml"]) == 2
    assert "  ✗ /no/such/policy.yaml: the file cannot be read: No such file or directory" in capsys.readouterr().out
