"""The dashboards for Perses pass its schemas and its Go model, and have the panels and queries of the Grafana ones."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
from dashboards.generator import perses_json
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT

SCHEMA = json.loads(Path(__file__).with_name("perses_schema.json").read_text(encoding="utf-8"))
"""Made from the types that the packages of Perses publish (`npm run schema` in `dashboards/page`)."""
FILES = sorted((ROOT / "perses").glob("*.json"))


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def schema_errors(dashboard):
    return [error.message[:200] for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(dashboard)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_types_of_perses_accept_every_dashboard(path):
    assert schema_errors(load(path)) == []


def _set_unit(panels):
    panels["completed-share"]["spec"]["plugin"]["spec"]["format"]["unit"] = "streams"


def _set_unknown_option(panels):
    panels["streams-by-outcome"]["spec"]["plugin"]["spec"]["logBase"] = 10


def _set_unknown_plugin(panels):
    panels["gaps-between-chunks"]["spec"]["plugin"]["kind"] = "Heatmap"


def _remove_query(panels):
    del panels["stalls"]["spec"]["queries"][0]["spec"]["plugin"]["spec"]["query"]


@pytest.mark.parametrize("change", [_set_unit, _set_unknown_option, _set_unknown_plugin, _remove_query])
def test_the_types_of_perses_reject_wrong_values(change):
    dashboard = load(ROOT / "perses" / "stream-health.json")
    change(dashboard["spec"]["panels"])
    assert schema_errors(dashboard)


def check(program, *paths):
    return subprocess.run([program, *paths], capture_output=True, text=True, timeout=60, check=False)


def test_the_go_model_of_perses_accepts_every_dashboard(perses_model):
    done = check(perses_model, *FILES)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"$ref": "#/spec/panels/stalls"', '"$ref": "#/spec/panels/stall"', "stall"),
        ('"refreshInterval"', '"refresh"', "not in the model: spec.refresh"),
        ('"duration": "6h"', '"duration": "long"', "duration"),
        ('"name": "job"', '"name": "a job"', "not a correct name"),
    ],
)
def test_the_go_model_of_perses_rejects_wrong_values(old, new, reason, perses_model, tmp_path):
    text = (ROOT / "perses" / "stream-health.json").read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / "broken.json"
    broken.write_text(text.replace(old, new), encoding="utf-8")
    done = check(perses_model, broken)
    assert done.returncode == 1
    assert reason in done.stdout


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.file)
def test_panels_and_promql_are_those_of_the_grafana_dashboard(board):
    """Only the prefixes of the texts in a table are added."""
    grafana = {
        panel["title"]: [target["expr"] for target in panel.get("targets", ()) if "expr" in target]
        for panel in load(ROOT / "grafana" / f"{board.file}.json")["panels"]
        if panel["type"] != "row"
    }
    perses = {}
    for panel in load(ROOT / "perses" / f"{board.file}.json")["spec"]["panels"].values():
        queries = [query["spec"]["plugin"] for query in panel["spec"].get("queries", ())]
        perses[panel["spec"]["display"]["name"]] = [
            re.sub(r'"(?:suspects|remedy):\$1"', '"$1"', query["spec"]["query"])
            for query in queries
            if query["kind"] == "PrometheusTimeSeriesQuery"
        ]
    assert perses == grafana


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_links_of_panels_lead_to_dashboards_and_keep_variables_and_times(path):
    boards = {perses_json.path(board): board for board in BOARDS}
    for panel in load(path)["spec"]["panels"].values():
        for link in panel["spec"].get("links", ()):
            target, _, parameters = link["url"].partition("?")
            names = [variable.name for variable in boards[target].variables if not variable.hidden]
            kept = [part.partition("=")[0] for part in parameters.split("&")]
            assert kept == [*(f"var-{name}" for name in names), "start", "end"]


def test_every_panel_is_in_the_layout_once():
    for path in FILES:
        spec = load(path)["spec"]
        placed = [item["content"]["$ref"] for grid in spec["layouts"] for item in grid["spec"]["items"]]
        assert sorted(placed) == sorted(f"#/spec/panels/{key}" for key in spec["panels"])


TRACE_TABLES = [
    (path.stem, panel["spec"])
    for path in FILES
    for panel in load(path)["spec"]["panels"].values()
    if panel["spec"]["plugin"]["kind"] == "TraceTable"
]


def test_traceql_has_no_variables_which_perses_does_not_insert():
    assert len(TRACE_TABLES) >= 6
    for board, spec in TRACE_TABLES:
        (query,) = (query["spec"]["plugin"] for query in spec["queries"])
        assert query["kind"] == "TempoTraceQuery"
        assert "$" not in query["spec"]["query"], board
        assert re.match(r"\{ (span|event)[.:][\w.]+ ", query["spec"]["query"])


def test_a_trace_in_a_table_links_to_the_explorer_of_perses():
    for _, spec in TRACE_TABLES:
        link = urlsplit(spec["plugin"]["spec"]["links"]["trace"].replace("${traceId}", "1234"))
        parameters = parse_qs(link.query)
        assert (link.path, parameters.pop("explorer")) == ("/explore", ["Tempo-TempoExplorer"])
        ((query,),) = (json.loads(text)["queries"] for text in parameters.pop("data"))
        assert query["spec"]["plugin"] == {"kind": "TempoTraceQuery", "spec": {"query": "1234"}}
        assert parameters == {}
