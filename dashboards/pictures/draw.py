"""Draws a whole dashboard as one picture, on Grafana's grid of 24 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from dashboards.pictures.panels import DRAWERS, FAINT, INK, PanelData, from_traces
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

mpl.rcParams["text.parse_math"] = False  # a dollar sign does not start a formula
mpl.rcParams["font.family"] = "DejaVu Sans"  # ships with matplotlib, so pictures are the same everywhere
COLUMNS: Final = 24
WIDTH: Final = 15.0
"""Width of the picture in inches."""
UNIT: Final = 0.34
"""Height of one grid unit in inches."""
HEADER: Final = 1.9
"""Grid units for title and subtitle."""


def draw(board: dict[str, Any], subtitle: str, ask: Callable[[dict[str, Any]], PanelData], path: Path) -> None:
    """Draw a dashboard to `path`. `ask` returns the data of a panel."""
    units = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) + HEADER
    figure = Figure(figsize=(WIDTH, units * UNIT), facecolor="#f6f8fa")
    figure.text(0.008, 1 - 0.75 / units, board["title"], size=14, weight="bold", color=INK, va="center")
    figure.text(0.008, 1 - 1.5 / units, subtitle, size=8.5, color=FAINT, va="center")
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        top, height = 1 - (place["y"] + HEADER) / units, place["h"] / units
        if panel["type"] == "row":
            figure.text(
                left + 0.008, top - 0.55 / units, panel["title"], size=10, weight="bold", color=INK, va="center"
            )
            continue
        _panel(
            figure, panel, (left + 0.003, top - height + 0.12 / units, width - 0.006, height - 0.24 / units), units, ask
        )
    figure.savefig(path, dpi=90, metadata={"Software": None})


def _panel(
    figure: Figure,
    panel: dict[str, Any],
    box: tuple[float, float, float, float],
    units: float,
    ask: Callable[[dict[str, Any]], PanelData],
) -> None:
    left, bottom, width, height = box
    card = Rectangle(
        (left, bottom), width, height, transform=figure.transFigure, facecolor="white", edgecolor="#d0d7de", zorder=-1
    )
    figure.add_artist(card)
    title = textwrap.shorten(panel["title"], int(width * 190), placeholder=" ...")
    figure.text(left + 0.005, bottom + height - 0.5 / units, title, size=8, color=INK, va="center")
    curves = panel["type"] in ("timeseries", "heatmap")
    side = 0.042 if curves else 0.006
    foot = (2.1 if panel["type"] == "timeseries" else 0.8 if curves else 0.2) / units
    inside = (left + side, bottom + foot, width - side - 0.008, height - foot - 1.0 / units)
    axes = figure.add_axes(inside, facecolor="none")
    traces = any(target["datasource"]["type"] == "tempo" for target in panel.get("targets", ()))
    drawer = from_traces if traces else DRAWERS[panel["type"]]
    drawer(axes, panel, PanelData() if traces or panel["type"] == "text" else ask(panel))
