"""Sends the queries of a panel to Prometheus and prepares the answers for drawing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dashboards.generator.interpolation import interpolate
from dashboards.pictures.panels import PanelData

STEP = 60
INTERVAL = 240

Instant = Callable[[str, float], list[tuple[dict[str, str], float]]]
Range = Callable[[str, float, float, float], list[tuple[dict[str, str], list[tuple[float, float]]]]]


def query_panel(
    panel: Mapping[str, Any],
    values: Mapping[str, str],
    start: float,
    end: float,
    *,
    query_at: Instant,
    query_range: Range,
) -> PanelData:
    """Run all queries of a panel for a time range, with functions for instant and range queries."""
    data = PanelData(start=start, end=end)
    for target in panel.get("targets", ()):
        query = interpolate(target["expr"], values, range_seconds=int(end - start), interval_seconds=INTERVAL)
        if target["format"] == "table":
            data.rows.extend(_table(panel, query_at(query, end)))
        elif target.get("instant"):
            data.values.extend((_legend(target, labels), value) for labels, value in query_at(query, end))
        elif target["format"] == "heatmap":
            data.cells.extend(_cells(query_range(query, start, end, STEP)))
        else:
            curves = query_range(query, start, end, STEP)
            data.curves.extend((_legend(target, labels), points) for labels, points in curves)
    return data


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if target["legendFormat"] == "__auto":
        return ""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), target["legendFormat"])


def _cells(
    found: list[tuple[dict[str, str], list[tuple[float, float]]]],
) -> list[tuple[float, list[tuple[float, float]]]]:
    """Convert cumulative buckets to separate ones."""
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
