"""Asking what a panel asks, as Grafana would ask it, and reading the answer as Grafana would show it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from dashboards.generator.command import ROOT
from dashboards.generator.filling import chosen, filled
from tests.support.dashboards.scenarios import START
from tests.support.dashboards.store import Prometheus

INTERVAL = 240
"""`$__rate_interval` in seconds, for samples 60 s apart."""
ALL = {"job": ".+", "model": ".*", "server": ".*", "collector": ".+"}


@dataclass(frozen=True)
class Target:
    """One query of a panel of a committed dashboard."""

    board: str
    panel: str
    ref: str
    kind: str
    """Of the panel."""
    expr: str
    legend: str
    instant: bool
    format: str

    @property
    def name(self) -> str:
        return f"{self.board}/{self.panel}/{self.ref}"


@cache
def targets() -> tuple[Target, ...]:
    """Every query to Prometheus of every committed dashboard."""
    found = []
    for path in sorted((ROOT / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for one in panel.get("targets", ()):
                if one["datasource"]["type"] != "prometheus":
                    continue
                asked = (one["expr"], one["legendFormat"], bool(one.get("instant")), one["format"])
                found.append(Target(path.stem, panel["title"], one["refId"], panel["type"], *asked))
    return tuple(found)


def ready(one: Target, *, job: str | None = None, hours: float = 2.0, interval: int = INTERVAL, **values: str) -> str:
    """The query of a target for one job, with every other variable at `All` unless it is given."""
    said = {name: chosen([value]) for name, value in values.items()}
    if job is not None:
        said["job"] = chosen([job])
    return filled(one.expr, {**ALL, **said}, range_seconds=int(hours * 3600), interval_seconds=interval)


def legend(one: Target, labels: dict[str, str]) -> str:
    """What Grafana writes beside a series."""
    if one.legend == "__auto":
        return ""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), one.legend)


def ask(prometheus: Prometheus, one: Target, minute: float, **how: Any) -> dict[str, float]:
    """The answer at a minute of a scenario: legend and value; of a heat map, upper bound and value of each bucket."""
    found = prometheus.at(ready(one, **how), START + minute * 60)
    if one.format == "heatmap":
        return buckets(found)
    if one.format == "table":
        found = [({"": " ".join(labels[key] for key in sorted(labels) if key not in TEXTS)}, v) for labels, v in found]
        return {labels[""]: value for labels, value in found}
    said = {legend(one, labels): value for labels, value in found}
    assert len(said) == len(found), f"{one.name}: two series with one legend"
    return said


TEXTS = ("suspects", "remedy")
"""Columns of a table whose values stand for texts."""


def panel(prometheus: Prometheus, name: str, minute: float, **how: Any) -> dict[str, float]:
    """The answers to all queries of a panel, `board/title`. Of bars for limits: those above zero, by band."""
    mine = [one for one in targets() if f"{one.board}/{one.panel}" == name]
    assert mine, name
    found: dict[str, float] = {}
    for one in mine:
        said = ask(prometheus, one, minute, **how)
        assert not said.keys() & found.keys(), f"{name}: two queries with one legend"
        found.update(said)
    if mine[0].kind == "bargauge":
        return {legend.partition(":")[0]: value for legend, value in found.items() if value}
    return found


def buckets(found: list[tuple[dict[str, str], float]]) -> dict[str, float]:
    """Cumulative buckets as their own counts, those that are empty left out: what a heat map colours."""
    ordered = sorted((float(labels["le"]), value) for labels, value in found)
    own, before = {}, 0.0
    for bound, value in ordered:
        if value - before > 1e-9:
            own[f"{bound:g}"] = value - before
        before = value
    return own
