"""Sends the queries of panels to Prometheus as Grafana would, and reads the answers as Grafana would show them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from dashboards.generator.command import ROOT
from dashboards.generator.interpolation import interpolate, selection_pattern
from tests.support.dashboards.prometheus_server import Prometheus
from tests.support.dashboards.scenarios import START

INTERVAL = 240
"""`$__rate_interval` in seconds, for samples 60 s apart."""
ALL = {"job": ".+", "model": ".*", "server": ".*", "source": ".*", "collector": ".+"}


@dataclass(frozen=True)
class Target:
    """One query of a panel of a committed dashboard."""

    board: str
    panel: str
    ref: str
    kind: str
    """Type of the panel."""
    expr: str
    legend: str
    instant: bool
    format: str

    @property
    def name(self) -> str:
        return f"{self.board}/{self.panel}/{self.ref}"


@cache
def targets() -> tuple[Target, ...]:
    """Return every PromQL query of the committed dashboards."""
    found = []
    for path in sorted((ROOT / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] != "prometheus":
                    continue
                asked = (target["expr"], target["legendFormat"], bool(target.get("instant")), target["format"])
                found.append(Target(path.stem, panel["title"], target["refId"], panel["type"], *asked))
    return tuple(found)


def interpolated(
    target: Target, *, job: str | None = None, hours: float = 2.0, interval: int = INTERVAL, **values: str
) -> str:
    """Return the query of a target for one job. Variables without a value are at `All`."""
    chosen = {name: selection_pattern([value]) for name, value in values.items()}
    if job is not None:
        chosen["job"] = selection_pattern([job])
    return interpolate(target.expr, {**ALL, **chosen}, range_seconds=int(hours * 3600), interval_seconds=interval)


def legend(target: Target, labels: dict[str, str]) -> str:
    """Return the legend of a series."""
    if target.legend == "__auto":
        return ""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target.legend)


def query_values(prometheus: Prometheus, target: Target, minute: float, **options: Any) -> dict[str, float]:
    """Return the values at a minute of a scenario by legend, or by upper bound for a heat map."""
    found = prometheus.query_at(interpolated(target, **options), START + minute * 60)
    if target.format == "heatmap":
        return buckets(found)
    if target.format == "table":
        found = [
            ({"": " ".join(labels[key] for key in sorted(labels) if key not in TEXT_COLUMNS)}, v) for labels, v in found
        ]
        return {labels[""]: value for labels, value in found}
    values = {legend(target, labels): value for labels, value in found}
    assert len(values) == len(found), f"{target.name}: two series with one legend"
    return values


TEXT_COLUMNS = ("suspects", "remedy")
"""Columns of a table whose values are replaced by texts."""


def panel_values(prometheus: Prometheus, name: str, minute: float, **options: Any) -> dict[str, float]:
    """Return the values of all queries of a panel (`board/title`). For bars, only those above zero, by band."""
    mine = [target for target in targets() if f"{target.board}/{target.panel}" == name]
    assert mine, name
    found: dict[str, float] = {}
    for target in mine:
        values = query_values(prometheus, target, minute, **options)
        assert not values.keys() & found.keys(), f"{name}: two queries with one legend"
        found.update(values)
    if mine[0].kind == "bargauge":
        return {legend.partition(": ")[0]: value for legend, value in found.items() if value}
    return found


def buckets(found: list[tuple[dict[str, str], float]]) -> dict[str, float]:
    """Convert cumulative buckets to separate counts, without empty ones, as a heat map shows them."""
    ordered = sorted((float(labels["le"]), value) for labels, value in found)
    counts, before = {}, 0.0
    for bound, value in ordered:
        if value - before > 1e-9:
            counts[f"{bound:g}"] = value - before
        before = value
    return counts
