"""Load a policy: every key from every source, which source wins, and that loading never fails."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from enum import Enum

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.policy_samples import EXAMPLE, VALUES, load_policy, policies

from otel_claude_stream._config.policy import loading
from otel_claude_stream._config.policy.keys import KEYS, PROCESS_KEYS, variables
from otel_claude_stream._config.policy.loading import Loaded, PolicyError, load
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.text import parse_json
from otel_claude_stream._config.policy.yaml_text import parse_yaml
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, Rule, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason

DEFAULT = RetryPolicy()
FILE = "OTEL_CLAUDE_STREAM_CONFIG"


def error_texts(problems):
    return [str(problem) for problem in problems if problem.severity is Severity.ERROR]


def nested(name, value):
    """Return a value nested under the sections of its key, as in a file."""
    *sections, last = name.split(".")
    tree = {last: value}
    for section in reversed(sections):
        tree = {section: tree}
    return tree


def value_of(policy, name):
    value = policy
    for part in name.split("."):
        value = getattr(value, part)
    return value.value if isinstance(value, Enum) else value


def replaced(part, path, value):
    """Return a part of a policy with the value at a path replaced."""
    first, *rest = path
    return replace(part, **{first: replaced(getattr(part, first), rest, value) if rest else value})


def scalars(value, above=""):
    """Yield the names of all fields of a policy that hold a single value."""
    for field in fields(value):
        found = getattr(value, field.name)
        if is_dataclass(found):
            yield from scalars(found, f"{above}{field.name}.")
        elif not isinstance(found, tuple):
            yield above + field.name


def test_a_policy_is_loaded_from_the_environment():
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"})
    assert problems == ()
    assert policy == RetryPolicy(mode=Mode.RETRY, limits=RetryLimits(max_attempts=2))


def test_without_a_source_the_default_policy_is_in_effect():
    assert load_policy({}) == (DEFAULT, ())


def test_the_table_of_keys_has_every_field_of_a_policy():
    names = [key.name for key in (*KEYS, *PROCESS_KEYS)]
    assert sorted(names) == sorted(scalars(DEFAULT))
    assert list(VALUES) == names


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("source", ["file", "environment", "code"])
def test_each_key_is_read_from_each_source(name, source, tmp_path):
    in_file, in_variable, value = VALUES[name]
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps({"version": 1, **nested(name, in_file)}), encoding="utf-8")
    if source == "file":
        policy, problems = load_policy({FILE: str(path)})
    elif source == "code":
        policy, problems = load_policy({}, nested(name, in_file))
    else:
        variable = f"OTEL_CLAUDE_STREAM_{name.upper().replace('.', '__')}"
        policy, problems = load_policy({variable: f" {in_variable} "})
    if (name, source) == ("kill_switch", "environment"):
        assert (policy, problems) == (DEFAULT, ())  # read for each stream instead
        return
    assert error_texts(problems) == []
    if name == "backoff.multiplier":
        value = 1.5 if source == "environment" else 3
    assert value_of(policy, name) == value != value_of(DEFAULT, name)
    assert replaced(policy, name.split("."), value_of(DEFAULT, name)) == DEFAULT  # no other value has changed


def test_code_overrides_the_environment_the_file_and_the_preset(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\npreset: batch\nlimits: {max_attempts: 3, max_requests: 20, deadline: 5m}\n")
    environment = {
        FILE: str(path),
        "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2",
        "OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS": "8",
    }
    policy, problems = load_policy(environment, {"limits": {"max_requests": 4}, "retry_after": {"max": "30s"}})
    assert problems == ()
    assert policy.mode is Mode.RETRY  # from the preset
    assert policy.backoff.base == 1.0  # from the preset
    assert policy.limits == RetryLimits(max_attempts=2, max_resumes=1, max_requests=4, deadline=300.0)


def test_the_last_source_selects_the_preset_which_every_source_overrides(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\npreset: batch\nlimits: {deadline: 5m}\nretry_after: {max: 1m}\n")
    policy, problems = load_policy({FILE: str(path), "OTEL_CLAUDE_STREAM_PRESET": "unattended"})
    assert problems == ()
    assert (policy.mode, policy.limits.max_attempts, policy.limits.deadline) == (Mode.RESUME, 5, 300.0)


@pytest.mark.parametrize("whole", [RetryPolicy(), "observe", {"preset": "observe"}])
def test_a_whole_policy_in_code_replaces_all_other_sources(whole):
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "many"}
    assert load_policy(environment, whole) == (DEFAULT, ())


def test_a_file_passed_in_code_overrides_the_environment(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"version": 1, "mode": "resume"}')
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"}
    for given_path in (path, str(path)):
        policy, problems = load_policy(environment, given_path)
        assert (policy.mode, policy.limits.max_attempts, problems) == (Mode.RESUME, 2, ())


def test_the_declarative_file_overrides_the_environment_but_not_code():
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"}
    declared = {"mode": "resume", "limits": {"max_attempts": 4, "deadline": "5m"}}
    policy, problems = load_policy(environment, {"limits": {"max_attempts": 5}}, declared=declared)
    assert problems == ()
    assert (policy.mode, policy.limits.max_attempts, policy.limits.deadline) == (Mode.RESUME, 5, 300.0)
    _, (problem,) = load_policy({}, declared={"mood": "retry"})
    assert str(problem) == "OTEL_CONFIG_FILE: mood='retry' is not valid: no such key; did you mean mode?"


def test_a_model_has_its_values_and_those_for_all_models():
    values = {
        "mode": "retry",
        "rules": [{"reasons": ["silent"], "backoff": {"base": "2s"}}],
        "models": {
            "claude-haiku-*": {"limits": {"deadline": "2m"}, "backoff": {"cap": "4s"}},
            "claude-haiku-4-5*": {"mode": "observe"},
        },
    }
    policy, problems = load_policy({}, values)
    assert problems == ()
    haiku, newer = policy.for_model("claude-haiku-3"), policy.for_model("claude-haiku-4-5-20251001")
    assert haiku == replace(
        policy,
        models=(),
        limits=replace(policy.limits, deadline=120.0),
        backoff=replace(policy.backoff, cap=4.0),
        rules=(Rule(frozenset({AbortReason.SILENT}), backoff=Backoff(base=2.0, cap=4.0)),),
    )
    assert newer == replace(policy, models=(), mode=Mode.OBSERVE)
    assert policy.for_model("claude-opus-5") is policy


def test_the_environment_overrides_the_values_of_a_file_for_a_model(tmp_path):
    """In an incident, variables must have the last word."""
    path = tmp_path / "policy.yaml"
    path.write_text('version: 1\nmode: retry\nmodels: {"claude-*": {mode: resume}}\n')
    policy, problems = load_policy({FILE: str(path), "OTEL_CLAUDE_STREAM_MODE": "observe"})
    assert (policy.mode, policy.for_model("claude-x").mode, problems) == (Mode.OBSERVE, Mode.OBSERVE, ())


def test_a_list_replaces_the_list_of_an_earlier_source():
    declared = {"rules": [{"reasons": ["silent"], "retry": False}, {"reasons": ["overloaded"], "max_attempts": 2}]}
    policy, _ = load_policy({}, {"rules": [{"reasons": ["truncated"], "resume": True}]}, declared=declared)
    assert policy.rules == (Rule(frozenset({AbortReason.TRUNCATED}), resume=True),)


def test_a_rule_inherits_the_backoff_of_the_policy():
    values = {"backoff": {"multiplier": 3}, "rules": [{"reasons": ["overloaded"], "backoff": {"base": "1s"}}]}
    policy, problems = load_policy({}, values)
    assert (policy.rules[0].backoff, problems) == (Backoff(base=1.0, multiplier=3.0), ())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_no_warnings_and_a_reason_for_each_value(name):
    """Each value differs from the default."""
    for policy, problems in (load_policy({}, name), load_policy({"OTEL_CLAUDE_STREAM_PRESET": name})):
        assert problems == ()
        assert (policy == DEFAULT) is (name == "observe")
    for entry in PRESETS[name].entries:
        assert entry.why.endswith(".")
        assert value_of(policy, entry.key) != value_of(DEFAULT, entry.key), entry.key


def test_the_interactive_preset_has_a_deadline_of_a_minute():
    assert load_policy({}, "interactive")[0].limits.deadline == 60.0


def test_the_example_sets_the_defaults(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    policy, problems = load_policy({FILE: str(path)})
    assert problems == ()
    assert replace(policy, rules=(), models=()) == DEFAULT
    assert [rule.reasons for rule in policy.rules] == [
        {AbortReason.OVERLOADED},
        {AbortReason.SILENT, AbortReason.NO_PROGRESS, AbortReason.FIRST_EVENT_TIMEOUT},
        {AbortReason.RATE_LIMITED},
    ]
    assert policy.for_model("claude-haiku-4-5").limits.deadline == 120.0


def test_one_exception_has_all_errors():
    found = load({"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "9"}, {"mode": "retr"})
    error = PolicyError(found.errors)
    assert isinstance(error, ValueError)
    assert str(error).splitlines() == [
        "environment: OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS='9' is not valid: allowed is a whole number from 1 to 5",
        "instrument(): mode='retr' is not valid: allowed is observe, retry or resume; did you mean retry?",
    ]
    assert len(error.problems) == 2


def test_a_warning_is_no_error():
    found = load({}, {"mode": "retry", "watchdog": {"silence": "20s"}})
    assert (found.policy.watchdog, len(found.problems), found.errors) == (Watchdog(silence=20.0), 1, ())


def test_any_error_means_observe():
    """Valid values of other sources are not used either, since an invalid limit may be the one that limits costs."""
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_MODE": "resume"}, {"limits": {"max_attempts": "two"}})
    assert (policy, len(problems)) == (DEFAULT, 1)


def test_an_internal_error_means_observe(monkeypatch):
    """It is counted and logged as an internal error, which tests of this package raise."""

    def broken(*_):
        raise KeyError("internal")

    monkeypatch.setattr(loading, "policy_of", broken)
    with pytest.raises(KeyError):
        load_policy({}, {"mode": "retry"})
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    policy, (problem,) = load_policy({}, {"mode": "retry"})
    assert (policy, str(problem)) == (DEFAULT, "retry policy: it cannot be loaded: KeyError")


def test_the_origin_of_a_value_is_the_layer_that_set_it():
    found = load({"OTEL_CLAUDE_STREAM_MODE": "retry"}, {"limits": {"max_attempts": 2}})
    assert found.origin(("mode",)).name == "environment"
    assert found.origin(("mode",)).location(("mode",)) == "OTEL_CLAUDE_STREAM_MODE"
    assert found.origin(("limits", "max_attempts")).name == "instrument()"
    assert found.origin(("backoff", "base")).name == "default"


# --- Round trips ----------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(policies())
def test_a_loaded_policy_passed_in_code_stays_the_same(values):
    policy, problems = load_policy({}, values)
    if error_texts(problems):
        return
    again, problems = load_policy({}, policy)
    assert error_texts(problems) == []
    assert again == policy


@settings(max_examples=100, deadline=None)
@given(policies())
def test_yaml_json_and_code_result_in_the_same_policy(values):
    in_code = load_policy({}, values)
    for parse in (parse_json, parse_yaml):
        assert load_policy({}, parse(json.dumps(values), {}).data) == in_code


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from([*{name.split(".")[0] for name in VALUES}, "models", "rules", "preset", "version"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=8), ANYTHING, max_size=4) | ANYTHING)
@example(RetryPolicy(limits=None))
@example(RetryPolicy(rules=(3,)))
@example(RetryPolicy(mode="often", limits=RetryLimits(max_attempts="3", deadline=float("nan"))))
@example(RetryPolicy(models=(("x", RetryPolicy(models=(("y", RetryPolicy()),))),)))
@example({"rules": [{"reasons": ["overloaded"]}] * 3, "models": {"": {}}})
@example({"limits": {3: 4}})
def test_no_object_from_code_makes_loading_fail(argument):
    policy, problems = load_policy({}, argument)
    assert isinstance(policy, RetryPolicy)
    assert all(str(problem) for problem in problems)
    if error_texts(problems):
        assert policy == DEFAULT


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*variables()]) | st.text(max_size=9).map("OTEL_CLAUDE_STREAM_X__".__add__),
                       st.text(max_size=20), max_size=4))  # fmt: skip
@example({"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "9" * 5000})
@example({"OTEL_CLAUDE_STREAM_LIMITS__DEADLINE": "9" * 400 + "h"})
@example({"OTEL_CLAUDE_STREAM_BUDGET__RATIO": "nan"})
@example({"OTEL_CLAUDE_STREAM_RESUME__PROMPT__X": "y", "OTEL_CLAUDE_STREAM_RESUME__PROMPT": "{anchor}"})
@example({"OTEL_CLAUDE_STREAM___": "y", "OTEL_CLAUDE_STREAM_MODE__": "y"})
def test_no_environment_makes_loading_fail(environment):
    found = load(environment)
    assert isinstance(found, Loaded)
    if found.errors:
        assert found.policy == DEFAULT


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=30), st.sampled_from([".yaml", ".json"]))
@example("a: &a [*a]", ".yaml")
@example("x: &x {y: *x}", ".yaml")
@example("{" * 5000, ".yaml")
@example("[" * 100_000, ".json")
@example("a: !!python/object:os.system x", ".yaml")
@example("--- a\n--- b", ".yaml")
@example("", ".yaml")
@example("", ".json")
@example("{a: 1, ? [b]: 2}", ".yaml")
@example("- a", ".yaml")
@example("3", ".json")
def test_no_file_makes_loading_fail(tmp_path_factory, text, suffix):
    path = tmp_path_factory.mktemp("policy") / f"policy{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    policy, problems = load_policy({FILE: str(path)})
    assert policy == DEFAULT
    assert all(str(problem).startswith(str(path)) for problem in problems)
