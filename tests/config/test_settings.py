"""Load the settings from the environment and from arguments, and report invalid ones."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_claude_stream import StreamConfig
from otel_claude_stream._config import SETTINGS, load

DEFAULT = StreamConfig()
PREFIX = "OTEL_CLAUDE_STREAM_"

# For each setting: the value as text, the value in code, and the loaded value.
VALUES = {
    "enabled": ("false", False, False),
    "span": ("off", "off", "off"),
    "semconv": ("both", "both", "both"),
    "events": ("log", "log", "log"),
    "deltas": ("all", "all", "all"),
    "event_budget": ("32", 32, 32),
    "metrics": ("no", False, False),
    "gaps": ("both", "both", "both"),
    "stall_thresholds": ("500ms,10s,2m,1h", [0.5, 10, 120.0, "1h"], (0.5, 10.0, 120.0, 3600.0)),
    "known_limits": ("x0.5", "x0.5", "x0.5"),
    "max_models": ("5", 5, 5),
    "baggage_labels": (" tenant, user.tier ,tenant,", ["tenant", "user.tier"], ("tenant", "user.tier")),
    "max_label_values": ("5", 5, 5),
    "export_failures": ("once", "once", "once"),
    "feeds": ("yes", True, True),
}
# For each setting: invalid values.
INVALID = {
    "enabled": ["maybe", "2", "none"],
    "span": ["ever", "", "always,off"],
    "semconv": ["newest", "1.4", "0.10"],
    "events": ["spans", "all"],
    "deltas": ["some", "coalesced"],
    "event_budget": ["15", "10001", "-1", "many", "1e3", "3.5"],
    "metrics": ["maybe"],
    "gaps": ["all", "chunks", ""],
    "stall_thresholds": ["10", "10x", "30s,10s", "10s,10s", "0s", "-5s", "10 s x", "1s;2s"],
    "known_limits": ["x0", "fast", "idle:", "x-1"],
    "max_models": ["0", "1001", "few"],
    "baggage_labels": ["two words", "1st", "_a", "a.", "k" * 65, "a;b", "a,b,c,d,e,f,g,h,i"],
    "max_label_values": ["0", "1001", "few"],
    "export_failures": ["none", "twice"],
    "feeds": ["session", "2"],
}
CASES = [(name, value) for name, values in INVALID.items() for value in values]


def test_a_setting_is_loaded_from_the_environment():
    assert load({f"{PREFIX}EVENTS": "log"}) == (dataclasses.replace(DEFAULT, events="log"), ())


def test_this_file_covers_every_setting():
    names = [setting.name for setting in SETTINGS]
    assert names == [field.name for field in dataclasses.fields(StreamConfig)]
    assert list(VALUES) == list(INVALID) == names


def test_without_a_source_the_defaults_are_in_effect():
    assert load({}) == (DEFAULT, ())


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_is_read_from_the_environment(name):
    text, _, value = VALUES[name]
    assert value != getattr(DEFAULT, name)
    config, problems = load({PREFIX + name.upper(): f"  {text} "})
    assert (config, problems) == (dataclasses.replace(DEFAULT, **{name: value}), ())


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("form", [0, 1])
def test_each_setting_is_read_from_an_argument(name, form):
    """The argument may be text or have the type of the setting."""
    value = VALUES[name][2]
    config, problems = load({}, {name: VALUES[name][form]})
    assert (config, problems) == (dataclasses.replace(DEFAULT, **{name: value}), ())


def test_code_overrides_the_environment_which_overrides_the_base():
    base = dataclasses.replace(DEFAULT, span="always", events="none", deltas="none")
    environment = {f"{PREFIX}SPAN": "off", f"{PREFIX}EVENTS": "log"}
    config, problems = load(environment, {"span": "auto", "deltas": None}, base)
    assert (config, problems) == (dataclasses.replace(base, span="auto", events="log"), ())


def test_an_invalid_argument_leaves_the_value_of_the_environment():
    config, (problem,) = load({f"{PREFIX}SPAN": "off"}, {"span": "of"})
    assert config.span == "off"
    assert str(problem) == "instrument(): span='of' is not valid: allowed is auto, always or off; did you mean off?"


def test_an_empty_variable_counts_as_unset():
    """The OpenTelemetry specification requires it."""
    assert load({f"{PREFIX}{name.upper()}": "  " for name in VALUES}) == (DEFAULT, ())


@pytest.mark.parametrize("word", ["TRUE", "True", "1", "yes", "On"])
def test_words_may_be_in_upper_or_lower_case(word):
    assert load({f"{PREFIX}METRICS": word}, base=dataclasses.replace(DEFAULT, metrics=False)) == (DEFAULT, ())


@pytest.mark.parametrize(("name", "value"), [case for case in CASES if case[1].strip()])
def test_an_invalid_variable_is_one_problem_with_all_details(name, value):
    """It has the source, the value and what is allowed; the default stays in effect."""
    variable = PREFIX + name.upper()
    config, problems = load({variable: value})
    (problem,) = problems
    (setting,) = [setting for setting in SETTINGS if setting.name == name]
    assert config == DEFAULT
    assert (problem.source, problem.setting, problem.value) == ("environment", variable, value)
    assert setting.allowed in problem.allowed
    assert str(problem).startswith(f"environment: {variable}={value!r} is not valid: allowed is {setting.allowed}")


@pytest.mark.parametrize(("name", "value"), CASES)
def test_an_invalid_argument_is_one_problem(name, value):
    config, (problem,) = load({}, {name: value})
    assert config == DEFAULT
    assert (problem.source, problem.setting) == ("instrument()", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", 2), ("enabled", []), ("span", None.__class__), ("span", 1), ("event_budget", True),
        ("event_budget", 20.5), ("event_budget", []), ("stall_thresholds", 10), ("stall_thresholds", [True]),
        ("stall_thresholds", [None]), ("stall_thresholds", {1: 2}), ("stall_thresholds", [float("nan")]),
        ("stall_thresholds", [float("inf")]), ("max_models", object()), ("known_limits", 7),
    ],
)  # fmt: skip
def test_an_argument_of_the_wrong_type_is_a_problem(name, value):
    """Code may pass any object to `instrument()`."""
    config, problems = load({}, {name: value})
    assert config == DEFAULT
    assert [problem.setting for problem in problems] == [name]


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [("span", "of", "off"), ("semconv", "1.40", "1.41"), ("events", "spn", "span"), ("deltas", "al", "all"),
     ("span", "xyz", "")],
)  # fmt: skip
def test_a_problem_names_the_nearest_word(name, value, nearest):
    _, (problem,) = load({PREFIX + name.upper(): value})
    assert problem.nearest == nearest
    assert str(problem).endswith(f"; did you mean {nearest}?") is bool(nearest)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("OTEL_CLAUDE_STREAM_EVENT", "OTEL_CLAUDE_STREAM_EVENTS"),
        ("OTEL_CLAUDE_STREAM_STALL_THRESHOLD", "OTEL_CLAUDE_STREAM_STALL_THRESHOLDS"),
        ("OTEL_CLAUDE_STREAM_METRIC", "OTEL_CLAUDE_STREAM_METRICS"),
        ("OTEL_CLAUDE_STREAM_span", "OTEL_CLAUDE_STREAM_SPAN"),
    ],
)
def test_an_unknown_variable_is_a_problem_with_the_nearest_name(variable, nearest):
    config, (problem,) = load({variable: "x"})
    assert config == DEFAULT
    assert str(problem) == f"environment: {variable}='x' is not valid: no such setting; did you mean {nearest}?"


@pytest.mark.parametrize("key", ["fallback", "rules", "models", "version"])
def test_a_variable_for_a_key_that_only_files_set_is_a_problem_with_the_remedy(key):
    _, (problem,) = load({PREFIX + key.upper(): "x"})
    assert str(problem) == (
        f"environment: {PREFIX}{key.upper()}='x' is not valid: no variable sets {key} of the retry policy; set it in "
        f"the file that {PREFIX}CONFIG names, or in code"
    )


def test_an_unknown_argument_is_a_problem_with_the_nearest_name():
    config, (problem,) = load({}, {"event": "log"})
    assert config == DEFAULT
    assert str(problem) == "instrument(): event='log' is not valid: no such setting; did you mean events?"


@pytest.mark.parametrize("variable", ["STRICT", "AUTO", "CONFIG", "CONFIG__RETRY", "CONFIG__RETRY__ATTEMPTS"])
def test_variables_of_other_components_are_not_problems(variable):
    assert load({PREFIX + variable: "anything"}) == (DEFAULT, ())


def test_variables_without_the_prefix_are_ignored():
    assert load({"OTEL_SERVICE_NAME": "x", "OTEL_CLAUDE": "x", "HOME": "x", "": ""}) == (DEFAULT, ())


def test_every_problem_is_reported():
    environment = {f"{PREFIX}SPAN": "x", f"{PREFIX}EVENTS": "y", f"{PREFIX}SPANN": "z", f"{PREFIX}DELTAS": "all"}
    config, problems = load(environment, {"max_models": 0, "max_model": 1})
    assert config == dataclasses.replace(DEFAULT, deltas="all")
    assert [problem.setting for problem in problems] == [
        "OTEL_CLAUDE_STREAM_SPANN", "max_model", "OTEL_CLAUDE_STREAM_EVENTS", "OTEL_CLAUDE_STREAM_SPAN", "max_models",
    ]  # fmt: skip


NAMES = st.one_of(
    st.text(max_size=30),
    st.sampled_from([setting.variable for setting in SETTINGS]),
    st.text(max_size=12).map(lambda text: PREFIX + text),
)


@settings(max_examples=300)
@given(st.dictionaries(NAMES, st.text(max_size=40), max_size=6))
@example({f"{PREFIX}EVENT_BUDGET": "9" * 5000})
@example({f"{PREFIX}STALL_THRESHOLDS": "9" * 400 + "h"})
@example({f"{PREFIX}KNOWN_LIMITS": "x" + "9" * 400})
@example({f"{PREFIX}EVENT_BUDGET": "\u0663\u0662"})
def test_no_environment_makes_loading_fail(environment):
    """Each variable causes at most one problem."""
    config, problems = load(environment)
    assert isinstance(config, StreamConfig)
    assert len({problem.setting for problem in problems}) == len(problems)
    assert all(str(problem) for problem in problems)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(list(VALUES)) | st.text(max_size=8), ANYTHING, max_size=4))
def test_no_arguments_make_loading_fail(arguments):
    config, _ = load({}, arguments)
    assert isinstance(config, StreamConfig)


class Unprintable:
    """An object whose `__str__` raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("name", [*VALUES, "nothing"])
def test_an_argument_that_raises_is_a_problem(name):
    config, problems = load({}, {name: Unprintable()})
    assert config == DEFAULT
    assert [problem.setting for problem in problems] == [name]


@pytest.mark.parametrize(
    ("environment", "arguments", "setting", "new"),
    [
        ({"SPAN": "own"}, {}, "environment: OTEL_CLAUDE_STREAM_SPAN='own'", "always"),
        ({"GAPS": " OWN "}, {}, "environment: OTEL_CLAUDE_STREAM_GAPS=' OWN '", "claude_stream"),
        ({"LIMITS": "x2"}, {}, "environment: OTEL_CLAUDE_STREAM_LIMITS='x2'", "OTEL_CLAUDE_STREAM_KNOWN_LIMITS"),
        ({}, {"span": "own"}, "instrument(): span='own'", "always"),
        ({}, {"gaps": "own"}, "instrument(): gaps='own'", "claude_stream"),
        ({"SEMCONV": "released"}, {}, "environment: OTEL_CLAUDE_STREAM_SEMCONV='released'", "1.41"),
        ({}, {"semconv": "latest"}, "instrument(): semconv='latest'", "0.1"),
        ({}, {"limits": "x2"}, "instrument(): limits='x2'", "known_limits"),
    ],
)
def test_a_renamed_setting_is_one_problem_that_names_the_new_name(environment, arguments, setting, new):
    config, (problem,) = load({PREFIX + name: value for name, value in environment.items()}, arguments)
    assert config == DEFAULT
    assert str(problem) == f"{setting} is not valid: it was renamed to {new!r} and has no effect under its old name"


def test_an_old_value_of_another_setting_is_not_a_renamed_one():
    _, (problem,) = load({f"{PREFIX}EVENTS": "own"})
    assert problem.allowed == "allowed is span, log, both or none"


OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
OPTED_IN = "gen_ai_latest_experimental"


@pytest.mark.parametrize(
    ("listed", "semconv"),
    [
        (OPTED_IN, "0.1"),
        (f"http, {OPTED_IN} ,database/dup", "0.1"),
        ("", "1.41"),
        ("http/dup,database", "1.41"),
        (f"{OPTED_IN}_2", "1.41"),
        (f"http {OPTED_IN}", "1.41"),
    ],
)
def test_the_opt_in_selects_version_0_1_of_the_conventions(listed, semconv):
    assert load({OPT_IN: listed}) == (dataclasses.replace(DEFAULT, semconv=semconv), ())


@pytest.mark.parametrize("version", [1.41, 0.1])
def test_a_version_of_the_conventions_may_be_a_number(version):
    """In a configuration file, YAML reads a version without quotes as a number."""
    assert load({}, {"semconv": version}) == (dataclasses.replace(DEFAULT, semconv=str(version)), ())


@pytest.mark.parametrize("semconv", ["1.41", "both", "0.1"])
def test_the_setting_overrides_the_opt_in(semconv):
    in_environment, _ = load({OPT_IN: OPTED_IN, f"{PREFIX}SEMCONV": semconv})
    in_code, _ = load({OPT_IN: OPTED_IN}, {"semconv": semconv})
    assert in_environment == in_code == dataclasses.replace(DEFAULT, semconv=semconv)
