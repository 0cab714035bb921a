"""Generate the tables of the documentation, which its build inserts, and the JSON Schema of policy files.

Run as a script, it writes the schema. With ``--check``, it writes nothing and exits with 1 if the file is out of date.
Run it from the root of the repository, with `src` on `PYTHONPATH`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from otel_claude_stream._config import SETTINGS, StreamConfig
from otel_claude_stream._config.policy.keys import KEYS, PROCESS_KEYS, RULE_KEYS, Key
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.schema import RULE, schema_text
from otel_claude_stream._config.value_types import DURATION_FORM, ValueType
from otel_claude_stream._core.diagnosis.limit_table import KNOWN_LIMITS
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.rules import BUILTIN_RULES, BuiltinRule, Veto
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute, names_under
from otel_claude_stream.cli.demo.scenarios import SCENARIOS

SOURCES = Path("docs/reference/sources.json")
"""Verdicts of each source, as `tests/collector/test_sources.py` measures them."""

_KINDS = {"observable_updowncounter": "up-down counter", "observable_gauge": "gauge"}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _names(attributes: Iterable[Attribute]) -> str:
    return ", ".join(f"`{attribute.name}`" for attribute in attributes) or "none"


def spans() -> str:
    """Return the table of spans."""
    return _table(("Span", "Kind", "Description"), ((f"`{x.name}`", x.kind, x.doc) for x in schema.SPANS))


def events() -> str:
    """Return the table of events."""
    return _table(
        ("Event", "When", "Attributes"), ((f"`{x.name}`", x.doc, _names(x.attributes)) for x in schema.EVENTS)
    )


def metrics() -> str:
    """Return the table of metrics."""
    return _table(
        ("Metric", "Kind, unit", "Description", "Attributes"),
        (
            (
                f"`{x.name}`" + (f" (0.1: `{x.name_0_1}`)" if x.name_0_1 else ""),
                f"{_KINDS.get(x.kind, x.kind)}, `{x.unit}`",
                x.doc,
                _names(x.attributes),
            )
            for x in schema.METRICS
        ),
    )


def attributes() -> str:
    """Return the table of all attributes of spans, events and metrics."""
    found: dict[str, Attribute] = {}
    groups = (
        *(x.attributes for x in schema.SPANS),
        *(x.attributes for x in schema.EVENTS),
        *(x.attributes for x in schema.METRICS),
        schema.SET_ELSEWHERE,
    )
    for group in groups:
        found.update({attribute.name: attribute for attribute in group})
    return _table(
        ("Attribute", "Type, unit", "Description", "Values"),
        (
            (
                f"`{x.name}`",
                x.type + (f", `{x.unit}`" if x.unit else ""),
                x.doc,
                ", ".join(f"`{value}`" for value in x.values),
            )
            for x in sorted(found.values(), key=lambda x: (not x.name.startswith("claude."), x.name))
        ),
    )


def conventions() -> str:
    """Return the table of the names of the GenAI conventions under each value of `semconv`."""
    specs = {
        "attribute": {x.name: x for owner in (*schema.SPANS, *schema.METRICS) for x in owner.attributes},
        "metric": {x.name: x for x in schema.METRICS},
        "event": {x.name: x for x in schema.EVENTS},
    }
    return _table(
        ("Signal", "1.41", "0.1"),
        (
            (signal, *(", ".join(f"`{name}`" for name in names_under(spec, version)) for version in ("1.41", "0.1")))
            for signal, found in specs.items()
            for name, spec in sorted(found.items())
            if name.startswith("gen_ai.")
        ),
    )


def _code(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple) and value:
        return f"`{','.join(f'{x:g}s' for x in value)}`"
    return f"`{value}`" if value not in ("", ()) else "empty"


def settings() -> str:
    """Return the table of settings."""
    defaults = StreamConfig()
    return _table(
        ("Variable", "`instrument()`", "Default", "Allowed", "Effect"),
        ((f"`{x.variable}`", f"`{x.name}`", _code(getattr(defaults, x.name)), x.allowed, x.doc) for x in SETTINGS),
    )


def _key(key: Key) -> Sequence[str]:
    value = key.default_text
    default = "`null`" if value is None else _code(value)
    return f"`{key.name}`", default, _allowed(key.type), key.doc, key.why


def _allowed(value_type: ValueType) -> str:
    """Return the allowed values. The page explains the format of a duration once."""
    return value_type.allowed.replace(DURATION_FORM, "a duration ")


def policy() -> str:
    """Return the table of the keys of a retry policy."""
    head = ("Key", "Default", "Allowed", "Effect", "Why this default")
    return _table(head, [_key(key) for key in (*KEYS, *PROCESS_KEYS) if len(key.path) < 3])


def policy_rules() -> str:
    """Return the table of the keys of a rule."""
    reasons = ", ".join(f"`{reason.value}`" for reason in AbortReason if reason not in CALLER_REASONS)
    rows = [
        ("`reasons`", f"a list of {reasons}", RULE.children["reasons"].doc),
        *((f"`{key.path[-1]}`", key.type.allowed, key.doc) for key in RULE_KEYS),
        ("`backoff`", "a mapping with keys of `backoff`", RULE.children["backoff"].doc),
    ]
    return _table(("Key", "Allowed", "Effect"), rows)


_VETOES = {
    Veto.UNLESS_SERVER: "only if the server requests it",
    Veto.UNLESS_RULE: "no, unless a rule enables it",
}


def policy_reasons() -> str:
    """Return the table of built-in rules."""

    def row(reason: AbortReason, builtin: BuiltinRule) -> Sequence[str]:
        base, cap = builtin.backoff or (0.0, 0.0)
        rates = f"{format_duration(base)} to {format_duration(cap)}" if base else "as `backoff`"
        vetoed = _VETOES.get(builtin.veto, "no")
        again = "with `retry-after`" if builtin.require_retry_after else "yes"
        return (
            f"`{reason.value}`",
            again if builtin.retry and builtin.veto is Veto.NONE else vetoed,
            "yes" if builtin.resume else "no",
            "yes" if builtin.fallback else "no",
            str(builtin.max_attempts or "as `limits`"),
            "none" if builtin.backoff == (0.0, 0.0) else rates,
            builtin.why,
        )

    head = ("Reason", "Retried", "Resumed", "Fallback", "Attempts", "Back-off", "Why")
    return _table(head, [row(x, builtin) for x, builtin in BUILTIN_RULES.items() if x not in CALLER_REASONS])


def policy_presets() -> str:
    """Return the table of presets."""
    rows = [
        (f"`{preset.name}`", f"`{entry.key}: {_written(entry.value)}`", entry.why)
        for preset in PRESETS.values()
        for entry in preset.entries
    ]
    return _table(("Preset", "Value", "Why"), rows)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def limits() -> str:
    """Return the table of known limits."""
    rows = (
        (f"{x.kind.value}:{x.seconds:g}s", x.name, f"`{x.setting}`" if x.setting else "fixed", x.source)
        for x in sorted(KNOWN_LIMITS, key=lambda x: (x.kind.value, x.seconds, x.name))
    )
    return _table(("Limit", "Product", "Setting", "Source"), rows)


def sources() -> str:
    """Return the table of what each source of metrics shows of the scenarios of the demo."""
    found = json.loads(SOURCES.read_text(encoding="utf-8"))
    head = ("Scenario", "This package", "Span of the Python SDK", "Span of the TypeScript SDK", "Span of the Go SDK")
    return _table(head, ((scenario.title, *found[scenario.name].values()) for scenario in SCENARIOS))


TABLES: dict[str, Callable[[], str]] = {
    "spans": spans,
    "events": events,
    "metrics": metrics,
    "conventions": conventions,
    "attributes": attributes,
    "settings": settings,
    "limits": limits,
    "sources": sources,
    "policy": policy,
    "policy_rules": policy_rules,
    "policy_reasons": policy_reasons,
    "policy_presets": policy_presets,
}
"""The tables that a page may contain, by the name in its directive."""

SCHEMA = Path("docs/retry-policy.schema.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the JSON Schema. Return 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if it is out of date")
    arguments = parser.parse_args(argv)
    new = schema_text()
    if SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == new:
        return 0
    if arguments.check:
        print(f"{SCHEMA} is out of date: run `make docs`", file=sys.stderr)
        return 1
    SCHEMA.write_text(new, encoding="utf-8")
    print(f"wrote {SCHEMA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
