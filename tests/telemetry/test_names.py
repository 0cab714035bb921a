"""The rules that every public name follows, each with a name that breaks it.

Attributes and metrics are one tree of names, and so are events, and so are environment variables: in each, a name is a
leaf or a namespace. An event or a span may bear the name of the namespace that its attributes are in, as
OpenTelemetry's `exception` does (`exception.type`). The names of the GenAI, `http`, `server` and `error` conventions
are theirs; only the rules of the tree, of spellings and of closed sets look at them.
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
from otel_claude_stream._config.policy.value_types import Choice
from otel_claude_stream._core.retry.policy import Rule
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, Metric, SpanEvent

OURS = "claude.stream."
FORM = re.compile(r"claude\.stream(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+")
WORD = re.compile(r"[a-z][a-z0-9]*([_.][a-z0-9]+)*")

DURATION_WORDS = frozenset({"after", "age", "delay", "duration", "elapsed", "gap", "idle", "silence", "time"})
"""One of them is in the last part of a name if and only if its values are seconds."""
ORDINALS = frozenset({"errno", "index", "number"})
"""Last parts of the whole numbers that are no quantity, and have no unit."""
NO_NUMBERS = frozenset({"string", "string[]", "boolean"})

ATTRIBUTES = {
    attribute.name: attribute
    for owner in (*schema.SPANS, *schema.EVENTS, *schema.METRICS)
    for attribute in owner.attributes
}
Named = Attribute | Metric | SpanEvent


def last(name: str) -> str:
    return name.rpartition(".")[2]


def of_ours(specs: Iterable[Named]) -> Iterator[Named]:
    return (spec for spec in specs if spec.name.startswith(OURS))


# --- The rules: each yields the names that break it ---------------------------------------------------------------
def leaves_that_are_namespaces(names: Iterable[str], separator: str = ".") -> Iterator[str]:
    """A name is a leaf or a namespace, never both."""
    every = set(names)
    return (name for name in every if any(other.startswith(name + separator) for other in every))


def ill_formed(specs: Iterable[Named]) -> Iterator[str]:
    """Lower case, dots between namespaces, underscores between words."""
    return (spec.name for spec in of_ours(specs) if spec is not schema.UNKNOWN and not FORM.fullmatch(spec.name))


def numbers_without_units(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """Every quantity declares its unit, and nothing else does."""
    for spec in of_ours(specs):
        if isinstance(spec, Metric):
            quantity = True
        else:
            quantity = spec.type not in NO_NUMBERS and not (spec.type == "int" and last(spec.name) in ORDINALS)
        if quantity is not bool(spec.unit):
            yield spec.name


def durations_without_saying_so(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """The name of a duration shows that it is one, and its unit is the second."""
    for spec in of_ours(specs):
        says_so = bool(DURATION_WORDS & set(last(spec.name).split("_")))
        number = isinstance(spec, Metric) or spec.type not in NO_NUMBERS
        if number and says_so is not (spec.unit == "s"):
            yield spec.name


def counts_without_saying_so(specs: Iterable[Attribute]) -> Iterator[str]:
    """An amount is `<thing>.count`, or its last part names what is counted: `.bytes`, `.characters`, `.input_tokens`.

    A part of the things of a namespace may have a participle instead: `event.dropped`. The unit is the thing.
    """
    for spec in of_ours(specs):
        if spec.type not in {"int", "int[]"} or not spec.unit:
            continue
        thing = {"By": "byte"}.get(spec.unit, spec.unit.strip("{}"))
        namespace, end = spec.name.rsplit(".", 1)
        is_count = end == "count" or end.endswith("ed")
        named = namespace != OURS.rstrip(".") and end.split("_")[-1] == f"{thing}s"
        if not (last(namespace) == thing if is_count else named):
            yield spec.name


def plurals(specs: Iterable[Attribute | Metric]) -> Iterator[str]:
    """A plural is a counter, a list, or the unit of an amount; a namespace is none."""
    for spec in of_ours(specs):
        *namespaces, end = spec.name.removeprefix(OURS).split(".")
        listed = isinstance(spec, Attribute) and spec.type.endswith("[]")
        amount = bool(spec.unit) or (isinstance(spec, Metric) and spec.kind == "counter")
        plural_leaf = end.endswith("s") and not (listed or amount)
        if plural_leaf or any(part.endswith("s") and part != "output_tokens" for part in namespaces):
            yield spec.name


def two_spellings(attributes: Iterable[Attribute], metrics: Iterable[Metric]) -> Iterator[str]:
    """One thing has one name and one unit, on spans and on metrics."""
    attributes, metrics = list(attributes), list(metrics)
    for one, other in combinations(sorted({spec.name for spec in (*attributes, *metrics)}), 2):
        if one.replace(".", "_") == other.replace(".", "_"):  # as Prometheus has them
            yield f"{one} {other}"
    for attribute in of_ours(attributes):
        for metric in metrics:
            if attribute.name == metric.name and attribute.unit != metric.unit:
                yield attribute.name


def words_of_closed_sets(specs: Iterable[Attribute]) -> Iterator[str]:
    """Values of closed sets are lower-case words, and none is `own`."""
    for spec in specs:
        for value in spec.values:
            if value == "own" or not WORD.fullmatch(value):
                yield f"{spec.name}={value}"


# --- What the package declares --------------------------------------------------------------------------------------
METRIC_NAMES = {name for metric in schema.METRICS for name in (metric.name, metric.latest) if name}
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
        (durations_without_saying_so, (QUANTITIES,)),
        (counts_without_saying_so, (ATTRIBUTES.values(),)),
        (plurals, (QUANTITIES,)),
        (two_spellings, (ATTRIBUTES.values(), schema.METRICS)),
        (words_of_closed_sets, (ATTRIBUTES.values(),)),
    ],
)
def test_every_public_name_follows_the_rules(rule, names):
    assert sorted(rule(*names)) == []


def test_no_setting_takes_the_word_own():
    taken = {setting.name: setting.allowed for setting in SETTINGS}
    taken |= {key.name: key.type.allowed for key in (*HEAD, *KEYS, *RULE_KEYS) if isinstance(key.type, Choice)}
    assert [name for name, allowed in taken.items() if re.search(r"\bown\b", allowed)] == []


def test_no_key_of_a_rule_is_a_word_that_yaml_1_1_reads_as_something_else():
    keys = {field.name for field in dataclasses.fields(Rule)}
    assert keys & {"y", "n", "yes", "no", "on", "off", "true", "false", "null"} == set()


def test_every_new_name_is_in_force_and_no_old_one_is():
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
        words = re.findall(r"\w+", allowed)
        assert new in words, name
        assert old not in words, name
    assert KILL_SWITCH.variable in SETTING_VARIABLES


# --- Each rule bites ------------------------------------------------------------------------------------------------
def attribute(name: str, type_: str = "string", unit: str = "", values: tuple[str, ...] = ()) -> Attribute:
    return Attribute(OURS + name, type_, "", values, unit)  # type: ignore[arg-type] # made-up ones


def metric(name: str, kind: str = "histogram", unit: str = "s") -> Metric:
    return Metric(OURS + name, kind, unit, "", ())  # type: ignore[arg-type] # as above


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
        (durations_without_saying_so, [attribute("event.span", "double", "s")],
         [attribute("event.duration", "double", "s")]),
        (durations_without_saying_so, [metric("retry.delay", unit="ms")], [metric("retry.delay")]),
        (counts_without_saying_so, [attribute("reads", "int", "{read}")], [attribute("read.count", "int", "{read}")]),
        (counts_without_saying_so, [attribute("read.size", "int", "By")], [attribute("read.bytes", "int", "By")]),
        (counts_without_saying_so, [attribute("event.count", "int", "{read}")],
         [attribute("event.dropped", "int", "{event}")]),
        (plurals, [attribute("attempts.characters", "int[]", "{character}")],
         [attribute("attempt.characters", "int[]", "{character}")]),
        (plurals, [attribute("abort.reasons")], [attribute("abort.suspects", "string[]")]),
        (plurals, [metric("retries.delay")], [metric("retries", "counter", "{retry}")]),
        (words_of_closed_sets, [attribute("api", values=("own",))], [attribute("api", values=("beta.messages",))]),
        (words_of_closed_sets, [attribute("api", values=("Beta messages",))], [attribute("api", values=("beta",))]),
    ],
)  # fmt: skip
def test_a_rule_finds_a_name_that_breaks_it_and_no_other(rule, bad, good):
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


def test_variables_of_settings_and_keys_are_one_tree():
    bad = {"OTEL_CLAUDE_STREAM_LIMITS", "OTEL_CLAUDE_STREAM_LIMITS__DEADLINE", "OTEL_CLAUDE_STREAM_LIMITS_2"}
    assert list(leaves_that_are_namespaces(bad, "__")) == ["OTEL_CLAUDE_STREAM_LIMITS"]
