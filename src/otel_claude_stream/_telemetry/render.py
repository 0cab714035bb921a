"""The generated parts of the documentation: tables from the schema and the settings, put between markers.

``python -m otel_claude_stream._telemetry.render`` writes them, ``--check`` fails where they are out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from otel_claude_stream._config import SETTINGS, StreamConfig
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
        ("Attribute", "Type", "What it says", "Values"),
        (
            (f"`{x.name}`", x.type, x.doc, ", ".join(f"`{value}`" for value in x.values))
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


PARTS: dict[str, Callable[[], str]] = {
    "spans": spans,
    "events": events,
    "metrics": metrics,
    "attributes": attributes,
    "settings": settings,
}


def render(text: str) -> str:
    """A text with its generated parts made anew. Raises `KeyError` for a part that nobody makes."""
    return _MARKER.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check. Exit code 1 where a file is out of date or cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m otel_claude_stream._telemetry.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a file is out of date, and write nothing")
    parser.add_argument("files", nargs="*", type=Path, default=[Path("README.md")], help="default: README.md")
    arguments = parser.parse_args(argv)
    stale = 0
    for path in arguments.files:
        try:
            old = path.read_text(encoding="utf-8")
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            stale += 1
            continue
        new = render(old)
        missing = [part for part in PARTS if f"<!-- generated: {part} -->" not in old]
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
