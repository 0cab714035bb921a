"""Errors and warnings about a policy name the location, the value, what is allowed and the nearest valid name."""

from __future__ import annotations

import pytest
from tests.support.policy_samples import INVALID, VALID, WARNED, load_policy

from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import RetryPolicy

FILE = "OTEL_CLAUDE_STREAM_CONFIG"

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcd", "bcde", strict=True)
)
"""Five lines that expand to 10^5 values."""


def load_text(text, tmp_path, **environment):
    """Load a file with this text. Returns the policy, the problems except for a missing version, and the path."""
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    policy, problems = load_policy({FILE: str(path), **environment})
    return policy, [problem for problem in problems if "version is missing" not in problem.allowed], path


@pytest.mark.parametrize(("text", "setting", "error"), INVALID)
def test_an_error_names_line_setting_value_and_what_is_allowed(text, setting, error, tmp_path):
    policy, problems, path = load_text(text, tmp_path)
    (problem,) = problems
    line = len(text.splitlines())
    assert str(problem) == f"{path}:{line}: {setting} is not valid: {error}"
    assert (policy, problem.severity) == (RetryPolicy(), Severity.ERROR)


@pytest.mark.parametrize(("text", "setting", "warning"), WARNED)
def test_a_warning_names_setting_and_value_and_the_policy_is_used(text, setting, warning, tmp_path):
    policy, problems, path = load_text(text, tmp_path)
    assert [str(problem).removeprefix(str(path)).partition(" ")[2] for problem in problems] == [f"{setting}: {warning}"]
    assert [problem.severity for problem in problems] == [Severity.WARNING]
    assert str(problems[0]).startswith(f"{path}:")
    assert policy != RetryPolicy()


@pytest.mark.parametrize("text", VALID)
def test_a_valid_file_has_no_problems(text, tmp_path):
    policy, problems, _ = load_text(text, tmp_path)
    assert problems == []
    assert isinstance(policy, RetryPolicy)


def test_errors_are_in_the_order_of_the_file(tmp_path):
    text = (
        "version: 1\nmodel: x\nlimits:\n  max_attempts: 9\n  deadline: 5\n  max: 3\n"
        "rules:\n  - reasons: [overload]\n  - 7\n"
    )
    _, problems, path = load_text(text, tmp_path, OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS="0")
    assert [f"{problem.source.removeprefix(str(path))} {problem.setting}" for problem in problems] == [
        ":2 model", ":4 limits.max_attempts", ":5 limits.deadline", ":6 limits.max",
        ":8 rules[0].reasons[0]", ":9 rules[1]",
        "environment OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS",
    ]  # fmt: skip


def test_a_contradiction_names_the_source_of_the_value(tmp_path):
    _, (problem,), _ = load_text("limits: {max_attempts: 4}", tmp_path, OTEL_CLAUDE_STREAM_BACKOFF__BASE="9s")
    assert str(problem) == (
        "environment: OTEL_CLAUDE_STREAM_BACKOFF__BASE='9s' is not valid: backoff.base (9s) must not be more than "
        "backoff.cap (8s)"
    )


@pytest.mark.parametrize(
    "text", ["mode: retry\nrules: [{reasons: [silent], max_attempts: 3}]", "mode: resume\nlimits: {max_resumes: 2}"]
)
@pytest.mark.parametrize("source", ["environment", "models"])
def test_a_value_above_a_limit_that_a_later_source_lowered_is_a_warning(text, source, tmp_path):
    """In an incident, a variable may lower a limit of the file; the policy must stay in effect."""
    variables = {"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"} if source == "environment" else {}
    more = "" if variables else "\nmodels: {'a*': {limits: {max_attempts: 2}}}"
    policy, (problem,), _ = load_text(text + more, tmp_path, **variables)
    assert problem.severity is Severity.WARNING
    assert policy.for_model("abc").limits.max_attempts == 2


def test_a_missing_version_is_a_warning(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("mode: retry\n")
    policy, (problem,) = load_policy({FILE: str(path)})
    assert policy.mode.value == "retry"
    assert (problem.severity, str(problem)) == (
        Severity.WARNING,
        (
            f"{path}: version is missing: add version: 1, "
            "so that later versions of this package read the file as it was meant"
        ),
    )


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [
        ("mode: [", "p.yaml", ":1: not YAML: "),
        ("mode: observe\n\tx: 1", "p.yaml", ":2: not YAML: "),
        ("a: 1\n---\nb: 2", "p.yaml", ":2: not YAML: but found another document"),
        ("\x00", "p.yaml", ": not YAML: unacceptable character #x0000"),
        ('{"mode": observe}', "p.json", ":1: not JSON: Expecting value, column 10"),
        ("[1]", "p.json", ": the file must be a mapping, such as mode: retry"),
        ("observe", "p.yaml", ": the file must be a mapping, such as mode: retry"),
        (ALIASES, "p.yaml", ": the file has more than 500 values; aliases count with all that they expand to"),
        (b"\xff\xfe", "p.yaml", ": the file cannot be read: it is not UTF-8 (byte 0)"),
        (b"x" * 32_769, "p.yaml", ": the file cannot be read: it is larger than 32768 bytes"),
        (None, "p.yaml", ": the file cannot be read: No such file or directory"),
        (None, ".", ": the file cannot be read: it is not a regular file"),
    ],
)
def test_an_unreadable_file_is_an_error_with_the_reason(content, name, error, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    policy, (problem,) = load_policy({FILE: str(path)})
    assert policy == RetryPolicy()
    assert str(problem).startswith(f"{path}{error}")


def test_a_duplicate_key_in_json_is_an_error(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"version": 1, "mode": "retry", "mode": "observe"}')
    _, (problem,) = load_policy({FILE: str(path)})
    assert str(problem) == f"{path}: mode is not valid: the key is set twice"


def test_references_are_replaced_before_the_type_of_a_value_is_determined(tmp_path):
    """A value in quotes stays a text. References in keys are not replaced."""
    text = 'version: 1\nmode: ${M}\nlimits:\n  max_attempts: ${N:-2}\nresume: {prompt: "${P}{anchor} $${x}"}\n'
    policy, problems, _ = load_text(text, tmp_path, M="retry", P="12")
    assert problems == []
    assert (policy.mode.value, policy.limits.max_attempts, policy.resume.prompt) == ("retry", 2, "12{anchor} ${x}")
    _, (problem,), _ = load_text('version: 1\n"${M}": 1', tmp_path, M="mode")
    assert problem.setting == "${M}"
    _, (problem,), _ = load_text("version: 1\nlimits: {max_attempts: '${N:-2}'}", tmp_path)
    assert problem.setting == "limits.max_attempts"


def test_references_in_json_are_replaced(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"version": 1, "mode": "${M}", "limits": {"max_attempts": "${N:-2}", "deadline": "${D}"}}')
    policy, problems = load_policy({FILE: str(path), "M": "retry"})
    assert problems == ()
    assert (policy.mode.value, policy.limits.max_attempts, policy.limits.deadline) == ("retry", 2, None)


RENAMED = "it was renamed to {!r} and has no effect under its old name"


@pytest.mark.parametrize(
    ("text", "setting", "new"),
    [
        ("sdk_retries: own", "sdk_retries='own'", "replace"),
        ("rules: [{on: [silent], retry: false}]", "rules[0].on='[silent]'", "reasons"),
        ("rules: [{on: [silent], reasons: [silent]}]", "rules[0].on='[silent]'", "reasons"),
        ("models: {a*: {sdk_retries: own}}", "models.a*.sdk_retries='own'", "replace"),
        ("models: {a*: {rules: [{on: [silent]}]}}", "models.a*.rules[0].on='[silent]'", "reasons"),
    ],
)
def test_a_renamed_key_or_value_is_one_error_that_names_the_new_name(text, setting, new, tmp_path):
    policy, (problem,), path = load_text(text, tmp_path)
    assert policy == RetryPolicy()
    assert str(problem) == f"{path}:1: {setting} is not valid: {RENAMED.format(new)}"


def test_a_renamed_value_in_the_environment_is_an_error():
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_SDK_RETRIES": "Own"})
    assert str(problem) == (
        f"environment: OTEL_CLAUDE_STREAM_SDK_RETRIES='own' is not valid: {RENAMED.format('replace')}"
    )


def test_a_renamed_key_that_yaml_1_1_reads_as_true_is_recognized():
    """OpenTelemetry's loader of configuration files reads the key `on` as true."""
    _, (problem,) = load_policy({}, declared={"rules": [{True: ["silent"]}]})
    assert str(problem) == f"OTEL_CONFIG_FILE: rules[0].on='true' is not valid: {RENAMED.format('reasons')}"


@pytest.mark.parametrize("text", ["on: [silent]", "backoff: {on: 1s}", "models: {anthropic.*: {on: 1}}"])
def test_the_renamed_key_of_a_rule_is_unknown_elsewhere(text, tmp_path):
    _, (problem,), _ = load_text(text, tmp_path)
    assert problem.allowed == "no such key"


class Unprintable:
    """An object whose `__str__` raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("bach", ("retry_policy='bach' is not valid: allowed is a preset (observe, interactive, batch, unattended) or "
         "the path of a file; did you mean batch?")),
        (3, ("retry_policy='3' is not valid: allowed is a RetryPolicy, a mapping, the name of a preset or the path of "
         "a file")),
        (b"x.yaml", "retry_policy=\"b'x.yaml'\" is not valid: allowed is a RetryPolicy, a mapping, "),
        (object, "retry_policy=\"<class 'object'>\" is not valid: allowed is a RetryPolicy, a mapping, "),
        ({"mode": Unprintable()}, "mode='<Unprintable>' is not valid: allowed is observe, retry or resume"),
        (RetryPolicy(limits=None), "a field of the RetryPolicy has an invalid type: "),
        ({"mode": "nope"}, "mode='nope' is not valid: allowed is observe, retry or resume"),
    ],
)  # fmt: skip
def test_an_invalid_argument_is_an_error(argument, error):
    policy, (problem,) = load_policy({}, argument)
    assert policy == RetryPolicy()
    assert str(problem).startswith(f"instrument(): {error}")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("OTEL_CLAUDE_STREAM_LIMITS__MAX_ATEMPTS", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS"),
        ("OTEL_CLAUDE_STREAM_WATCHDOG__SILENT", "OTEL_CLAUDE_STREAM_WATCHDOG__SILENCE"),
        ("OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS__X", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS"),
        ("OTEL_CLAUDE_STREAM_XYZZY__PLUGH", ""),
    ],
)
def test_an_unknown_variable_with_two_underscores_is_an_error(variable, nearest):
    policy, (problem,) = load_policy({variable: "3", "OTEL_CLAUDE_STREAM_MODE": "retry"})
    assert policy == RetryPolicy()
    hint = f"; did you mean {nearest}?" if nearest else ""
    assert str(problem) == f"environment: {variable}='3' is not valid: no such setting{hint}"


def test_a_variable_for_a_part_of_a_list_is_an_error_with_the_remedy():
    _, (problem,) = load_policy({"OTEL_CLAUDE_STREAM_RULES__0__RETRY": "true"})
    assert problem.allowed == (
        f"no variable sets rules of the retry policy; set it in the file that {FILE} names, or in code"
    )


def test_a_long_value_is_truncated_in_messages():
    _, (problem,) = load_policy({}, {"mode": "x" * 5000})
    assert len(problem.value) == 60
