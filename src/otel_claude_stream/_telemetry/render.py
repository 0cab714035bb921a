"""The generated parts of the documentation: tables from the schema and the settings, put between markers, and the
JSON Schema of policy files.

``python -m otel_claude_stream._telemetry.render`` writes them, ``--check`` fails where they are out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from otel_claude_stream._config import SETTINGS, StreamConfig
from otel_claude_stream._config.durations import written
from otel_claude_stream._config.policy.keys import KEYS, KILL_SWITCH, LISTS, RULE_KEYS, Key
from otel_claude_stream._config.policy.presets import PRESETS
from otel_claude_stream._config.policy.value_types import Duration, Kind
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
    """The spans and their kinds."""
    return _table(("Span", "Kind", "What it is"), ((f"`{x.name}`", x.kind, x.doc) for x in schema.SPANS))


def events() -> str:
    """The events and their attributes."""
    return _table(
        ("Event", "When", "Attributes"), ((f"`{x.name}`", x.doc, _names(x.attributes)) for x in schema.EVENTS)
    )


def metrics() -> str:
    """The metrics with kinds, units and attributes."""
    return _table(
        ("Metric", "Kind, unit", "What it says", "Attributes"),
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
    """Every attribute of spans, events and metrics, once."""
    found: dict[str, Attribute] = {}
    groups = (
        *(x.attributes for x in schema.SPANS),
        *(x.attributes for x in schema.EVENTS),
        *(x.attributes for x in schema.METRICS),
    )
    for group in groups:
        found.update({attribute.name: attribute for attribute in group})
    return _table(
        ("Attribute", "Type, unit", "What it says", "Values"),
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


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(f'{x:g}s' for x in value)}`"
    return f"`{value}`" if value != "" else "empty"


def settings() -> str:
    """The settings with variables, defaults and what is allowed."""
    defaults = StreamConfig()
    return _table(
        ("Variable", "`instrument()`", "Default", "Allowed", "What it does"),
        ((f"`{x.variable}`", f"`{x.name}`", _shown(getattr(defaults, x.name)), x.allowed, x.doc) for x in SETTINGS),
    )


def _key(key: Key) -> Sequence[str]:
    value = key.default_written
    default = "`null`" if value is None else _shown(value)
    return f"`{key.name}`", default, _allowed(key.kind), key.doc, key.why


def _allowed(kind: Kind) -> str:
    """What is allowed; how a duration is written is said once."""
    if not isinstance(kind, Duration):
        return kind.allowed
    return f"a duration up to {written(kind.most)}{', or null' if kind.optional else ''}"


def policy() -> str:
    """The keys of a retry policy, with defaults and their reasons."""
    head = ("Key", "Default", "Allowed", "What it does", "Why this default")
    return _table(head, [_key(key) for key in (*KEYS, KILL_SWITCH)])


def policy_rules() -> str:
    """The keys of a rule."""
    reasons = ", ".join(f"`{reason.value}`" for reason in AbortReason if reason not in CALLER_REASONS)
    rows = [
        ("`reasons`", f"a list of {reasons}", LISTS["rules.reasons"]),
        *((f"`{key.path[-1]}`", key.kind.allowed, key.doc) for key in RULE_KEYS),
        ("`backoff`", "a mapping with keys of `backoff`", "As `backoff`; what it does not say is as there."),
    ]
    return _table(("Key", "Allowed", "What it does"), rows)


_VETOES = {
    Veto.UNLESS_SERVER: "only if the server requests it",
    Veto.UNLESS_RULE: "no, unless a rule enables it",
}


def policy_reasons() -> str:
    """The built-in rules."""

    def row(reason: AbortReason, builtin: BuiltinRule) -> Sequence[str]:
        rates = f"{written(builtin.base)} to {written(builtin.cap)}" if builtin.base and builtin.cap else "as `backoff`"
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
    """The presets, value by value."""
    rows = [
        (f"`{preset.name}`", f"`{choice.key}: {_written(choice.value)}`", choice.why)
        for preset in PRESETS.values()
        for choice in preset.choices
    ]
    return _table(("Preset", "Value", "Why"), rows)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def policy_schema() -> str:
    """The JSON Schema of policy files. Imports pydantic."""
    from otel_claude_stream._config.policy.schema import text

    return text()


PARTS: dict[str, Callable[[], str]] = {
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

DOCUMENTS: dict[str, Sequence[str]] = {
    "README.md": ("spans", "events", "metrics", "attributes", "settings"),
    "docs/retry-policy.md": ("policy", "policy_rules", "policy_reasons", "policy_presets"),
}
"""Files with generated parts, and which these are."""

WHOLE: dict[str, Callable[[], str]] = {"docs/retry-policy.schema.json": policy_schema}
"""Files that are generated as a whole."""


def render(text: str) -> str:
    """A text with its generated parts made anew. Raises `KeyError` for a part that nobody makes."""
    return _MARKER.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check. Exit code 1 where a file is out of date or cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m otel_claude_stream._telemetry.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a file is out of date, and write nothing")
    parser.add_argument("files", nargs="*", type=Path, default=[*map(Path, (*DOCUMENTS, *WHOLE))], help="default: all")
    arguments = parser.parse_args(argv)
    stale = 0
    for path in arguments.files:
        whole = WHOLE.get(path.as_posix())
        try:
            old = path.read_text(encoding="utf-8") if path.exists() or whole is None else ""
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            stale += 1
            continue
        new = render(old) if whole is None else whole()
        missing = [x for x in DOCUMENTS.get(path.as_posix(), ()) if f"<!-- generated: {x} -->" not in old]
        if missing:
            print(f"{path}: no markers for {', '.join(missing)}", file=sys.stderr)
            stale += 1
        if new == old:
            continue
        if arguments.check:
            print(f"{path} is out of date: run `make docs`", file=sys.stderr)
            stale += 1
        else:
            path.write_text(new, encoding="utf-8")
            print(f"{path} written")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
