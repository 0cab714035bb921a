"""The tables and the picture of `docs/benchmarks.md`, made from `docs/benchmarks.json`.

Run: python -m tests.benchmarks.page, after a change of this module. `bench_instructions` writes the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from tests.benchmarks.instructions import FLOOR, OURS, SPAN
from tests.benchmarks.peer import NATIVE
from tests.support.memory_api import WAYS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
DATA = ROOT / "docs" / "benchmarks.json"
PICTURE = ROOT / "docs" / "benchmarks.svg"

FIGURES = {
    "burst": "event of a burst",
    "wait": "event after a wait",
    "stream": "stream of ten deltas",
    "first event": "call to first event",
}
"""The figures of the picture, with their titles."""

LEFT, PANEL, GAP, TOP, ROW = 200, 116, 22, 44, 24
MUTED, LINE = "#767676", "#9a9a9a"
"""Colours that are readable on white and on black, since a picture in a page does not know its theme."""
COLOURS = {True: ("#2f7ed8", "#8fbdf0"), False: ("#8a8f98", "#b9bdc4")}
"""Colours of this package and of others, up to the least of the ways to call, and on to the most."""

NOTE = "Instructions, from x1: the bare SDK. Dark: the least of the four ways to call. Light and number: the most."

Data = Mapping[str, Any]


def write_part(page: Path, name: str, text: str) -> None:
    """Replace the part of a page between the markers of this name. Raises `ValueError` if the page has none."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no part between {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def write(data: Data, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the picture, and the parts of the page."""
    picture.write_text(svg(data), encoding="utf-8")
    for name, part in PARTS.items():
        write_part(page, name, part(data))


def ratios(data: Data, variant: str, figure: str) -> list[float]:
    """Return the ratios of a variant to the bare SDK, for each way that was counted."""
    counts, bare = (data["instructions"][name][figure] for name in (variant, "none"))
    return [counts[way] / bare[way] for way in WAYS if way in counts]


def added(data: Data, variant: str, figure: str) -> list[float]:
    """Return the instructions that a variant adds to the bare SDK."""
    counts, bare = (data["instructions"][name][figure] for name in (variant, "none"))
    return [counts[way] - bare[way] for way in WAYS if way in counts]


def targets(data: Data) -> Iterator[tuple[str, str, list[float], list[float]]]:
    """Yield each figure that has a target: its name, its unit, its values and their targets, for each way."""
    record = data["instructions"][FLOOR]["wait"][""]
    native, stream = added(data, NATIVE, "stream"), added(data, OURS, "stream")
    yield "an event after a wait", "the bare SDK", ratios(data, OURS, "wait"), [1.1] * 4
    yield (
        "what this package adds to an event after a wait",
        "one `record` of a histogram",
        [value / record for value in added(data, OURS, "wait")],
        [1.5, 2.0, 2.0, 2.0],
    )
    yield "an event of a burst", "the bare SDK", ratios(data, OURS, "burst"), [1.08, 1.04, 1.11, 1.06]
    yield (
        "what this package adds to a stream of ten deltas",
        "what the SDK's own tracing adds",
        [ours / theirs for ours, theirs in zip(stream, native, strict=True)],
        [1.0] * 4,
    )
    yield (
        "what this package adds from the call to its first event",
        "the same",
        [added(data, OURS, "first event")[0] / native[0]],
        [0.5],
    )
    yield "the memory of an open stream", "8 KiB", [data["bytes of an open stream"] / 8192], [1.0]


def targets_table(data: Data) -> str:
    """Return the picture, and the table of all figures that have a target."""
    versions = data["versions"]
    lines = [
        f"Counted on {data['date']} with Python {versions['python']}, anthropic {versions['anthropic']},",
        f"OpenTelemetry's SDK {versions['opentelemetry-sdk']} and Valgrind {versions['valgrind']}.",
        "",
        f"![A bar for each instrumentation, as a ratio to the bare SDK. The tables have the figures]({PICTURE.name})",
        "",
        "| Figure | Compared with | `create()` | `stream()` | async `create()` | async `stream()` | Target |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, base, values, limits in targets(data):
        cells = [f"x{value:.2f}" for value in values] + [""] * (4 - len(values))
        met = sum(round(value, 2) <= limit for value, limit in zip(values, limits, strict=True))
        limit = " / ".join(f"{one:g}" for one in (limits if len(set(limits)) > 1 else limits[:1]))
        judged = "met" if met == len(values) else f"met by {met} of {len(values)}" if met else "missed"
        lines.append(f"| {name} | {base} | {' | '.join(cells)} | x{limit}: {judged} |")
    first = {name: data["instructions"][name] for name in ("none", OURS)}
    bare, ours = (
        (one["first call"][WAYS[0]] - one["first event"][WAYS[0]]) / 1e6 for one in (first["none"], first[OURS])
    )
    floor, stream = data["instructions"][FLOOR]["stream"][""], added(data, OURS, "stream")
    span, native = (added(data, name, "stream") for name in (SPAN, NATIVE))
    alone = ", ".join(f"x{ours / theirs:.2f}" for ours, theirs in zip(span, native, strict=True))
    lines += [
        "",
        f"To its first event, the first call of a process executes {bare:.0f} million instructions more than later",
        f"calls with the bare SDK. With this package these are {ours:.0f} million.",
        "",
        f"OpenTelemetry's own calls for the telemetry of ten deltas execute {floor / 1e6:.2f} million instructions,",
        f"which is {floor / max(stream):.0%} to {floor / min(stream):.0%} of what this package adds.",
        "",
        "The SDK's own tracing records neither metrics nor events. Without them, and in the order of the columns,",
        f"this package adds {alone} of what that tracing adds.",
    ]
    return "\n".join(lines)


def label(data: Data, variant: str) -> str:
    """Return the name of a variant with its version."""
    version = data["versions"].get(variant)
    return f"{variant} {version}" if version else variant


def span_of(values: list[float]) -> str:
    """Return the least and the most of some ratios."""
    least, most = f"{min(values):.2f}", f"{max(values):.2f}"
    return f"x{least}" if least == most else f"x{least} to {most}"


def variants(data: Data) -> list[str]:
    """Return the variants that were counted, except the bare SDK. Those of this package come first."""
    counted = [name for name in data["instructions"] if name not in ("none", FLOOR)]
    return sorted(counted, key=lambda name: not name.startswith(OURS))


def peers_table(data: Data) -> str:
    """Return the table of all variants, and those that failed."""
    lines = [f"| Instrumentation | {' | '.join(FIGURES.values())} |", f"| --- |{' ---: |' * len(FIGURES)}"]
    for variant in variants(data):
        cells = [span_of(ratios(data, variant, figure)) for figure in FIGURES]
        lines.append(f"| {label(data, variant)} | {' | '.join(cells)} |")
    lines += [f"\n{label(data, name)} was not counted: {reason}" for name, reason in data["failed"].items()]
    return "\n".join(lines)


PARTS = {"plot": targets_table, "peers": peers_table}


def svg(data: Data) -> str:
    """Return the picture, with a row for each variant, a panel for each figure, and bars that begin at the ratio 1."""
    names = variants(data)
    width, height = LEFT + len(FIGURES) * (PANEL + GAP), TOP + ROW * len(names) + 34
    panels = (part for number, figure in enumerate(FIGURES) for part in _panel(data, names, number, figure))
    body = "\n".join([*_rows(names), *panels])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" font-family="sans-serif" font-size="12" fill="{MUTED}">\n'
        f"<title>Instructions as a ratio to the bare SDK</title>\n{body}\n"
        f'<text x="{width}" y="{height - 8}" text-anchor="end">{NOTE}</text>\n</svg>\n'
    )


def _rows(names: list[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        weight = ' font-weight="bold"' if name == OURS else ""
        y = TOP + number * ROW + 16
        yield f'<text x="{LEFT - 10}" y="{y}" text-anchor="end"{weight}>{escape(name.replace(f"{OURS}, ", ""))}</text>'


def _panel(data: Data, names: list[str], number: int, figure: str) -> Iterator[str]:
    left = LEFT + number * (PANEL + GAP)
    values = {name: ratios(data, name, figure) for name in names}
    scale = (PANEL - 34) / (max(max(one) for one in values.values()) - 1)  # the rest is for the number
    yield f'<text x="{left}" y="{TOP - 14}">{FIGURES[figure]}</text>'
    for place, (name, found) in enumerate(values.items()):
        y = TOP + place * ROW
        ends = [max(0.0, ratio - 1) * scale for ratio in (min(found), max(found))]
        for end, colour in zip(reversed(ends), reversed(COLOURS[name.startswith(OURS)]), strict=True):
            yield f'<rect x="{left}" y="{y + 4}" width="{end:.1f}" height="{ROW - 8}" fill="{colour}"/>'
        yield f'<text x="{left + ends[1] + 4:.1f}" y="{y + 16}">x{max(found):.2f}</text>'
    yield f'<path d="M{left} {TOP}V{TOP + len(names) * ROW}" stroke="{LINE}"/>'


def main() -> None:
    """Write the page from the data."""
    write(json.loads(DATA.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
