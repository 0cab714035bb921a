"""Draws each kind of panel into its area of the picture."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

INK: Final = "#24292f"
FAINT: Final = "#8c959f"
COLORS: Final = (
    "#2f6fde", "#e07b18", "#2da44e", "#cf222e", "#8250df", "#bf8700", "#1b7c83", "#a475f9", "#57606a", "#d4638f",
)  # fmt: skip
LEVELS: Final = {"green": "#2da44e", "orange": "#e07b18", "red": "#cf222e", "text": INK}
ROWS: Final = 6
"""Maximum number of rows drawn of a table."""


@dataclass(frozen=True)
class PanelData:
    """The answers of Prometheus to the queries of one panel, ready to be drawn."""

    curves: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)
    values: list[tuple[str, float]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    cells: list[tuple[float, list[tuple[float, float]]]] = field(default_factory=list)
    """For a heat map, the upper bound of each bucket and its rate over time (not cumulative)."""
    start: float = 0.0
    end: float = 0.0


def format_value(value: float, unit: str, decimals: int | None = None) -> str:
    """Format a value with its unit, such as ``95.2 %``, ``1.4 s`` or ``12 streams``."""
    match unit:
        case "percentunit":
            return f"{_format_number(value * 100, decimals)} %"
        case "s":
            return _format_seconds(value, decimals)
        case "bytes":
            return f"{value / 2**20:.0f} MiB"
        case _ if unit.startswith("suffix:"):
            suffix = unit.removeprefix("suffix:")
            return f"{_format_number(value, decimals)}{suffix}"
        case _:
            return _format_number(value, decimals)


def _format_number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _format_seconds(value: float, decimals: int | None) -> str:
    if 0 < value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{_format_number(value, decimals)} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def level(panel: dict[str, Any], value: float) -> str:
    """Return the colour of a value by the thresholds of the panel."""
    found = "text"
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return LEVELS[found]


def _unit(panel: dict[str, Any]) -> tuple[str, int | None]:
    defaults = panel["fieldConfig"]["defaults"]
    return defaults.get("unit", "none"), defaults.get("decimals")


def no_data(axes: Axes, panel: dict[str, Any]) -> None:
    """Draw the text that a panel shows without data."""
    words = panel["fieldConfig"]["defaults"]["noValue"]
    axes.text(0.5, 0.5, words, ha="center", va="center", color=FAINT, size=9, transform=axes.transAxes)


def stat(axes: Axes, panel: dict[str, Any], data: PanelData) -> None:
    """Draw one large value."""
    axes.axis("off")
    if not data.values:
        no_data(axes, panel)
        return
    value = data.values[0][1]
    axes.text(
        0.5, 0.45, format_value(value, *_unit(panel)), ha="center", va="center", size=19, color=level(panel, value)
    )


def timeseries(axes: Axes, panel: dict[str, Any], data: PanelData) -> None:
    """Draw lines or bars over time, stacked or not, with a legend."""
    unit, decimals = _unit(panel)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    drawn = [(name, points) for name, points in data.curves if points]
    _time_axis(axes, data)
    plain = "none" if unit.startswith("suffix:") else unit
    numbers = FuncFormatter(lambda value, _: format_value(value, plain))
    axes.yaxis.set_major_formatter(numbers)
    if not drawn:
        axes.set_yticks([])
        no_data(axes, panel)
        return
    bars = custom.get("drawStyle") == "bars"
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    moments = sorted({at for _, points in drawn for at, _ in points})
    base = dict.fromkeys(moments, 0.0)
    for number, (name, points) in enumerate(drawn):
        color = COLORS[number % len(COLORS)]
        values = dict(points)
        label = f"{name}  {format_value(points[-1][1], unit, decimals)}" if name else ""
        if bars or stacked:
            xs = [_when(at) for at in moments]
            lows = [base[at] for at in moments]
            highs = [base[at] + values.get(at, 0.0) for at in moments]
            if bars:
                width = (moments[1] - moments[0]) / 86400 if len(moments) > 1 else 60 / 86400
                heights = [high - low for high, low in zip(highs, lows, strict=True)]
                axes.bar(xs, heights, width, lows, color=color, label=label, linewidth=0)
            else:
                axes.fill_between(xs, lows, highs, color=color, alpha=0.35, linewidth=0)
                axes.plot(xs, highs, color=color, linewidth=1.1, label=label)
            base = dict(zip(moments, highs, strict=True))
        else:
            axes.plot([_when(at) for at, _ in points], [v for _, v in points], color=color, linewidth=1.3, label=label)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("symlog", linthresh=0.1)
        axes.yaxis.set_major_formatter(numbers)
    top = panel["fieldConfig"]["defaults"].get("max")
    axes.set_ylim(0, top * 1.04 if top else None)
    axes.grid(axis="y", color="#eaeef2", linewidth=0.8)
    axes.set_axisbelow(True)
    if any(name for name, _ in drawn):
        axes.legend(
            loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2, fontsize=6.5, frameon=False, handlelength=1.2,
            labelcolor=INK, borderaxespad=0.2, columnspacing=1.2,
        )  # fmt: skip


def heatmap(axes: Axes, panel: dict[str, Any], data: PanelData) -> None:
    """Draw a heat map, with time to the right, buckets upwards, and darker cells for larger values."""
    unit, _ = _unit(panel)
    _time_axis(axes, data)
    used = [n for n, (_, points) in enumerate(data.cells) if any(value > 1e-9 for _, value in points)]
    if not used:
        axes.set_yticks([])
        no_data(axes, panel)
        return
    first, last = max(0, used[0] - 1), min(len(data.cells) - 1, used[-1] + 1)
    kept = data.cells[first : last + 1]
    moments = sorted({at for _, points in kept for at, _ in points})
    grid = [[max(0.0, dict(points).get(at, 0.0)) for at in moments] for _, points in kept]
    most = max(max(row) for row in grid) or 1.0
    step = moments[1] - moments[0] if len(moments) > 1 else 60.0
    edges = [_when(at - step / 2) for at in [*moments, moments[-1] + step]]
    shades = [[(value / most) ** 0.5 if value > 1e-9 else float("nan") for value in row] for row in grid]
    axes.pcolormesh(edges, range(len(kept) + 1), shades, cmap="Oranges", vmin=0, vmax=1.15, linewidth=0)
    axes.set_yticks(
        range(1, len(kept) + 1), [format_value(bound, unit) if bound != float("inf") else "more" for bound, _ in kept]
    )
    if len(kept) > 9:
        for number, tick in enumerate(axes.get_yticklabels()):
            tick.set_visible(number % 2 == 0)


def bargauge(axes: Axes, panel: dict[str, Any], data: PanelData) -> None:
    """Draw a bar for each value, with its name to the left."""
    axes.axis("off")
    if not data.values:
        no_data(axes, panel)
        return
    number = len(data.values)
    most = panel["fieldConfig"]["defaults"].get("max") or max(value for _, value in data.values) or 1.0
    most = min(most, max(value for _, value in data.values) * 1.05) or 1.0
    axes.set_xlim(0, 1)
    axes.set_ylim(number, 0)
    for row, (name, value) in enumerate(data.values):
        short = textwrap.shorten(name, 58, placeholder=" ...")
        axes.text(0.47, row + 0.5, short, ha="right", va="center", size=7, color=INK)
        axes.barh(row + 0.5, 0.40, 0.62, left=0.49, color="#f0f2f5", linewidth=0)
        axes.barh(row + 0.5, 0.40 * value / most, 0.62, left=0.49, color=level(panel, value), linewidth=0)
        axes.text(
            0.90,
            row + 0.5,
            format_value(value, *_unit(panel)),
            ha="left",
            va="center",
            size=7,
            color=level(panel, value),
        )


def table(axes: Axes, panel: dict[str, Any], data: PanelData) -> None:
    """Draw headings and rows. Long texts are cut."""
    axes.axis("off")
    heads, *rows = data.rows or [[]]
    if not rows:
        no_data(axes, panel)
        return
    shares = [0.14, 0.08, 0.08, 0.06, 0.22, 0.42][: len(heads)]
    axes.set_xlim(0, 1)
    axes.set_ylim(ROWS + 1, 0)
    for row, cells in enumerate([heads, *rows[:ROWS]]):
        left = 0.0
        for share, cell in zip(shares, cells, strict=False):
            lines = textwrap.wrap(cell, int(share * 235))[:3]
            bold = "bold" if row == 0 else "normal"
            axes.text(left + 0.003, row + 0.5, "\n".join(lines), va="center", size=6.5, weight=bold, color=INK)
            left += share
        axes.axhline(row + 1, color="#eaeef2", linewidth=0.8)


def text(axes: Axes, panel: dict[str, Any], _: PanelData) -> None:
    """Draw the content of a text panel without its markup."""
    axes.axis("off")
    width = 26 * panel["gridPos"]["w"] // 4
    lines = [line for part in panel["options"]["content"].split("\n") for line in textwrap.wrap(part, width) or [""]]
    axes.text(0.01, 0.98, "\n".join(lines).replace("`", ""), va="top", size=7, color=INK)


def from_traces(axes: Axes, _: dict[str, Any], __: PanelData) -> None:
    """Draw a placeholder for a panel that queries Tempo."""
    axes.axis("off")
    axes.text(0.5, 0.5, "from traces (Tempo): not in this picture", ha="center", va="center", color=FAINT, size=8)


def _time_axis(axes: Axes, data: PanelData) -> None:
    axes.set_xlim(_when(data.start), _when(data.end))
    axes.xaxis.set_major_locator(dates.MinuteLocator(byminute=range(0, 60, 15)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.tick_params(labelsize=6.5, colors=FAINT, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#d0d7de")


def _when(at: float) -> Any:
    return dates.date2num(dt.datetime.fromtimestamp(at, dt.timezone.utc))


DRAWERS: Final[dict[str, Callable[[Axes, dict[str, Any], PanelData], None]]] = {
    "stat": stat,
    "timeseries": timeseries,
    "heatmap": heatmap,
    "bargauge": bargauge,
    "table": table,
    "text": text,
}
