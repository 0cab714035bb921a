"""Loading the policy: every key from everywhere, who wins, and that nothing makes it fail."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from enum import Enum

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_claude_stream._config.policy import loading as load_module
from otel_claude_stream._config.policy.json_text import read_json
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, variables
from otel_claude_stream._config.policy.loading import Loaded, PolicyError, load, load_policy
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.yaml_text import read_yaml
from otel_claude_stream._config.problem import Severity
from otel_claude_stream._core.retry.policy import Backoff, Mode, RetryLimits, RetryPolicy, Rule, Watchdog
from otel_claude_stream._core.vocabulary import AbortReason

DEFAULT = RetryPolicy()
FILE = "OTEL_CLAUDE_STREAM_CONFIG"

# Of each key: what a file says, what a variable says, and what comes of it. No value is the default.
SAID = {
    "mode": ("retry", "Retry", Mode.RETRY),
    "sdk_retries": ("replace", "replace", "replace"),
    "limits.max_attempts": (5, "5", 5),
    "limits.max_resumes": (2, "2", 2),
    "limits.max_requests": (9, "9", 9),
    "limits.deadline": (None, "none", None),
    "backoff.type": ("none", "none", "none"),
    "backoff.base": ("250ms", "250ms", 0.25),
    "backoff.cap": ("1m", "1m", 60.0),
    "backoff.multiplier": (3, "1.5", None),
    "retry_after.honour": (False, "no", False),
    "retry_after.max": ("5m", "5m", 300.0),
    "retry_after.on_exceed": ("cap", "cap", "cap"),
    "budget.scope": ("process", "process", "process"),
    "budget.ratio": (0.5, "0.5", 0.5),
    "budget.min_per_window": (0, "0", 0),
    "budget.window": ("2m", "2m", 120.0),
    "watchdog.first_event": ("40s", "40s", 40.0),
    "watchdog.silence": ("180s", "180s", 180.0),
    "watchdog.no_progress": ("1h", "1h", 3600.0),
    "resume.strategy": ("prefill", "prefill", "prefill"),
    "resume.prompt": ("Go on after {anchor}", "Go on after {anchor}", "Go on after {anchor}"),
    "resume.anchor_chars": (32, "32", 32),
    "resume.min_partial_chars": (128, "128", 128),
    "resume.min_overlap": (4, "4", 4),
    "resume.on_seam_mismatch": ("append", "append", "append"),
    "commit.thinking_is_output": (False, "off", False),
    "raise_on_truncation": (True, "1", True),
    "kill_switch": (True, "true", True),
}


def errors(problems):
    return [str(problem) for problem in problems if problem.severity is Severity.ERROR]


def nested(name, value):
    *sections, last = name.split(".")
    said = {last: value}
    for section in reversed(sections):
        said = {section: said}
    return said


def at(policy, name):
    value = policy
    for part in name.split("."):
        value = getattr(value, part)
    return value.value if isinstance(value, Enum) else value


def scalars(value, above=""):
    """The names of all fields of a policy that hold a single value."""
    for field in fields(value):
        found = getattr(value, field.name)
        if is_dataclass(found):
            yield from scalars(found, f"{above}{field.name}.")
        elif not isinstance(found, tuple):
            yield above + field.name


def test_the_table_has_every_field_of_a_policy():
    names = [key.name for key in (*KEYS, KILL_SWITCH)]
    assert sorted(names) == sorted(scalars(DEFAULT))
    assert list(SAID) == names


def test_nothing_said_is_the_default():
    assert load_policy({}) == (DEFAULT, ())


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("where", ["file", "environment", "code"])
def test_a_key_is_read_from_everywhere(name, where, tmp_path):
    in_file, in_variable, value = SAID[name]
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps({"version": 1, **nested(name, in_file)}), encoding="utf-8")
    if where == "file":
        policy, problems = load_policy({FILE: str(path)})
    elif where == "code":
        policy, problems = load_policy({}, nested(name, in_file))
    else:
        variable = f"OTEL_CLAUDE_STREAM_{name.upper().replace('.', '__')}"
        policy, problems = load_policy({variable: f" {in_variable} "})
    if (name, where) == ("kill_switch", "environment"):
        assert (policy, problems) == (DEFAULT, ())  # it is read at each stream
        return
    assert errors(problems) == []
    if name == "backoff.multiplier":
        value = 1.5 if where == "environment" else 3
    assert at(policy, name) == value != at(DEFAULT, name)
    *sections, last = name.split(".")
    back = replace(at(policy, ".".join(sections)), **{last: at(DEFAULT, name)}) if sections else at(DEFAULT, name)
    restored = replace(policy, **{sections[0] if sections else last: back})
    assert restored == DEFAULT  # nothing else has changed


def test_code_wins_over_the_environment_over_the_file_over_the_preset(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\npreset: batch\nlimits: {max_attempts: 3, max_requests: 20, deadline: 5m}\n")
    environment = {
        FILE: str(path),
        "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2",
        "OTEL_CLAUDE_STREAM_LIMITS__MAX_REQUESTS": "8",
    }
    policy, problems = load_policy(environment, {"limits": {"max_requests": 4}, "retry_after": {"max": "30s"}})
    assert problems == ()
    assert policy.mode is Mode.RETRY  # the preset's
    assert policy.backoff.base == 1.0  # the preset's
    assert policy.limits == RetryLimits(max_attempts=2, max_resumes=1, max_requests=4, deadline=300.0)


def test_a_preset_is_chosen_by_whoever_is_strongest_and_stays_the_weakest(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\npreset: batch\nlimits: {deadline: 5m}\nretry_after: {max: 1m}\n")
    policy, problems = load_policy({FILE: str(path), "OTEL_CLAUDE_STREAM_PRESET": "unattended"})
    assert problems == ()
    assert (policy.mode, policy.limits.max_attempts, policy.limits.deadline) == (Mode.RESUME, 5, 300.0)


@pytest.mark.parametrize("whole", [RetryPolicy(), "observe", {"preset": "observe"}])
def test_a_whole_policy_in_code_leaves_nothing_of_the_others(whole):
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "many"}
    assert load_policy(environment, whole) == (DEFAULT, ())


def test_a_file_named_in_code_wins_over_the_environment(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"version": 1, "mode": "resume"}')
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"}
    for given_path in (path, str(path)):
        policy, problems = load_policy(environment, given_path)
        assert (policy.mode, policy.limits.max_attempts, problems) == (Mode.RESUME, 2, ())


def test_the_declarative_file_is_between_the_environment_and_code():
    environment = {"OTEL_CLAUDE_STREAM_MODE": "retry", "OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "2"}
    declared = {"mode": "resume", "limits": {"max_attempts": 4, "deadline": "5m"}}
    policy, problems = load_policy(environment, {"limits": {"max_attempts": 5}}, declared=declared)
    assert problems == ()
    assert (policy.mode, policy.limits.max_attempts, policy.limits.deadline) == (Mode.RESUME, 5, 300.0)
    _, (problem,) = load_policy({}, declared={"mood": "retry"})
    assert str(problem) == "OTEL_CONFIG_FILE: mood='retry' is not valid: no such key; did you mean mode?"


def test_models_differ_in_what_is_said_of_them():
    """What the environment says wins over what the file says of a model: in an incident it has the last word."""
    said = {
        "mode": "retry",
        "rules": [{"reasons": ["silent"], "backoff": {"base": "2s"}}],
        "models": {
            "claude-haiku-*": {"limits": {"deadline": "2m"}, "backoff": {"cap": "4s"}},
            "claude-haiku-4-5*": {"mode": "observe"},
        },
    }
    policy, problems = load_policy({}, said)
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


def test_the_environment_wins_over_what_a_file_says_of_a_model(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text('version: 1\nmode: retry\nmodels: {"claude-*": {mode: resume}}\n')
    policy, problems = load_policy({FILE: str(path), "OTEL_CLAUDE_STREAM_MODE": "observe"})
    assert (policy.mode, policy.for_model("claude-x").mode, problems) == (Mode.OBSERVE, Mode.OBSERVE, ())


def test_a_list_is_replaced_as_a_whole():
    declared = {"rules": [{"reasons": ["silent"], "retry": False}, {"reasons": ["overloaded"], "max_attempts": 2}]}
    policy, _ = load_policy({}, {"rules": [{"reasons": ["truncated"], "resume": True}]}, declared=declared)
    assert policy.rules == (Rule(frozenset({AbortReason.TRUNCATED}), resume=True),)


def test_a_rule_inherits_the_back_off_that_is_in_force():
    said = {"backoff": {"multiplier": 3}, "rules": [{"reasons": ["overloaded"], "backoff": {"base": "1s"}}]}
    policy, problems = load_policy({}, said)
    assert (policy.rules[0].backoff, problems) == (Backoff(base=1.0, multiplier=3.0), ())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_right_by_themselves(name):
    """No problem, not even a doubt; a reason for each value, and each value differs from the default."""
    for policy, problems in (load_policy({}, name), load_policy({"OTEL_CLAUDE_STREAM_PRESET": name})):
        assert problems == ()
        assert (policy == DEFAULT) is (name == "observe")
    for choice in PRESETS[name].choices:
        assert choice.why.endswith(".")
        assert at(policy, choice.key) != at(DEFAULT, choice.key), choice.key


def test_the_interactive_preset_gives_up_after_a_minute():
    assert load_policy({}, "interactive")[0].limits.deadline == 60.0


def test_the_example_of_the_documentation_says_the_defaults(tmp_path):
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


EXAMPLE = """\
version: 1
mode: observe                 # observe | retry | resume
sdk_retries: keep             # keep | replace: who retries before response headers
limits: {max_attempts: 3, max_resumes: 1, max_requests: 6, deadline: 10m}
backoff: {type: full_jitter, base: 500ms, cap: 8s, multiplier: 2}
retry_after: {honour: true, max: 60s, on_exceed: fail}
budget: {scope: host_model, ratio: 0.2, min_per_window: 6, window: 60s}
watchdog: {first_event: null, silence: null, no_progress: null}
rules:
  - {reasons: [overloaded], backoff: {base: 1s, cap: 30s}}
  - {reasons: [silent, no_progress, first_event_timeout], max_attempts: 2}
  - {reasons: [rate_limited], require_retry_after: true}
resume: {strategy: auto, prompt: null, anchor_chars: 48, min_partial_chars: 64, min_overlap: 8, on_seam_mismatch: fail}
models: {"claude-haiku-*": {limits: {deadline: 2m}}}
raise_on_truncation: false
kill_switch: false
"""


def test_strict_raises_all_that_is_wrong():
    with pytest.raises(PolicyError) as caught:
        load_policy({"OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS": "9"}, {"mode": "retr"}, strict=True)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).splitlines() == [
        "environment: OTEL_CLAUDE_STREAM_LIMITS__MAX_ATTEMPTS='9' is not valid: allowed is a whole number from 1 to 5",
        "instrument(): mode='retr' is not valid: allowed is observe, retry or resume; did you mean retry?",
    ]
    assert len(caught.value.problems) == 2


def test_strict_does_not_raise_for_a_doubt():
    policy, problems = load_policy({}, {"mode": "retry", "watchdog": {"silence": "20s"}}, strict=True)
    assert (policy.watchdog, len(problems)) == (Watchdog(silence=20.0), 1)


def test_any_error_means_observe():
    """Also for what other places say rightly: a limit that is not understood may be the one that keeps costs down."""
    policy, problems = load_policy({"OTEL_CLAUDE_STREAM_MODE": "resume"}, {"limits": {"max_attempts": "two"}})
    assert (policy, len(problems)) == (DEFAULT, 1)


def broken(*_):
    raise KeyError("ours")


def test_a_failure_of_our_own_is_observe_too(monkeypatch):
    """Counted and logged where it is ours; raised in tests of this package."""
    monkeypatch.setattr(load_module, "policy_of", broken)
    with pytest.raises(KeyError):
        load_policy({}, {"mode": "retry"})
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    policy, (problem,) = load_policy({}, {"mode": "retry"})
    assert (policy, str(problem)) == (DEFAULT, "retry policy: it cannot be loaded: KeyError")


def test_who_said_what():
    found = load({"OTEL_CLAUDE_STREAM_MODE": "retry"}, {"limits": {"max_attempts": 2}})
    assert found.origin(("mode",)).name == "environment"
    assert found.origin(("mode",)).where(("mode",)) == "OTEL_CLAUDE_STREAM_MODE"
    assert found.origin(("limits", "max_attempts")).name == "instrument()"
    assert found.origin(("backoff", "base")).name == "default"


# --- Round trips ----------------------------------------------------------------------------------------------------
def policies():
    """Any policy whose values are right by themselves, as a file says it: of each key the value above, or nothing."""
    choices = {name: st.sampled_from([value[0], None]) for name, value in SAID.items() if name != "kill_switch"}

    def said(chosen):
        found = {}
        for name, value in chosen.items():
            if value is None:
                continue
            *sections, last = name.split(".")
            into = found
            for section in sections:
                into = into.setdefault(section, {})
            into[last] = value
        return found

    rules = st.lists(
        st.fixed_dictionaries(
            {"reasons": st.lists(st.sampled_from([reason.value for reason in AbortReason]), min_size=1, unique=True)},
            optional={
                "retry": st.booleans(),
                "resume": st.booleans(),
                "require_retry_after": st.booleans(),
                "max_attempts": st.integers(1, 3),
                "backoff": st.fixed_dictionaries({}, optional={"base": st.just("100ms"), "multiplier": st.just(4.0)}),
            },
        ),
        max_size=3,
    )
    part = st.builds(lambda chosen, rules: said(chosen) | ({"rules": rules} if rules else {}),
                     st.fixed_dictionaries(choices), rules)  # fmt: skip
    models = st.dictionaries(st.sampled_from(["claude-*", "claude-haiku-*", "*"]), part, max_size=2)
    return st.builds(
        lambda whole, models, killed: {**whole, "models": models, "kill_switch": killed}, part, models, st.booleans()
    )


@settings(max_examples=150, deadline=None)
@given(policies())
def test_a_policy_given_in_code_comes_out_as_it_is(said):
    policy, problems = load_policy({}, said)
    if errors(problems):
        return
    again, problems = load_policy({}, policy)
    assert errors(problems) == []
    assert again == policy


@settings(max_examples=100, deadline=None)
@given(policies())
def test_a_file_says_what_code_says(said):
    """YAML and JSON alike."""
    in_code = load_policy({}, said)
    for read in (read_json, read_yaml):
        assert load_policy({}, read(json.dumps(said), {}).said) == in_code


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from([*{name.split(".")[0] for name in SAID}, "models", "rules", "preset", "version"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=8), ANYTHING, max_size=4) | ANYTHING)
@example(RetryPolicy(limits=None))
@example(RetryPolicy(rules=(3,)))
@example(RetryPolicy(mode="often", limits=RetryLimits(max_attempts="3", deadline=float("nan"))))
@example(RetryPolicy(models=(("x", RetryPolicy(models=(("y", RetryPolicy()),))),)))
@example({"rules": [{"reasons": ["overloaded"]}] * 3, "models": {"": {}}})
@example({"limits": {3: 4}})
def test_nothing_that_code_gives_makes_loading_fail(given_by_code):
    policy, problems = load_policy({}, given_by_code)
    assert isinstance(policy, RetryPolicy)
    assert all(str(problem) for problem in problems)
    if errors(problems):
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
