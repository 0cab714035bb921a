"""Dashboards as data: queries, presentation and texts. ``grafana_json`` and ``perses_json`` convert them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "bars", "heatmap", "bargauge", "table", "traces", "text"]
Form = Literal["range", "instant", "table", "heatmap", "traces", "trace metrics"]
Level = Literal["good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel: TraceQL for the forms ``traces`` and ``trace metrics``, otherwise PromQL."""

    expr: str
    legend: str = ""
    form: Form = "range"
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, with its heading and the texts that replace values of its field."""

    field: str
    title: str
    texts: tuple[tuple[str, str], ...] = ()
    width: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a dashboard."""

    kind: Kind
    title: str
    description: str
    unit: str = "none"
    queries: tuple[Query, ...] = ()
    width: int = 12
    height: int = 8
    no_value: str = "no data"
    thresholds: tuple[tuple[float, Level], ...] = ()
    """Colours from a value upwards, such as ``((0.05, "warn"), (0.2, "bad"))``."""
    base_level: Level | None = None
    """Colour below the first threshold; the colour of text if unset."""
    decimals: int | None = None
    maximum: float | None = None
    """Upper end of the scale."""
    stacked: bool = False
    log_scale: bool = False
    columns: tuple[Column, ...] = ()
    link_to: str = ""
    """The uid of the dashboard that the panel links to."""
    content: str = ""
    """Markdown of a text panel."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, laid out from left to right and top to bottom."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with the values of a label; ``expr`` is the argument of ``label_values``."""

    name: str
    label: str
    description: str
    expr: str
    all_value: str = ".*"
    regex: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. ``file`` is the name of its JSON file; ``uid`` is part of its URL and must not change."""

    file: str
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    traces: bool = False
    """Whether it also queries Tempo."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in the order of the rows."""
        return tuple(panel for row in self.rows for panel in row.panels)
