"""Lint rules for the committed dashboards, similar to those of Grafana's dashboard-linter.

Each rule is a function that yields the problems that it finds in the JSON of a dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser
from dashboards.generator import names
from dashboards.generator.interpolation import interpolate
from dashboards.generator.names import RESERVED_LABELS, label, metric

from otel_claude_stream._telemetry import schema

SOURCES = {"prometheus": "${datasource}", "tempo": "${tempo}"}
FILLED = {"job": ".+", "model": ".*", "server": ".*", "source": ".*", "collector": ".+", "service": ".+"}
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",)}
WINDOWS = {"$__rate_interval", "$__range"}
GROWING = ("_total", "_bucket", "_sum", "_count")
SHORTEST_DESCRIPTION = 40
COLUMNS = 24

SOURCE = "claude_stream_source"
"""The label that the Collector adds to the metrics of this package."""

SCHEMA_SERIES = {
    metric(spec, name=name) + part: spec
    for spec in schema.METRICS
    for name in filter(None, (spec.name, spec.name_0_1))
    for part in PARTS.get(spec.kind, ("",))
}
"""The metrics of the schema by the names of their series in Prometheus."""


def panels(board) -> Iterator[dict]:
    """Yield the panels without the headings of rows."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def targets(board, kind="prometheus"):
    for panel in panels(board):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == kind:
                yield panel, target


def interpolated(expr: str) -> str:
    """Interpolate the variables, so that a parser accepts the expression."""
    return interpolate(expr, FILLED, range_seconds=21600, interval_seconds=300)


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Return all selectors of an expression."""
    found = []

    def visit(node):
        match node:
            case promql_parser.VectorSelector():
                found.append(node)
            case promql_parser.MatrixSelector():
                found.append(node.vector_selector)
        return True

    walk(promql_parser.parse(interpolated(expr)), visit)
    return found


def walk(node, visit):
    """Visit a node and all nodes below it."""
    visit(node)
    for name in ("lhs", "rhs", "expr", "param"):
        below = getattr(node, name, None)
        if isinstance(below, promql_parser.Expr):
            walk(below, visit)
    for below in getattr(node, "args", None) or ():
        walk(below, visit)


def name_of(selector) -> str:
    """Return the metric name of a selector, or its pattern."""
    return selector.name or next(m.value for m in selector.matchers.matchers if m.name == "__name__")


def matchers(selector) -> dict[str, str]:
    return {m.name: m.value for m in selector.matchers.matchers}


# --- The dashboard ---------------------------------------------------------------------------------------------------
def has_required_fields(board):
    for key in ("uid", "title", "description", "schemaVersion", "refresh"):
        if not board.get(key):
            yield f"no {key}"
    if board.get("editable") is not False:
        yield "is editable in Grafana, but the next provisioning discards edits"
    if "id" in board:
        yield "has an id, which is valid in one Grafana only"


def links_to_the_other_dashboards(board):
    links = [link for link in board.get("links", ()) if link["type"] == "dashboards"]
    if not any(set(link["tags"]) <= set(board["tags"]) and link["keepTime"] and link["includeVars"] for link in links):
        yield "no link to the dashboards of its tag that keeps time range and variables"
    if any("placement" in link for link in links):
        yield "the link to the other dashboards is hidden in a menu"


def annotates_firing_alerts(board):
    found = [one for one in board["annotations"].get("list", ()) if one["expr"].startswith("ALERTS{")]
    if len(found) != 1:
        yield "no annotation shows alerts"
        return
    conditions = matchers(selectors(found[0]["expr"])[0])
    if conditions["alertstate"] != "firing" or conditions["job"] not in (FILLED["job"], FILLED["collector"]):
        yield "the annotation shows alerts of other jobs"
    if found[0]["datasource"]["uid"] != SOURCES["prometheus"]:
        yield "the annotation uses a fixed data source"


def has_data_source_variables(board):
    variables = {one["name"]: one for one in board["templating"]["list"]}
    used = {target["datasource"]["type"] for kind in SOURCES for _, target in targets(board, kind)}
    for kind in used | {"prometheus"}:
        name = SOURCES[kind][2:-1]
        if variables.get(name, {}).get("type") != "datasource" or variables[name].get("query") != kind:
            yield f"no variable {name} for the data source {kind}"


def has_label_variables(board):
    variables = {one["name"]: one for one in board["templating"]["list"]}
    wanted = ("job",) if "collector" in variables else ("job", "model", "server", "source")
    for name in wanted:
        variable = variables.get(name, {})
        if variable.get("type") != "query":
            yield f"no variable {name}"
            continue
        if not (variable.get("multi") and variable.get("includeAll") and variable.get("allValue")):
            yield f"variable {name} does not allow several values and All"
        if variable.get("refresh") != 2:
            yield f"variable {name} is not refreshed when the time range changes"
        if variable["datasource"]["uid"] != SOURCES["prometheus"]:
            yield f"variable {name} uses a fixed data source"


# --- The panels ------------------------------------------------------------------------------------------------------
def panels_are_described(board):
    seen = set()
    for panel in panels(board):
        title = panel.get("title", "")
        if not title or title in seen:
            yield f"panel {panel['id']}: title {title!r} is missing or not unique"
        seen.add(title)
        if len(panel.get("description", "")) < SHORTEST_DESCRIPTION:
            yield f"{title}: no description"
        if panel["type"] == "text":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        if not defaults.get("unit"):
            yield f"{title}: no unit"
        if not defaults.get("noValue"):
            yield f"{title}: no text for missing data"


def panels_do_not_overlap(board):
    ids, cells = set(), set()
    for panel in board["panels"]:
        if panel["id"] in ids:
            yield f"id {panel['id']} is not unique"
        ids.add(panel["id"])
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if place["x"] + place["w"] > COLUMNS or cells & mine:
            yield f"{panel.get('title')}: overlaps another panel or the edge"
        cells |= mine


def panels_use_the_data_source_variables(board):
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        if not panel.get("targets"):
            yield f"{panel['title']}: no queries"
        for found in (panel, *panel.get("targets", ())):
            source = found.get("datasource", {})
            if source.get("uid") != SOURCES.get(source.get("type")):
                yield f"{panel['title']}: no data source, or a fixed one"
        refs = [target["refId"] for target in panel.get("targets", ())]
        if len(set(refs)) != len(refs) or not all(refs):
            yield f"{panel['title']}: targets without unique refIds"


# --- The queries -----------------------------------------------------------------------------------------------------
def queries_parse(board):
    for panel, target in targets(board):
        try:
            promql_parser.parse(interpolated(target["expr"]))
        except (ValueError, KeyError) as error:
            yield f"{panel['title']}: {error}"


def queries_filter_by_the_variables(board):
    for panel, target in targets(board):
        found = selectors(target["expr"])
        # The first selector has the metric of the query. Others may only check which processes were scraped.
        about = SCHEMA_SERIES.get(name_of(found[0]))
        has = {label(attribute) for attribute in about.attributes} if about else set()
        for selector in found:
            conditions, name = matchers(selector), name_of(selector)
            if name == names.PROXY_ABORTS:
                continue  # proxy logs have no job of an application
            if conditions.get("job") not in (FILLED["job"], FILLED["collector"]):
                yield f"{panel['title']}: {name} is not filtered by the variable job"
            if "gen_ai_request_model" in has and name.startswith("claude_stream"):
                has.add(SOURCE)
            for wanted in ("gen_ai_request_model", "server_address", SOURCE):
                if (
                    wanted in has
                    and conditions.get(wanted) != FILLED["model"]
                    and "collector" not in variables_of(board)
                ):
                    yield f"{panel['title']}: {name} is not filtered by {wanted}"


def variables_of(board):
    return {one["name"] for one in board["templating"]["list"]}


def queries_use_variable_windows(board):
    for panel, target in targets(board):
        found = set(re.findall(r"\[(\$?\w+)\]", target["expr"])) | set(re.findall(r"offset (\S+?)[ )]", target["expr"]))
        if found - WINDOWS:
            yield f"{panel['title']}: a fixed window: {found - WINDOWS}"
        if target.get("instant") and "$__rate_interval" in found:
            yield f"{panel['title']}: a single value that covers only the last interval"
        if target.get("range") and "$__range" in found:
            yield f"{panel['title']}: a curve whose points cover the whole range"


def counters_are_rated(board):
    """The value of a counter depends on the age of its process. It may only appear raw in `unless` and `and`."""
    for panel, target in targets(board):
        raw = []

        def visit(node, raw=raw):
            match node:
                case promql_parser.AggregateExpr(expr=promql_parser.VectorSelector() as selector):
                    if name_of(selector).endswith(GROWING):
                        raw.append(name_of(selector))

        walk(promql_parser.parse(interpolated(target["expr"])), visit)
        yield from (f"{panel['title']}: {name} without rate() or increase()" for name in raw)


def bucket_bounds_match_both_spellings(board):
    for panel, target in targets(board):
        for bound in re.findall(r'le="(\d+)(?:\.0)?"', target["expr"]):
            yield f"{panel['title']}: le={bound} matches only one spelling of the bound"


def metrics_and_labels_are_in_the_schema(board):
    for panel, target in targets(board):
        for selector in selectors(target["expr"]):
            name = name_of(selector)
            if name.startswith("otelcol_") or name == names.PROXY_ABORTS:
                continue
            if name not in SCHEMA_SERIES:
                yield f"{panel['title']}: the schema has no metric {name}"
                continue
            allowed = {label(x) for x in SCHEMA_SERIES[name].attributes} | {*RESERVED_LABELS, SOURCE}
            yield from (
                f"{panel['title']}: {name} has no label {unknown}" for unknown in set(matchers(selector)) - allowed
            )


def legend_labels_are_in_the_result(board):
    """A legend may only use labels that the query keeps."""
    for panel, target in targets(board):
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        if wanted - kept:
            yield f"{panel['title']}: the legend uses labels that the query drops: {wanted - kept}"


def traceql_names_are_in_the_schema(board):
    known = {attribute.name for span in schema.SPANS for attribute in span.attributes}
    events = {event.name for event in schema.EVENTS}
    spans = {span.name for span in schema.SPANS}
    for panel, target in targets(board, "tempo"):
        query = target["query"]
        for found in re.findall(r"span\.([\w.]+)", query):
            if found not in known:
                yield f"{panel['title']}: the schema has no span attribute {found}"
        for found in re.findall(r'event:name = "([^"]+)"', query):
            if found not in events:
                yield f"{panel['title']}: the schema has no event {found}"
        for found in re.findall(r'(?<!:)\bname = "([^"]+)"', query):
            if found not in spans:
                yield f"{panel['title']}: the schema has no span {found}"
        if query.count("{") - query.count("${") != query.count("}") - query.count("${") or query.count(
            "("
        ) != query.count(")"):
            yield f"{panel['title']}: brackets do not match"


RULES = (
    has_required_fields,
    links_to_the_other_dashboards,
    annotates_firing_alerts,
    has_data_source_variables,
    has_label_variables,
    panels_are_described,
    panels_do_not_overlap,
    panels_use_the_data_source_variables,
    queries_parse,
    queries_filter_by_the_variables,
    queries_use_variable_windows,
    counters_are_rated,
    bucket_bounds_match_both_spellings,
    metrics_and_labels_are_in_the_schema,
    legend_labels_are_in_the_result,
    traceql_names_are_in_the_schema,
)


def problems(board) -> list[str]:
    """Return all problems of a dashboard."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(board)]
