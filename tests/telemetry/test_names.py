"""The rules for public names, each with names that break it.

Attributes and metrics share one tree of names. Events have another tree, and so have environment variables. In each, a
name is a leaf or a namespace. An event or a span may have the name of its attributes' namespace, as OpenTelemetry's
`exception` does (`exception.type`). Names of the GenAI, `http`, `server` and `error` conventions need to follow
only the rules on the tree, on spellings and on closed sets.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from itertools import combinations

import pytest

from otel_claude_stream import StreamConfig
from otel_claude_stream._config import SETTINGS, renamed
from otel_claude_stream._config.policy.keys import HEAD, KEYS, KILL_SWITCH, RULE_KEYS, variables
from otel_claude_stream._core.retry.policy import Rule
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, Metric, SpanEvent

PREFIX = "claude.stream."
FORM = re.compile(r"claude\.stream(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+")
WORD = re.compile(r"[a-z][a-z0-9]*([_.][a-z0-9]+)*")

DURATION_WORDS = frozenset({"after", "age", "delay", "duration", "elapsed", "gap", "idle", "silence", "time", "wait"})
"""The last part of a name contains one of them if and only if its values are seconds."""
ORDINALS = frozenset({"errno", "index", "number"})
"""Last parts of the names of integers that are no quantity and have no unit."""
NO_NUMBERS = frozenset({"string", "string[]", "boolean"})

ATTRIBUTES = {
    attribute.name: attribute
    for owner in (*schema.SPANS, *schema.EVENTS, *schema.METRICS)
    for attribute in owner.attributes
}
Named = Attribute | Metric | SpanEvent


def last_part(name: str) -> str:
    return name.rpartition(".")[2]


def with_prefix(specs: Iterable[Named]) -> Iterator[Named]:
    return (spec for spec in specs if spec.name.startswith(PREFIX))


# --- The rules. Each yields the names that break it. -----------------------------------------------------------------
def leaves_that_are_namespaces(names: Iterable[str], separator: str = ".") -> Iterator[str]:
    """A name is a leaf or a namespace, never both."""
    unique = set(names)
    return (name for name in unique if any(other.startswith(name + separator) for other in unique))


PATTERNS = (schema.UNKNOWN, schema.a.LABEL)
"""Declarations that stand for several names."""


def ill_formed(specs: Iterable[Named]) -> Iterator[str]:
    """Lower case, dots between namespaces, underscores between words."""
    return (spec.name for spec in with_prefix(specs) if spec not in PATTERNS and not FORM.fullmatch(spec.name))


def numbers_without_units(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """A quantity has a unit. Other values have none."""
    for spec in with_prefix(specs):
        if isinstance(spec, Metric):
            quantity = True
        else:
            quantity = spec.type not in NO_NUMBERS and not (spec.type == "int" and last_part(spec.name) in ORDINALS)
        if quantity is not bool(spec.unit):
            yield spec.name


def durations_without_a_duration_word(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """The name of a duration shows that it is one, and its unit is the second."""
    for spec in with_prefix(specs):
        has_word = bool(DURATION_WORDS & set(last_part(spec.name).split("_")))
        number = isinstance(spec, Metric) or spec.type not in NO_NUMBERS
        if number and has_word is not (spec.unit == "s"):
            yield spec.name


def amounts_without_thing(specs: Iterable[Attribute]) -> Iterator[str]:
    """An amount ends in `<thing>.count`, or in the plural of the thing: `.bytes`, `.characters`, `.input_tokens`.

    A subset of the things may end in a participle instead, such as `event.dropped`. The unit is the thing.
    """
    for spec in with_prefix(specs):
        if spec.type not in {"int", "int[]"} or not spec.unit:
            continue
        thing = {"By": "byte"}.get(spec.unit, spec.unit.strip("{}"))
        namespace, end = spec.name.rsplit(".", 1)
        is_count = end == "count" or end.endswith("ed")
        named = namespace != PREFIX.rstrip(".") and end.split("_")[-1] == f"{thing}s"
        if not (last_part(namespace) == thing if is_count else named):
            yield spec.name


def plurals(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """A plural names a counter, a list or an amount, never a namespace."""
    for spec in with_prefix(specs):
        *namespaces, end = spec.name.removeprefix(PREFIX).split(".")
        listed = isinstance(spec, Attribute) and spec.type.endswith("[]")
        amount = bool(spec.unit) or (isinstance(spec, Metric) and spec.kind == "counter")
        plural_leaf = end.endswith("s") and not (listed or amount)
        if plural_leaf or any(part.endswith("s") and part != "output_tokens" for part in namespaces):
            yield spec.name


def two_spellings(attributes: Iterable[Attribute], metrics: Iterable[Metric]) -> Iterator[str]:
    """The same thing has the same name and unit on spans and on metrics."""
    attributes, metrics = list(attributes), list(metrics)
    for one, other in combinations(sorted({spec.name for spec in (*attributes, *metrics)}), 2):
        if one.replace(".", "_") == other.replace(".", "_"):  # the spelling in Prometheus
            yield f"{one} {other}"
    for attribute in with_prefix(attributes):
        for metric in metrics:
            if attribute.name == metric.name and attribute.unit != metric.unit:
                yield attribute.name


def ill_formed_values(specs: Iterable[Attribute]) -> Iterator[str]:
    """Values of closed sets are lower-case words, and never `own`."""
    for spec in specs:
        for value in spec.values:
            if value == "own" or not WORD.fullmatch(value):
                yield f"{spec.name}={value}"


# --- The names that the package declares -----------------------------------------------------------------------------
METRIC_NAMES = {name for metric in schema.METRICS for name in (metric.name, metric.name_0_1) if name}
SETTING_VARIABLES = {setting.variable for setting in SETTINGS} | set(variables())


QUANTITIES = (*ATTRIBUTES.values(), *schema.METRICS)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (leaves_that_are_namespaces, (ATTRIBUTES.keys() | METRIC_NAMES,)),
        (leaves_that_are_namespaces, ([event.name for event in schema.EVENTS],)),
        (leaves_that_are_namespaces, (SETTING_VARIABLES, "__")),
        (ill_formed, ((*QUANTITIES, *schema.EVENTS),)),
        (numbers_without_units, (QUANTITIES,)),
        (durations_without_a_duration_word, (QUANTITIES,)),
        (amounts_without_thing, (ATTRIBUTES.values(),)),
        (plurals, (QUANTITIES,)),
        (two_spellings, (ATTRIBUTES.values(), schema.METRICS)),
        (ill_formed_values, (ATTRIBUTES.values(),)),
    ],
)
def test_every_public_name_follows_the_rules(rule, names):
    assert sorted(rule(*names)) == []


def test_no_setting_accepts_the_value_own():
    accepted = {setting.name: setting.allowed for setting in SETTINGS}
    accepted |= {key.name: key.type.allowed for key in (*HEAD, *KEYS, *RULE_KEYS) if key.type.words}
    assert [name for name, allowed in accepted.items() if re.search(r"\bown\b", allowed)] == []


def test_no_key_of_a_rule_is_a_boolean_or_null_in_yaml_1_1():
    keys = {field.name for field in dataclasses.fields(Rule)}
    assert keys & {"y", "n", "yes", "no", "on", "off", "true", "false", "null"} == set()


def test_the_new_names_of_settings_and_keys_exist_and_the_old_ones_do_not():
    settings = {setting.name: setting for setting in SETTINGS}
    keys = {key.name: key for key in KEYS}
    assert set(renamed.SETTINGS.values()) <= set(settings)
    assert not set(renamed.SETTINGS) & set(settings)
    assert set(renamed.SETTINGS.values()) <= {field.name for field in dataclasses.fields(StreamConfig)}
    rule = {field.name for field in dataclasses.fields(Rule)}
    assert set(renamed.RULE_KEYS.values()) <= rule
    assert not set(renamed.RULE_KEYS) & rule
    for (name, old), new in renamed.VALUES.items():
        allowed = settings[name].allowed if name in settings else keys[name].type.allowed
        words = re.findall(r"[\w.]+", allowed)
        assert new in words, name
        assert old not in words, name
    assert KILL_SWITCH.variable in SETTING_VARIABLES


# --- Each rule finds names that break it -----------------------------------------------------------------------------
def attribute(name: str, type_: str = "string", unit: str = "", values: tuple[str, ...] = ()) -> Attribute:
    return Attribute(PREFIX + name, type_, "", values, unit)  # type: ignore[arg-type] # any string


def metric(name: str, kind: str = "histogram", unit: str = "s") -> Metric:
    return Metric(PREFIX + name, kind, unit, "", ())  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (leaves_that_are_namespaces, ["a.events", "a.events.dropped"], ["a.event.count", "a.event.dropped"]),
        (leaves_that_are_namespaces, ["a.active", "a.active.oldest"], ["a.active", "a.active_oldest"]),
        (ill_formed, [attribute("Event.count")], [attribute("event.count")]),
        (ill_formed, [metric("event..gap")], [metric("event.gap")]),
        (ill_formed, [SpanEvent("claude.stream.message-start", "")], [SpanEvent("claude.stream.message_start", "")]),
        (numbers_without_units, [attribute("event.count", "int")], [attribute("event.count", "int", "{event}")]),
        (numbers_without_units, [attribute("event.gap", "double")], [attribute("attempt.number", "int")]),
        (numbers_without_units, [attribute("phase", "string", "{phase}")], [attribute("phase")]),
        (numbers_without_units, [metric("aborts", "counter", "")], [metric("aborts", "counter", "{stream}")]),
        (durations_without_a_duration_word, [attribute("event.span", "double", "s")],
         [attribute("event.duration", "double", "s")]),
        (durations_without_a_duration_word, [metric("retry.delay", unit="ms")], [metric("retry.delay")]),
        (amounts_without_thing, [attribute("reads", "int", "{read}")], [attribute("read.count", "int", "{read}")]),
        (amounts_without_thing, [attribute("read.size", "int", "By")], [attribute("read.bytes", "int", "By")]),
        (amounts_without_thing, [attribute("event.count", "int", "{read}")],
         [attribute("event.dropped", "int", "{event}")]),
        (plurals, [attribute("attempts.characters", "int[]", "{character}")],
         [attribute("attempt.characters", "int[]", "{character}")]),
        (plurals, [attribute("abort.reasons")], [attribute("abort.suspects", "string[]")]),
        (plurals, [metric("retries.delay")], [metric("retries", "counter", "{retry}")]),
        (ill_formed_values, [attribute("api", values=("own",))], [attribute("api", values=("beta.messages",))]),
        (ill_formed_values, [attribute("api", values=("Beta messages",))], [attribute("api", values=("beta",))]),
    ],
)  # fmt: skip
def test_a_rule_finds_only_names_that_break_it(rule, bad, good):
    assert list(rule(bad))
    assert list(rule(good)) == []


@pytest.mark.parametrize(
    ("attributes", "metrics", "found"),
    [
        ([attribute("consumer_time", "double", "s")], [metric("consumer.time")], 1),
        ([attribute("caller.time", "double", "s")], [metric("caller.time")], 0),
        ([attribute("retry.budget", "int", "{retry}")], [metric("retry.budget", "observable_gauge", "{request}")], 1),
        ([attribute("retry.budget", "int", "{retry}")], [metric("retry.budget", "observable_gauge", "{retry}")], 0),
    ],
)
def test_a_second_spelling_of_the_same_thing_is_found(attributes, metrics, found):
    assert len(list(two_spellings(attributes, metrics))) == found


def test_a_variable_that_is_a_namespace_of_others_is_found():
    bad = {"OTEL_CLAUDE_STREAM_LIMITS", "OTEL_CLAUDE_STREAM_LIMITS__DEADLINE", "OTEL_CLAUDE_STREAM_LIMITS_2"}
    assert list(leaves_that_are_namespaces(bad, "__")) == ["OTEL_CLAUDE_STREAM_LIMITS"]
