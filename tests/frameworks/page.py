"""Write the tables of `docs/frameworks.md` from the result of the tests, or check them.

    python -m tests.frameworks.page [--check]

The tests leave `build/frameworks/result.json`. Versions may differ from those of the page: `--check` ignores them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.frameworks.catalogue import FRAMEWORKS, Framework
from tests.frameworks.runs import Call, Observed, Runs, faults_of
from tests.frameworks.verdicts import (
    REASON,
    SPAN_OWNER,
    tokens_generated,
    tokens_of_metrics,
    tokens_of_spans,
    unaccounted_requests,
)

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "build" / "frameworks" / "result.json"
PAGE = ROOT / "docs" / "frameworks.md"

Row = Mapping[str, Any]

COLUMNS = {
    "package": "Package",
    "version": "Version",
    "anthropic": "`anthropic`",
    "ways": "Ways to stream",
    "order": "Set up",
    "spans": "Stream spans",
    "owner": "`chat` span",
    "parent": "Parent span",
    "tokens": "Output tokens are counted",
    "left": "A caller that leaves",
    "remark": "Remarks",
}
TABLES: Mapping[str, tuple[str, ...]] = {
    "frameworks": ("package", "version", "anthropic", "ways", "spans", "owner", "parent", "tokens", "left", "remark"),
    "servers": ("package", "version", "anthropic", "ways", "spans", "parent", "left", "remark"),
    "neighbours": ("package", "version", "anthropic", "order", "spans", "owner", "parent", "tokens", "remark"),
}
OWNERS = {"self": "of this package", "sdk": "of the SDK", "other": "of another instrumentation"}
VERSION = re.compile(r"\b\d+(\.\d+)+\w*")


# --- From a run to a row of JSON


def write_result(runs: Runs) -> None:
    """Write what the finished runs showed; keep what an earlier run wrote about other frameworks."""
    rows = _rows() | {one.name: row_of(one, runs[one]) for one in runs.selected if runs.finished(one)}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _rows() -> dict[str, Row]:
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}


def row_of(framework: Framework, observed: Observed) -> Row:
    """Return the cells of a framework."""
    way = next(iter(framework.ways))
    healthy, bare = observed.calls["observe", way, "healthy"], observed.calls["bare", way, "healthy"]
    stream = healthy.streams[0] if healthy.streams else None
    calls = [call for (mode, _, _), call in observed.calls.items() if mode == "observe"]
    if not any(call.streams for call in calls):
        spans = "none"
    elif all(call.streams and unaccounted_requests(call) == 0 for call in calls):
        spans = "one for each stream"
    else:
        spans = "not for each stream"
    once = tokens_generated(healthy)
    return {
        "package": framework.title,
        "version": observed.versions[framework.package],
        "anthropic": observed.versions["anthropic"],
        "ways": ", ".join(framework.ways.values()),
        "order": _order(framework),
        "spans": spans,
        "owner": OWNERS.get(stream["attributes"].get(SPAN_OWNER, ""), "") if stream else "",
        "parent": f"of `{stream['parent'][0]}`" if stream and stream["parent"] else "none" if stream else "",
        "tokens": _counted(once, _tokens(healthy), _tokens(bare)),
        "left": _left(framework, observed),
        "remark": framework.remark,
    }


def _order(framework: Framework) -> str:
    return "before it" if framework.ours_first else "after it"


def _tokens(call: Call) -> tuple[int, int]:
    return tokens_of_spans(call), tokens_of_metrics(call)


def _counted(once: int, ours: tuple[int, int], bare: tuple[int, int]) -> str:
    """Describe how often the tokens of an answer are counted in spans and in metrics, beside what was without us."""
    if ours == (once, once):
        return "once"
    if ours == (0, 0):
        return "not"
    parts = []
    for what, with_us, without_us in zip(("in spans", "in metrics"), ours, bare, strict=True):
        parts.append(
            f"{_times(with_us, once)} {what}" + (" (so without this package)" if without_us == with_us else "")
        )
    return ", ".join(parts)


def _times(count: int, once: int) -> str:
    return {0: "not", 1: "once", 2: "twice"}.get(count // once, f"{count / once:g} times")


def _left(framework: Framework, observed: Observed) -> str:
    reasons = []
    for way in framework.ways:
        if any(fault.leaves for fault in faults_of(framework, "observe", way)):
            reasons += [span["attributes"].get(REASON) for span in observed.calls["observe", way, "left"].streams[-1:]]
    return ", ".join(f"`{reason}`" for reason in dict.fromkeys(reasons) if reason)


# --- From rows to the page


def rendered(page: str, rows: Mapping[str, Row]) -> str:
    """Return the page with its tables anew."""
    for name, columns in TABLES.items():
        lines = [
            "| " + " | ".join(COLUMNS[column] for column in columns) + " |",
            "| " + " | ".join("---" for _ in columns) + " |",
            *(
                _line(rows[one.name], columns) if one.name in rows else line
                for one in FRAMEWORKS
                if one.table == name
                for line in _written(page, one)[:1] or [""]
                if line or one.name in rows
            ),
        ]
        page = re.sub(
            rf"(<!-- generated: {name} -->\n).*?(<!-- end of {name} -->)",
            lambda found, lines=lines: found[1] + "\n".join(lines) + "\n" + found[2],
            page,
            flags=re.DOTALL,
        )
    return page


def _line(row: Row, columns: Iterable[str]) -> str:
    return "| " + " | ".join(row[column] for column in columns) + " |"


def _written(page: str, framework: Framework) -> list[str]:
    """Return the row of a framework that the page has, or nothing."""
    order = f" | {_order(framework)} | " if framework.neighbours else ""
    return [line for line in page.splitlines() if line.startswith(f"| {framework.title} | ") and order in line]


def without_versions(page: str) -> str:
    """Return the page without what may differ between two runs."""
    return VERSION.sub("*", page)


def main(arguments: list[str]) -> int:
    rows = _rows()
    missing = [one.name for one in FRAMEWORKS if one.name not in rows]
    if missing:
        print(f"kept as they are, because {RESULT.relative_to(ROOT)} lacks them: {', '.join(missing)}")
    old = PAGE.read_text(encoding="utf-8")
    new = rendered(old, rows)
    if "--check" not in arguments:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    if without_versions(new) == without_versions(old):
        return 0
    for line in sorted(set(without_versions(new).splitlines()) - set(without_versions(old).splitlines())):
        print(f"not on the page: {line}")
    print(
        f"{PAGE.relative_to(ROOT)} is out of date: run `python -m tests.frameworks.page` in the session's environment"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
