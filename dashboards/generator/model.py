"""Dashboards as data: what is asked, how it is drawn, what the reader is told. Grafana's own forms are in ``build``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "bars", "heatmap", "bargauge", "table", "traces", "text"]
Form = Literal["range", "instant", "table", "heatmap", "traces", "trace metrics"]
Level = Literal["good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel: PromQL, or TraceQL for the two forms of traces."""

    expr: str
    legend: str = ""
    form: Form = "range"
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the field's name, its head, and texts that stand for its values."""

    field: str
    title: str
    texts: tuple[tuple[str, str], ...] = ()
    width: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``steps`` colour a figure from a value on: ``((0.05, "warn"), (0.2, "bad"))``."""

    kind: Kind
    title: str
    description: str
    unit: str = "none"
    queries: tuple[Query, ...] = ()
    width: int = 12
    height: int = 8
    no_value: str = "no data"
    steps: tuple[tuple[float, Level], ...] = ()
    first: Level | None = None
    """Colour below the first step; plain without."""
    decimals: int | None = None
    most: float | None = None
    stacked: bool = False
    log: bool = False
    columns: tuple[Column, ...] = ()
    link: str = ""
    """The uid of the dashboard to go on with."""
    content: str = ""
    """Markdown, of a text panel."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right, top to bottom."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable filled from labels: ``expr`` is the argument of ``label_values``."""

    name: str
    label: str
    description: str
    expr: str
    all_value: str = ".*"
    regex: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. ``file`` is its name in the folder ``grafana``, ``uid`` its address, which never changes."""

    file: str
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    traces: bool = False
    """Whether it asks Tempo as well."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)
