"""Converts dashboards to the JSON of Perses 0.52.

Perses has no TraceQL metrics, no exemplars, no annotations and no free suffixes of units. It inserts selected values
into queries without escaping them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final

from dashboards.generator.boards import BOARDS
from dashboards.generator.model import Board, Panel, Query, Variable
from dashboards.generator.sources import described

PROJECT: Final = "claude-streams"
"""The project of the dashboards, a part of their URLs."""

_COLUMNS: Final = 24
_COLORS: Final = {"good": "#3c9a40", "warn": "#d07c00", "bad": "#e03c3c", None: "#7a869a"}
"""Colours that are legible in the light and in the dark theme."""
_WIDE: Final = 480
"""Width of the column that takes the rest of a table in Grafana."""
_UNITS: Final = {"percentunit": "percent-decimal", "s": "seconds", "bytes": "bytes"}
_NO_TRACEQL_METRICS: Final = "*Perses has no TraceQL metrics. The Grafana dashboard shows this panel.*"
_ALL: Final = "$__all"


def _plugin(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "spec": spec}


def _format(panel: Panel, *, axis: bool = False) -> dict[str, Any]:
    """Return the unit. An axis has as many decimals as its ticks need."""
    made: dict[str, Any] = {"unit": _UNITS.get(panel.unit, "decimal")}
    if panel.decimals is not None and not axis:
        made["decimalPlaces"] = panel.decimals
    if made["unit"] == "decimal":
        made["shortValues"] = False
    return made


def _query(query: Query) -> dict[str, Any]:
    if query.form == "traces":
        # Perses' format `regex` escapes the patterns of *All* too.
        spec: dict[str, Any] = {"query": query.expr.replace(":regex}", "}"), "limit": 50}
        return _plugin("TraceQuery", {"plugin": _plugin("TempoTraceQuery", spec)})
    spec = {"query": query.expr}
    if query.legend:
        spec["seriesNameFormat"] = query.legend
    return _plugin("TimeSeriesQuery", {"plugin": _plugin("PrometheusTimeSeriesQuery", spec)})


def _stat(panel: Panel) -> dict[str, Any]:
    spec: dict[str, Any] = {"calculation": "last-number", "format": _format(panel), "valueFontSize": 32}
    steps = [{"value": value, "color": _COLORS[level]} for value, level in panel.thresholds]
    spec["thresholds"] = {"defaultColor": _COLORS[panel.base_level], "steps": steps}
    return _plugin("StatChart", spec)


def _timeseries(panel: Panel) -> dict[str, Any]:
    bars = panel.kind == "bars"
    axis: dict[str, Any] = {"format": _format(panel, axis=True), "min": 0}
    if panel.maximum is not None:
        axis["max"] = panel.maximum
    visual: dict[str, Any] = {
        "display": "bar" if bars else "line",
        "lineWidth": 1.25,
        "areaOpacity": 0.7 if bars else 0.05,
        "palette": {"mode": "categorical"},
    }
    if panel.stacked:
        visual["stack"] = "all"
    legend = {"position": "bottom", "mode": "table", "size": "small", "values": ["mean", "max", "last-number"]}
    return _plugin("TimeSeriesChart", {"legend": legend, "yAxis": axis, "visual": visual})


def _table(panel: Panel) -> dict[str, Any]:
    columns: list[dict[str, Any]] = [{"name": "timestamp", "hide": True}]
    for column in panel.columns:
        name = "value" if column.field == "Value" else column.field
        columns.append({"name": name, "header": column.title, "width": column.width or _WIDE, "enableSorting": True})
    cells = [
        {"condition": _plugin("Value", {"value": f"{column.field}:{value}"}), "text": shown}
        for column in panel.columns
        for value, shown in column.texts
    ]
    return _plugin(
        "Table",
        {"density": "compact", "defaultColumnHeight": "auto", "columnSettings": columns, "cellSettings": cells},
    )


def _distinct_values(query: Query, panel: Panel) -> Query:
    """Put the name of the column before its values, because Perses replaces a value by a text in all columns."""
    expr = query.expr
    for column in panel.columns:
        if column.texts:
            expr = expr.replace(f'"{column.field}", "$1"', f'"{column.field}", "{column.field}:$1"')
    return replace(query, expr=expr)


def _chart(panel: Panel) -> tuple[dict[str, Any], tuple[Query, ...]]:
    """Return the plugin of a panel and the queries that it can show."""
    if any(query.form == "trace metrics" for query in panel.queries):
        return _plugin("Markdown", {"text": _NO_TRACEQL_METRICS}), ()
    match panel.kind:
        case "stat":
            return _stat(panel), panel.queries
        case "timeseries" | "bars":
            return _timeseries(panel), panel.queries
        case "heatmap":
            # Perses shortens 62 s and 61 s to one label.
            plain = {"unit": "decimal", "shortValues": False}
            return _plugin(
                "HeatMapChart", {"yAxisFormat": plain, "countFormat": plain, "showVisualMap": False}
            ), panel.queries
        case "bargauge":
            bars = {"calculation": "last-number", "format": _format(panel), "mode": "value"}
            return _plugin("BarChart", bars), panel.queries
        case "table":
            return _table(panel), tuple(_distinct_values(query, panel) for query in panel.queries)
        case "traces":
            return _plugin("TraceTable", {}), panel.queries
        case "text":
            return _plugin("Markdown", {"text": panel.content}), ()


def _panel(panel: Panel) -> dict[str, Any]:
    chart, queries = _chart(panel)
    spec: dict[str, Any] = {"display": {"name": panel.title, "description": described(panel)}, "plugin": chart}
    if queries:
        spec["queries"] = [_query(query) for query in queries]
    if panel.link_to:
        target = next(board for board in BOARDS if board.uid == panel.link_to)
        shared = (variable.name for variable in target.variables if not variable.hidden)
        parameters = [f"var-{name}=${{{name}:percentencode}}" for name in shared]
        url = f"{path(target)}?{'&'.join([*parameters, 'start=${__from}', 'end=${__to}'])}"
        spec["links"] = [{"name": target.title, "url": url, "renderVariables": True, "targetBlank": False}]
    return _plugin("Panel", spec)


def _variable(variable: Variable) -> dict[str, Any]:
    matcher, _, name = variable.expr.rpartition(", ")
    spec: dict[str, Any] = {
        "name": variable.name,
        "display": {"name": variable.label, "description": variable.description, "hidden": variable.hidden},
        "allowAllValue": True,
        "allowMultiple": True,
        "defaultValue": [_ALL],
        "sort": "alphabetical-asc",
        "plugin": _plugin("PrometheusLabelValuesVariable", {"labelName": name, "matchers": [matcher]}),
    }
    if variable.all_value:
        spec["customAllValue"] = variable.all_value
    if variable.regex:
        spec["capturingRegexp"] = variable.regex.strip("/")
    return _plugin("ListVariable", spec)


def path(board: Board) -> str:
    """Return the path of a dashboard in Perses."""
    return f"/projects/{PROJECT}/dashboards/{board.uid}"


def panel_key(panel: Panel) -> str:
    """Return the key of a panel, made of its title."""
    return re.sub(r"\W+", "-", panel.title.lower()).strip("-")


def build(board: Board) -> dict[str, Any]:
    """Return the JSON of a dashboard as plain data."""
    layouts = []
    for row in board.rows:
        items, top, left, tallest = [], 0, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            content = {"$ref": f"#/spec/panels/{panel_key(panel)}"}
            items.append({"x": left, "y": top, "width": panel.width, "height": panel.height, "content": content})
            left, tallest = left + panel.width, max(tallest, panel.height)
        display = {"title": row.title, "collapse": {"open": True}}
        layouts.append(_plugin("Grid", {"display": display, "items": items}))
    return {
        "kind": "Dashboard",
        "metadata": {"name": board.uid, "project": PROJECT},
        "spec": {
            "display": {"name": board.title, "description": board.description},
            "duration": "6h",
            "refreshInterval": "1m",
            "variables": [_variable(variable) for variable in board.variables],
            "panels": {panel_key(panel): _panel(panel) for panel in board.panels},
            "layouts": layouts,
        },
    }


def render(board: Board) -> str:
    """Return the text of the committed file."""
    return json.dumps(build(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
