"""What must hold for every committed dashboard: rules in the spirit of Grafana's dashboard-linter, and some of our own.

Each rule is a function from the JSON of a dashboard to what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser
from dashboards.generator import names
from dashboards.generator.filling import filled
from dashboards.generator.names import RESERVED_LABELS, label, metric

from otel_claude_stream._telemetry import schema

SOURCES = {"prometheus": "${datasource}", "tempo": "${tempo}"}
FILLED = {"job": ".+", "model": ".*", "server": ".*", "collector": ".+", "service": ".+"}
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",)}
WINDOWS = {"$__rate_interval", "$__range"}
GROWING = ("_total", "_bucket", "_sum", "_count")
SHORTEST_DESCRIPTION = 40
COLUMNS = 24

OURS = {
    metric(spec, name=name) + part: spec
    for spec in schema.METRICS
    for name in filter(None, (spec.name, spec.latest))
    for part in PARTS.get(spec.kind, ("",))
}
"""Every series of the schema, by its name in Prometheus."""


def panels(board) -> Iterator[dict]:
    """The panels, without the headings of rows."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def targets(board, kind="prometheus"):
    for panel in panels(board):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == kind:
                yield panel, target


def ready(expr: str) -> str:
    """An expression that a parser takes."""
    return filled(expr, FILLED, range_seconds=21600, interval_seconds=300)


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Every selector of an expression."""
    found = []

    def visit(node):
        match node:
            case promql_parser.VectorSelector():
                found.append(node)
            case promql_parser.MatrixSelector():
                found.append(node.vector_selector)
        return True

    walk(promql_parser.parse(ready(expr)), visit)
    return found


def walk(node, visit):
    """Visit a node and everything below it."""
    visit(node)
    for name in ("lhs", "rhs", "expr", "param"):
        below = getattr(node, name, None)
        if isinstance(below, promql_parser.Expr):
            walk(below, visit)
    for below in getattr(node, "args", None) or ():
        walk(below, visit)


def name_of(selector) -> str:
    """The name that a selector asks for, or the pattern of names."""
    return selector.name or next(m.value for m in selector.matchers.matchers if m.name == "__name__")


def matchers(selector) -> dict[str, str]:
    return {m.name: m.value for m in selector.matchers.matchers}


# --- The dashboard ---------------------------------------------------------------------------------------------------
def has_its_head(board):
    for key in ("uid", "title", "description", "schemaVersion", "refresh"):
        if not board.get(key):
            yield f"no {key}"
    if board.get("editable") is not False:
        yield "can be edited in Grafana, where edits are lost with the next provisioning"
    if "id" in board:
        yield "has the id of one database"


def is_linked_to_the_others(board):
    links = [link for link in board.get("links", ()) if link["type"] == "dashboards"]
    if not any(set(link["tags"]) <= set(board["tags"]) and link["keepTime"] and link["includeVars"] for link in links):
        yield "no link to the others of its tag that keeps time and variables"
    if any("placement" in link for link in links):
        yield "the link is hidden in a menu"


def shows_when_alerts_rang(board):
    found = [one for one in board["annotations"].get("list", ()) if one["expr"].startswith("ALERTS{")]
    if len(found) != 1:
        yield "alerts are not marked"
        return
    said = matchers(selectors(found[0]["expr"])[0])
    if said["alertstate"] != "firing" or said["job"] not in (FILLED["job"], FILLED["collector"]):
        yield "marks alerts of other jobs"
    if found[0]["datasource"]["uid"] != SOURCES["prometheus"]:
        yield "marks alerts of a fixed data source"


def asks_for_its_data_source(board):
    variables = {one["name"]: one for one in board["templating"]["list"]}
    used = {target["datasource"]["type"] for kind in SOURCES for _, target in targets(board, kind)}
    for kind in used | {"prometheus"}:
        name = SOURCES[kind][2:-1]
        if variables.get(name, {}).get("type") != "datasource" or variables[name].get("query") != kind:
            yield f"no variable {name} for the data source {kind}"


def has_the_variables(board):
    variables = {one["name"]: one for one in board["templating"]["list"]}
    wanted = ("job",) if "collector" in variables else ("job", "model", "server")
    for name in wanted:
        variable = variables.get(name, {})
        if variable.get("type") != "query":
            yield f"no variable {name}"
            continue
        if not (variable.get("multi") and variable.get("includeAll") and variable.get("allValue")):
            yield f"variable {name} is not one of several with all"
        if variable.get("refresh") != 2:
            yield f"variable {name} is not read anew when the time changes"
        if variable["datasource"]["uid"] != SOURCES["prometheus"]:
            yield f"variable {name} asks a fixed data source"


# --- The panels ------------------------------------------------------------------------------------------------------
def panels_speak(board):
    seen = set()
    for panel in panels(board):
        title = panel.get("title", "")
        if not title or title in seen:
            yield f"panel {panel['id']}: title {title!r} is missing or there twice"
        seen.add(title)
        if len(panel.get("description", "")) < SHORTEST_DESCRIPTION:
            yield f"{title}: no description"
        if panel["type"] == "text":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        if not defaults.get("unit"):
            yield f"{title}: no unit"
        if not defaults.get("noValue"):
            yield f"{title}: says nothing where there is nothing"


def panels_have_places(board):
    ids, cells = set(), set()
    for panel in board["panels"]:
        if panel["id"] in ids:
            yield f"id {panel['id']} is there twice"
        ids.add(panel["id"])
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if place["x"] + place["w"] > COLUMNS or cells & mine:
            yield f"{panel.get('title')}: lies over another, or over the edge"
        cells |= mine


def panels_use_the_variable_data_source(board):
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        if not panel.get("targets"):
            yield f"{panel['title']}: asks nothing"
        for found in (panel, *panel.get("targets", ())):
            source = found.get("datasource", {})
            if source.get("uid") != SOURCES.get(source.get("type")):
                yield f"{panel['title']}: a fixed data source, or none"
        refs = [target["refId"] for target in panel.get("targets", ())]
        if len(set(refs)) != len(refs) or not all(refs):
            yield f"{panel['title']}: targets without names of their own"


# --- The queries -----------------------------------------------------------------------------------------------------
def queries_parse(board):
    for panel, target in targets(board):
        try:
            promql_parser.parse(ready(target["expr"]))
        except (ValueError, KeyError) as error:
            yield f"{panel['title']}: {error}"


def queries_keep_to_the_variables(board):
    for panel, target in targets(board):
        found = selectors(target["expr"])
        # What a query is about comes first; which processes were known is asked in the same scope.
        about = OURS.get(name_of(found[0]))
        has = {label(attribute) for attribute in about.attributes} if about else set()
        for selector in found:
            said, name = matchers(selector), name_of(selector)
            if name == names.PROXY_ABORTS:
                continue  # the log of a proxy knows no job of ours
            if said.get("job") not in (FILLED["job"], FILLED["collector"]):
                yield f"{panel['title']}: {name} of every job, or of a fixed one"
            for wanted in ("gen_ai_request_model", "server_address"):
                if wanted in has and said.get(wanted) != FILLED["model"] and "collector" not in variables_of(board):
                    yield f"{panel['title']}: {name} without {wanted}"


def variables_of(board):
    return {one["name"] for one in board["templating"]["list"]}


def queries_have_fitting_windows(board):
    for panel, target in targets(board):
        found = set(re.findall(r"\[(\$?\w+)\]", target["expr"])) | set(re.findall(r"offset (\S+?)[ )]", target["expr"]))
        if found - WINDOWS:
            yield f"{panel['title']}: a fixed window {found - WINDOWS}"
        if target.get("instant") and "$__rate_interval" in found:
            yield f"{panel['title']}: one figure, of the last interval only"
        if target.get("range") and "$__range" in found:
            yield f"{panel['title']}: a curve of the whole range"


def counters_are_not_shown_raw(board):
    """A counter's height is the age of its process. Raw it may only be compared with itself (`unless`, `and`)."""
    for panel, target in targets(board):
        raw = []

        def visit(node, raw=raw):
            match node:
                case promql_parser.AggregateExpr(expr=promql_parser.VectorSelector() as selector):
                    if name_of(selector).endswith(GROWING):
                        raw.append(name_of(selector))

        walk(promql_parser.parse(ready(target["expr"])), visit)
        yield from (f"{panel['title']}: {name} without rate() or increase()" for name in raw)


def bounds_are_written_both_ways(board):
    for panel, target in targets(board):
        for bound in re.findall(r'le="(\d+)(?:\.0)?"', target["expr"]):
            yield f"{panel['title']}: le={bound} is found by one naming only"


def names_are_of_the_schema(board):
    for panel, target in targets(board):
        for selector in selectors(target["expr"]):
            name = name_of(selector)
            if name.startswith("otelcol_") or name == names.PROXY_ABORTS:
                continue
            if name not in OURS:
                yield f"{panel['title']}: nobody emits {name}"
                continue
            allowed = {label(x) for x in OURS[name].attributes} | set(RESERVED_LABELS)
            yield from (
                f"{panel['title']}: {name} has no label {unknown}" for unknown in set(matchers(selector)) - allowed
            )


def legends_have_their_labels(board):
    """A legend names labels that the query keeps."""
    for panel, target in targets(board):
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        if wanted - kept:
            yield f"{panel['title']}: the legend names {wanted - kept}"


def traces_are_of_the_schema(board):
    known = {attribute.name for span in schema.SPANS for attribute in span.attributes}
    events = {event.name for event in schema.EVENTS}
    spans = {span.name for span in schema.SPANS}
    for panel, target in targets(board, "tempo"):
        query = target["query"]
        for found in re.findall(r"span\.([\w.]+)", query):
            if found not in known:
                yield f"{panel['title']}: no span has {found}"
        for found in re.findall(r'event:name = "([^"]+)"', query):
            if found not in events:
                yield f"{panel['title']}: no event is called {found}"
        for found in re.findall(r'(?<!:)\bname = "([^"]+)"', query):
            if found not in spans:
                yield f"{panel['title']}: no span is called {found}"
        if query.count("{") - query.count("${") != query.count("}") - query.count("${") or query.count(
            "("
        ) != query.count(")"):
            yield f"{panel['title']}: brackets do not match"


RULES = (
    has_its_head,
    is_linked_to_the_others,
    shows_when_alerts_rang,
    asks_for_its_data_source,
    has_the_variables,
    panels_speak,
    panels_have_places,
    panels_use_the_variable_data_source,
    queries_parse,
    queries_keep_to_the_variables,
    queries_have_fitting_windows,
    counters_are_not_shown_raw,
    bounds_are_written_both_ways,
    names_are_of_the_schema,
    legends_have_their_labels,
    traces_are_of_the_schema,
)


def problems(board) -> list[str]:
    """Everything that is wrong with a dashboard."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(board)]
