"""The committed dashboards pass the rules of `lint`, and each rule finds its problem in a broken dashboard."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.names import metric
from tests.support.dashboards import lint

from otel_claude_stream._telemetry import schema

FILES = sorted((ROOT / "grafana").glob("*.json"))


def board(name="stream-health"):
    return json.loads((ROOT / "grafana" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_committed_dashboards_pass_all_rules(path: Path):
    assert lint.problems(json.loads(path.read_text(encoding="utf-8"))) == []


def test_each_board_has_one_file_and_a_unique_uid():
    assert [path.stem for path in FILES] == sorted(one.file for one in BOARDS)
    assert len({one.uid for one in BOARDS}) == len(FILES) == 6


NOT_SHOWN = {
    # `time_to_first_token` and `chunk.gap` show these better, without the time of the caller.
    schema.GENAI_DURATION, schema.GENAI_TIME_TO_FIRST_CHUNK, schema.GENAI_TIME_PER_OUTPUT_CHUNK,
    # These describe requests, not streams.
    schema.GENAI_USAGE_INPUT, schema.GENAI_USAGE_CACHE_READ, schema.GENAI_USAGE_CACHE_WRITE,
    schema.GENAI_USAGE_REASONING,
    # Only requests that list fallback models have it.
    schema.FALLBACKS,
    # Only applications that set `feeds` have these.
    schema.FEED_CONNECTIONS, schema.FEED_DURATION, schema.FEED_GAP, schema.FEED_RECONNECTS, schema.FEED_ERRORS,
}  # fmt: skip


def test_every_metric_of_the_schema_is_on_a_dashboard():
    """A metric on no dashboard is either superfluous or forgotten."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert {spec.name for spec in schema.METRICS if metric(spec) not in text} == {spec.name for spec in NOT_SHOWN}


def first_query(found, title):
    return next(panel for panel in found["panels"] if panel.get("title") == title)["targets"][0]


def _replace_in_query(title, old, new):
    def break_it(found):
        query = first_query(found, title)
        assert old in query["expr"]
        query["expr"] = query["expr"].replace(old, new)

    return break_it


def _change_first_stat(**changes):
    def break_it(found):
        next(panel for panel in found["panels"] if panel["type"] == "stat").update(changes)

    return break_it


def _remove(*path):
    def break_it(found):
        *parents, last = path
        for key in parents:
            found = found[key]
        del found[last]

    return break_it


def _use_fixed_data_source(found):
    first_query(found, "Streams, by outcome")["datasource"]["uid"] = "P1809F7CD0C75ACF3"


def _remove_unit(found):
    del found["panels"][1]["fieldConfig"]["defaults"]["unit"]


def _use_dropped_label(found):
    first_query(found, "Streams, by outcome")["legendFormat"] = "{{instance}}"


def _use_unknown_attribute(found):
    query = first_query(found, "Completed with a partial answer")
    query["query"] = query["query"].replace("stop_reason", "stopreason")


BREAKING_CHANGES = {
    "has_required_fields": _remove("uid"),
    "links_to_the_other_dashboards": _remove("links", 0),
    "annotates_firing_alerts": _remove("annotations", "list"),
    "has_data_source_variables": _remove("templating", "list", 0),
    "has_label_variables": _remove("templating", "list", 2, "allValue"),
    "panels_are_described": _remove_unit,
    "panels_do_not_overlap": _change_first_stat(gridPos={"x": 22, "y": 0, "w": 4, "h": 4}),
    "panels_use_the_data_source_variables": _use_fixed_data_source,
    "queries_parse": _replace_in_query("Streams, by outcome", "rate(", "rate(("),
    "queries_filter_by_the_variables": _replace_in_query("Streams, by outcome", 'job=~"$job"', 'job="chat"'),
    "queries_use_variable_windows": _replace_in_query("Streams, by outcome", "$__rate_interval", "5m"),
    "counters_are_rated": _replace_in_query("Active streams", "claude_stream_active", "claude_stream_requests_total"),
    "bucket_bounds_match_both_spellings": _replace_in_query("Streams, by outcome", "{", '{le="60",'),
    "metrics_and_labels_are_in_the_schema": _replace_in_query(
        "Streams, by outcome", "claude_stream_duration", "claude_stream_lifetime"
    ),
    "legend_labels_are_in_the_result": _use_dropped_label,
    "traceql_names_are_in_the_schema": _use_unknown_attribute,
}


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_rejects_a_dashboard_that_breaks_it(rule):
    """Each rule accepts a good dashboard, and rejects one that was broken for it."""
    good = board()
    assert list(rule(good)) == []
    broken = copy.deepcopy(good)
    BREAKING_CHANGES[rule.__name__](broken)
    assert list(rule(broken))
