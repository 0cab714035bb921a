"""Writes the generated tables of Markdown pages, which stand between markers, and the JSON Schema of policy files.

With ``--check``, writes nothing and exits with 1 if a file is out of date. Run it from the root of the repository, with
`src` on `PYTHONPATH`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from otel_claude_stream._config import SETTINGS, StreamConfig
from otel_claude_stream._config.policy.keys import KEYS, LISTS, PROCESS_KEYS, RULE_BACKOFF_DOC, RULE_KEYS, Key
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.schema import schema_text
from otel_claude_stream._config.value_types import DURATION_FORM, ValueType
from otel_claude_stream._core.durations import format_duration
from otel_claude_stream._core.retry.rules import BUILTIN_RULES, BuiltinRule, Veto
from otel_claude_stream._core.vocabulary import CALLER_REASONS, AbortReason
from otel_claude_stream._telemetry import schema
from otel_claude_stream._telemetry.spec import Attribute

_KINDS = {"observable_updowncounter": "up-down counter", "observable_gauge": "gauge"}
_MARKER = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


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
                f"`{x.name}`" + (f" (latest: `{x.latest}`)" if x.latest else ""),
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


def _code(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(f'{x:g}s' for x in value)}`"
    return f"`{value}`" if value != "" else "empty"


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
    return _table(head, [_key(key) for key in (*KEYS, *PROCESS_KEYS)])


def policy_rules() -> str:
    """Return the table of the keys of a rule."""
    reasons = ", ".join(f"`{reason.value}`" for reason in AbortReason if reason not in CALLER_REASONS)
    rows = [
        ("`reasons`", f"a list of {reasons}", LISTS["rules.reasons"]),
        *((f"`{key.path[-1]}`", key.type.allowed, key.doc) for key in RULE_KEYS),
        ("`backoff`", "a mapping with keys of `backoff`", RULE_BACKOFF_DOC),
    ]
    return _table(("Key", "Allowed", "Effect"), rows)


_VETOES = {
    Veto.UNLESS_SERVER: "only if the server requests it",
    Veto.UNLESS_RULE: "no, unless a rule enables it",
}


def policy_reasons() -> str:
    """Return the table of built-in rules."""

    def row(reason: AbortReason, builtin: BuiltinRule) -> Sequence[str]:
        base, cap = builtin.base, builtin.cap
        rates = f"{format_duration(base)} to {format_duration(cap)}" if base and cap else "as `backoff`"
        vetoed = _VETOES.get(builtin.veto, "no")
        again = "with `retry-after`" if builtin.require_retry_after else "yes"
        return (
            f"`{reason.value}`",
            again if builtin.retry and builtin.veto is Veto.NONE else vetoed,
            "yes" if builtin.resume else "no",
            str(builtin.max_attempts or "as `limits`"),
            "none" if builtin.cap == 0 else rates,
            builtin.why,
        )

    head = ("Reason", "Retried", "Resumed", "Attempts", "Back-off", "Why")
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


TABLES: dict[str, Callable[[], str]] = {
    "spans": spans,
    "events": events,
    "metrics": metrics,
    "attributes": attributes,
    "settings": settings,
    "policy": policy,
    "policy_rules": policy_rules,
    "policy_reasons": policy_reasons,
    "policy_presets": policy_presets,
}

PAGES: dict[str, Sequence[str]] = {
    "README.md": ("spans", "events", "metrics", "attributes", "settings"),
    "docs/retry-policy.md": ("policy", "policy_rules", "policy_reasons", "policy_presets"),
}
"""The generated tables in each page."""

GENERATED_FILES: dict[str, Callable[[], str]] = {"docs/retry-policy.schema.json": schema_text}
"""Files without handwritten parts."""


def with_new_tables(text: str) -> str:
    """Return the text with new tables. Raises `KeyError` if a marker names an unknown table."""
    return _MARKER.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the files. Return 1 if one is out of date or cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a file is out of date, and write nothing")
    parser.add_argument(
        "files", nargs="*", type=Path, default=[*map(Path, (*PAGES, *GENERATED_FILES))], help="default: all"
    )
    arguments = parser.parse_args(argv)
    stale = 0
    for path in arguments.files:
        whole = GENERATED_FILES.get(path.as_posix())
        try:
            old = path.read_text(encoding="utf-8") if path.exists() or whole is None else ""
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            stale += 1
            continue
        new = with_new_tables(old) if whole is None else whole()
        missing = [x for x in PAGES.get(path.as_posix(), ()) if f"<!-- generated: {x} -->" not in old]
        if missing:
            print(f"{path}: the markers of these tables are missing: {', '.join(missing)}", file=sys.stderr)
            stale += 1
        if new == old:
            continue
        if arguments.check:
            print(f"{path} is out of date: run `make docs`", file=sys.stderr)
            stale += 1
        else:
            path.write_text(new, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
