"""Converts dashboards to the JSON of Grafana, with Grafana's Foundation SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from dashboards.generator.model import Board, Column, Panel, Query, Variable
from dashboards.generator.sources import described
from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    tempo,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models import prometheus as p
from grafana_foundation_sdk.models import tempo as t
from grafana_foundation_sdk.models import text as x

TAG: Final = "otel-claude-stream"
COMPONENT: Final = "claude-stream"
"""Value of the label ``component`` of every alert."""
PROMETHEUS: Final = "datasource"
TEMPO: Final = "tempo"
SCHEMA_VERSION: Final = 41
"""Version of the classic dashboard model. Grafana migrates older versions when it loads them."""

_COLUMNS: Final = 24
_COLORS: Final = {"good": "green", "warn": "orange", "bad": "red", None: "text"}
_SOURCES: Final = {
    PROMETHEUS: c.DataSourceRef(type_val="prometheus", uid=f"${{{PROMETHEUS}}}"),
    TEMPO: c.DataSourceRef(type_val="tempo", uid=f"${{{TEMPO}}}"),
}
_TRACES: Final = ("traces", "trace metrics")


def data_source_of(panel: Panel) -> str:
    """Return the variable of the data source that a panel queries."""
    return TEMPO if any(query.form in _TRACES for query in panel.queries) else PROMETHEUS


def _prometheus(query: Query, ref: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(ref)
    target = target.editor_mode(p.QueryEditorMode.CODE).datasource(_SOURCES[PROMETHEUS])
    match query.form:
        case "instant":
            return target.instant().format(p.PromQueryFormat.TIME_SERIES)
        case "table":
            return target.instant().format(p.PromQueryFormat.TABLE)
        case "heatmap":
            return target.range().format(p.PromQueryFormat.HEATMAP)
        case _:
            return target.range().format(p.PromQueryFormat.TIME_SERIES).exemplar(query.exemplar)


def _tempo(query: Query, ref: str) -> tempo.Dataquery:
    target = tempo.Dataquery().query(query.expr).query_type("traceql").ref_id(ref).datasource(_SOURCES[TEMPO])
    if query.form == "traces":
        return target.table_type(t.SearchTableType.SPANS).limit(50).spss(3)
    return target.metrics_query_type(t.MetricsQueryType.RANGE)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(c.LegendDisplayMode.TABLE)
        .placement(c.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["mean", "max", "lastNotNull"])
    )


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [d.Threshold(value=None, color=_COLORS[panel.base_level])]
    steps += [d.Threshold(value=value, color=_COLORS[level]) for value, level in panel.thresholds]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(steps)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False).fields("")


def _stat(_: Panel) -> Any:
    return (
        stat.Panel()
        .reduce_options(_last())
        .graph_mode(c.BigValueGraphMode.NONE)
        .color_mode(c.BigValueColorMode.VALUE)
        .text_mode(c.BigValueTextMode.AUTO)
    )


def _timeseries(panel: Panel) -> Any:
    bars = panel.kind == "bars"
    drawn = (
        timeseries.Panel()
        .draw_style(c.GraphDrawStyle.BARS if bars else c.GraphDrawStyle.LINE)
        .fill_opacity(70 if bars else 15 if panel.stacked else 5)
        .line_width(1)
        .show_points(c.VisibilityMode.AUTO)
        .span_nulls(False)
        .axis_soft_min(0)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if panel.stacked:
        drawn = drawn.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if panel.log_scale:
        drawn = drawn.scale_distribution(common.ScaleDistributionConfig().type(c.ScaleDistribution.LOG).log(10))
    return drawn


def _heatmap(panel: Panel) -> Any:
    built = heatmap.Panel().calculate(calculate=False).cell_gap(1).exemplars_color("rgba(255,0,255,0.7)")
    options = built.build().options
    options.color = h.HeatmapColorOptions(
        mode=h.HeatmapColorMode.SCHEME, scheme="Oranges", fill="dark-orange", exponent=0.5, steps=64,
        scale=h.HeatmapColorScale.EXPONENTIAL,
    )  # fmt: skip
    options.y_axis = h.YAxisConfig(unit=panel.unit, axis_placement=c.AxisPlacement.LEFT)
    options.rows_frame = h.RowsHeatmapOptions(layout=c.HeatmapCellLayout.AUTO)
    options.filter_values = h.FilterValueRange(le=1e-9)
    options.tooltip = h.HeatmapTooltip(mode=c.TooltipDisplayMode.SINGLE, y_histogram=True)
    options.legend = h.HeatmapLegend(show=True)
    options.exemplars = h.ExemplarConfig(color="rgba(255,0,255,0.7)")
    options.show_value = c.VisibilityMode.NEVER
    return built


def _bargauge(_: Panel) -> Any:
    return (
        bargauge.Panel()
        .reduce_options(_last())
        .orientation(c.VizOrientation.HORIZONTAL)
        .display_mode(c.BarGaugeDisplayMode.BASIC)
        .value_mode(c.BarGaugeValueMode.TEXT)
        .name_placement(c.BarGaugeNamePlacement.LEFT)
        .show_unfilled(show_unfilled=True)
        .sizing(c.BarGaugeSizing.AUTO)
    )


def _table(panel: Panel) -> Any:
    built = table.Panel().show_header(show_header=True).filterable(filterable=True)
    built = built.cell_options(c.TableAutoCellOptions())
    if panel.columns:
        built = built.with_transformation(_column_order(panel.columns))
        for column in panel.columns:
            properties = _properties(column)
            if properties:
                built = built.override_by_name(column.title, properties)
    return built


def _column_order(columns: Sequence[Column]) -> d.DataTransformerConfig:
    """Set the order and the headings of the columns, and hide the time."""
    names = {column.field: column.title for column in columns}
    order = {column.field: number for number, column in enumerate(columns)}
    return d.DataTransformerConfig(
        id_val="organize",
        options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
    )


def _properties(column: Column) -> list[d.DynamicConfigValue]:
    properties = []
    if column.width:
        properties.append(d.DynamicConfigValue(id_val="custom.width", value=column.width))
    if column.texts:
        options = {value: {"text": shown, "index": number} for number, (value, shown) in enumerate(column.texts)}
        properties.append(d.DynamicConfigValue(id_val="mappings", value=[{"type": "value", "options": options}]))
    return properties


def _text(panel: Panel) -> Any:
    return text.Panel().mode(x.TextMode.MARKDOWN).content(panel.content)


_BUILDERS: Final[dict[str, Callable[[Panel], Any]]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "bars": _timeseries,
    "heatmap": _heatmap,
    "bargauge": _bargauge,
    "table": _table,
    "traces": _table,
    "text": _text,
}


def _panel(panel: Panel, number: int, position: d.GridPos) -> Any:
    built = _BUILDERS[panel.kind](panel).id(number).title(panel.title).description(described(panel))
    built = built.grid_pos(position)
    if panel.kind == "text":
        return built
    built = built.datasource(_SOURCES[data_source_of(panel)]).unit(panel.unit).no_value(panel.no_value)
    for index, query in enumerate(panel.queries):
        ref = chr(ord("A") + index)
        built = built.with_target(_tempo(query, ref) if query.form in _TRACES else _prometheus(query, ref))
    if panel.kind in ("stat", "bargauge"):
        built = built.thresholds(_thresholds(panel)).color_scheme(
            dashboard.FieldColor().mode(d.FieldColorModeId.THRESHOLDS)
        )
    if panel.decimals is not None:
        built = built.decimals(panel.decimals)
    if panel.maximum is not None:
        built = built.max(panel.maximum)
    if panel.kind in ("stat", "bargauge", "timeseries", "bars"):
        built = built.min(0)
    if panel.link_to:
        built = built.links([_link(panel.link_to)])
    return built


def _link(uid: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Open the next dashboard")
        .type(d.DashboardLinkType.LINK)
        .url(f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")
    )


def _variable(variable: Variable) -> dashboard.QueryVariable:
    made = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .description(variable.description)
        .datasource(_SOURCES[PROMETHEUS])
        .query({"qryType": 1, "query": f"label_values({variable.expr})", "refId": "labels"})
        .definition(f"label_values({variable.expr})")
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(d.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    if variable.all_value:
        made = made.all_value(variable.all_value)
    if variable.regex:
        made = made.regex(variable.regex)
    return made.hide(d.VariableHide.HIDE_VARIABLE) if variable.hidden else made


def _data_source(name: str, kind: str, label: str) -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable(name).label(label).type(kind).description(f"The {label} data source.")


def _alerts(board: Board) -> dashboard.AnnotationQuery:
    """Annotations at the times when alerts of the selected jobs fired."""
    jobs = "$collector" if any(variable.name == "collector" for variable in board.variables) else "$job"
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(_SOURCES[PROMETHEUS])
        .enable(enable=True)
        .icon_color("red")
        .expr(f'ALERTS{{alertstate="firing",component="{COMPONENT}",job=~"{jobs}"}}')
        .step("60s")
        .title_format("{{alertname}}")
        .tag_keys("severity,job")
    )


def build(board: Board) -> dict[str, Any]:
    """Return the JSON of a dashboard as plain data."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Claude streams")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .icon("dashboard")
            .as_dropdown(as_dropdown=False)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .annotation(_alerts(board))
        .with_variable(_data_source(PROMETHEUS, "prometheus", "Prometheus"))
    )
    if board.traces:
        made = made.with_variable(_data_source(TEMPO, "tempo", "Tempo"))
    for variable in board.variables:
        made = made.with_variable(_variable(variable))
    number, top = 0, 0
    for row in board.rows:
        number += 1
        head = dashboard.Row(row.title).id(number).grid_pos(d.GridPos(h=1, w=_COLUMNS, x=0, y=top))
        made = made.with_row(head)
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            number += 1
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            position = d.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            made = made.with_panel(_panel(panel, number, position))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    plain: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    plain["schemaVersion"] = SCHEMA_VERSION
    for link in plain["links"]:
        del link["placement"]  # the default of the Foundation SDK hides links in a menu
    for panel in plain["panels"]:
        if panel["type"] == "table":
            del panel["options"]["footer"]  # an option of the Foundation SDK that current Grafana does not have
    return plain


def render(board: Board) -> str:
    """Return the text of the committed file."""
    return json.dumps(build(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
