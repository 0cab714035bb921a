"""Asks Prometheus what a panel asks, and puts the answers into the form in which they are drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dashboards.generator.filling import filled
from dashboards.pictures.panels import Answers

STEP = 60
INTERVAL = 240

Instant = Callable[[str, float], list[tuple[dict[str, str], float]]]
Range = Callable[[str, float, float, float], list[tuple[dict[str, str], list[tuple[float, float]]]]]


def answers(
    panel: Mapping[str, Any], values: Mapping[str, str], start: float, end: float, *, at: Instant, over: Range
) -> Answers:
    """The answers to all queries of a panel for a time range; `at` and `over` ask Prometheus."""
    found = Answers(start=start, end=end)
    for target in panel.get("targets", ()):
        query = filled(target["expr"], values, range_seconds=int(end - start), interval_seconds=INTERVAL)
        if target["format"] == "table":
            found.rows.extend(_table(panel, at(query, end)))
        elif target.get("instant"):
            found.values.extend((_legend(target, labels), value) for labels, value in at(query, end))
        elif target["format"] == "heatmap":
            found.cells.extend(_cells(over(query, start, end, STEP)))
        else:
            found.curves.extend((_legend(target, labels), points) for labels, points in over(query, start, end, STEP))
    return found


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if target["legendFormat"] == "__auto":
        return ""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), target["legendFormat"])


def _cells(
    found: list[tuple[dict[str, str], list[tuple[float, float]]]],
) -> list[tuple[float, list[tuple[float, float]]]]:
    """Buckets of their own, from cumulative ones."""
    ordered = sorted((float(labels["le"]), dict(points)) for labels, points in found)
    cells, below = [], dict[float, float]()
    for bound, points in ordered:
        cells.append((bound, [(at, value - below.get(at, 0.0)) for at, value in sorted(points.items())]))
        below = points
    return cells


def _table(panel: Mapping[str, Any], found: list[tuple[dict[str, str], float]]) -> list[list[str]]:
    (organized,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
    fields = sorted(organized["indexByName"], key=organized["indexByName"].get)
    heads = [organized["renameByName"][field] for field in fields]
    texts: dict[str, dict[str, Any]] = {}
    for override in panel["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if one["id"] == "mappings":
                texts[override["matcher"]["options"]] = one["value"][0]["options"]
    rows = [heads]
    for labels, value in found:
        cells = [f"{value:.0f}" if field == "Value" else labels.get(field, "") for field in fields]
        shown = [texts.get(head, {}).get(cell, {}).get("text", cell) for head, cell in zip(heads, cells, strict=True)]
        rows.append(shown)
    return rows
