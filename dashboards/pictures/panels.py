"""One function for each kind of panel: draws it into an area of the picture."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from dashboards.pictures.units import shown
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
"""Rows of a table that are drawn."""


@dataclass(frozen=True)
class Answers:
    """What Prometheus says to one panel."""

    curves: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)
    values: list[tuple[str, float]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    cells: list[tuple[float, list[tuple[float, float]]]] = field(default_factory=list)
    """Of a heat map: the upper bound of each bucket, and its own rate over time."""
    start: float = 0.0
    end: float = 0.0


def level(panel: dict[str, Any], value: float) -> str:
    """The colour of a value, by the steps of the panel."""
    found = "text"
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return LEVELS[found]


def _unit(panel: dict[str, Any]) -> tuple[str, int | None]:
    defaults = panel["fieldConfig"]["defaults"]
    return defaults.get("unit", "none"), defaults.get("decimals")


def nothing(axes: Axes, panel: dict[str, Any]) -> None:
    """What a panel says where there is nothing."""
    words = panel["fieldConfig"]["defaults"]["noValue"]
    axes.text(0.5, 0.5, words, ha="center", va="center", color=FAINT, size=9, transform=axes.transAxes)


def stat(axes: Axes, panel: dict[str, Any], answers: Answers) -> None:
    """One big figure."""
    axes.axis("off")
    if not answers.values:
        nothing(axes, panel)
        return
    value = answers.values[0][1]
    axes.text(0.5, 0.45, shown(value, *_unit(panel)), ha="center", va="center", size=19, color=level(panel, value))


def timeseries(axes: Axes, panel: dict[str, Any], answers: Answers) -> None:
    """Lines or bars over time, stacked or not, and their legend."""
    unit, decimals = _unit(panel)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    drawn = [(name, points) for name, points in answers.curves if points]
    _time_axis(axes, answers)
    plain = "none" if unit.startswith("suffix:") else unit
    numbers = FuncFormatter(lambda value, _: shown(value, plain))
    axes.yaxis.set_major_formatter(numbers)
    if not drawn:
        axes.set_yticks([])
        nothing(axes, panel)
        return
    bars = custom.get("drawStyle") == "bars"
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    moments = sorted({at for _, points in drawn for at, _ in points})
    base = dict.fromkeys(moments, 0.0)
    for number, (name, points) in enumerate(drawn):
        color = COLORS[number % len(COLORS)]
        values = dict(points)
        label = f"{name}  {shown(points[-1][1], unit, decimals)}" if name else ""
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


def heatmap(axes: Axes, panel: dict[str, Any], answers: Answers) -> None:
    """Cells: time to the right, buckets upwards, the darker the more."""
    unit, _ = _unit(panel)
    _time_axis(axes, answers)
    used = [n for n, (_, points) in enumerate(answers.cells) if any(value > 1e-9 for _, value in points)]
    if not used:
        axes.set_yticks([])
        nothing(axes, panel)
        return
    first, last = max(0, used[0] - 1), min(len(answers.cells) - 1, used[-1] + 1)
    kept = answers.cells[first : last + 1]
    moments = sorted({at for _, points in kept for at, _ in points})
    grid = [[max(0.0, dict(points).get(at, 0.0)) for at in moments] for _, points in kept]
    most = max(max(row) for row in grid) or 1.0
    step = moments[1] - moments[0] if len(moments) > 1 else 60.0
    edges = [_when(at - step / 2) for at in [*moments, moments[-1] + step]]
    shades = [[(value / most) ** 0.5 if value > 1e-9 else float("nan") for value in row] for row in grid]
    axes.pcolormesh(edges, range(len(kept) + 1), shades, cmap="Oranges", vmin=0, vmax=1.15, linewidth=0)
    axes.set_yticks(
        range(1, len(kept) + 1), [shown(bound, unit) if bound != float("inf") else "more" for bound, _ in kept]
    )
    if len(kept) > 9:
        for number, tick in enumerate(axes.get_yticklabels()):
            tick.set_visible(number % 2 == 0)


def bargauge(axes: Axes, panel: dict[str, Any], answers: Answers) -> None:
    """A bar for each value, with its name to the left."""
    axes.axis("off")
    if not answers.values:
        nothing(axes, panel)
        return
    number = len(answers.values)
    most = panel["fieldConfig"]["defaults"].get("max") or max(value for _, value in answers.values) or 1.0
    most = min(most, max(value for _, value in answers.values) * 1.05) or 1.0
    axes.set_xlim(0, 1)
    axes.set_ylim(number, 0)
    for row, (name, value) in enumerate(answers.values):
        short = textwrap.shorten(name, 58, placeholder=" ...")
        axes.text(0.47, row + 0.5, short, ha="right", va="center", size=7, color=INK)
        axes.barh(row + 0.5, 0.40, 0.62, left=0.49, color="#f0f2f5", linewidth=0)
        axes.barh(row + 0.5, 0.40 * value / most, 0.62, left=0.49, color=level(panel, value), linewidth=0)
        axes.text(
            0.90, row + 0.5, shown(value, *_unit(panel)), ha="left", va="center", size=7, color=level(panel, value)
        )


def table(axes: Axes, panel: dict[str, Any], answers: Answers) -> None:
    """Heads and rows; long texts are cut."""
    axes.axis("off")
    heads, *rows = answers.rows or [[]]
    if not rows:
        nothing(axes, panel)
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


def text(axes: Axes, panel: dict[str, Any], _: Answers) -> None:
    """The words of a text panel, without their markup."""
    axes.axis("off")
    width = 26 * panel["gridPos"]["w"] // 4
    lines = [line for part in panel["options"]["content"].split("\n") for line in textwrap.wrap(part, width) or [""]]
    axes.text(0.01, 0.98, "\n".join(lines).replace("`", ""), va="top", size=7, color=INK)


def from_traces(axes: Axes, _: dict[str, Any], __: Answers) -> None:
    """A panel that asks Tempo."""
    axes.axis("off")
    axes.text(0.5, 0.5, "from traces (Tempo): not in this picture", ha="center", va="center", color=FAINT, size=8)


def _time_axis(axes: Axes, answers: Answers) -> None:
    axes.set_xlim(_when(answers.start), _when(answers.end))
    axes.xaxis.set_major_locator(dates.MinuteLocator(byminute=range(0, 60, 15)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.tick_params(labelsize=6.5, colors=FAINT, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#d0d7de")


def _when(at: float) -> Any:
    return dates.date2num(dt.datetime.fromtimestamp(at, dt.timezone.utc))


DRAWERS: Final[dict[str, Callable[[Axes, dict[str, Any], Answers], None]]] = {
    "stat": stat,
    "timeseries": timeseries,
    "heatmap": heatmap,
    "bargauge": bargauge,
    "table": table,
    "text": text,
}
