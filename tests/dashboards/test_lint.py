"""The committed dashboards keep the rules of `lint`; and each rule finds what it is there to find."""

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
def test_the_committed_dashboards_keep_the_rules(path: Path):
    assert lint.problems(json.loads(path.read_text(encoding="utf-8"))) == []


def test_there_are_the_five():
    assert [path.stem for path in FILES] == sorted(one.file for one in BOARDS)
    assert len({one.uid for one in BOARDS}) == len(FILES) == 5


UNSEEN = {
    # What `time_to_first_token` and `chunk.gap` show better: from the first content, without the caller's time.
    schema.GENAI_DURATION, schema.GENAI_TIME_TO_FIRST_CHUNK, schema.GENAI_TIME_PER_OUTPUT_CHUNK,
    # What was asked, not what came.
    schema.GENAI_INPUT_TOKENS,
}  # fmt: skip


def test_every_metric_is_seen_somewhere():
    """A metric that no dashboard shows is one that nobody needs, or one that a dashboard forgot."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert {spec.name for spec in schema.METRICS if metric(spec) not in text} == {spec.name for spec in UNSEEN}


def target(found, title):
    return next(panel for panel in found["panels"] if panel.get("title") == title)["targets"][0]


def _expr(title, old, new):
    def spoil(found):
        said = target(found, title)
        assert old in said["expr"]
        said["expr"] = said["expr"].replace(old, new)

    return spoil


def _panel(**changes):
    def spoil(found):
        next(panel for panel in found["panels"] if panel["type"] == "stat").update(changes)

    return spoil


def _without(*path):
    def spoil(found):
        *way, last = path
        for key in way:
            found = found[key]
        del found[last]

    return spoil


def _fixed_source(found):
    target(found, "Streams by outcome")["datasource"]["uid"] = "P1809F7CD0C75ACF3"


def _unit(found):
    del found["panels"][1]["fieldConfig"]["defaults"]["unit"]


def _legend(found):
    target(found, "Streams by outcome")["legendFormat"] = "{{instance}}"


def _trace(found):
    said = target(found, "Completed, but cut short")
    said["query"] = said["query"].replace("stop_reason", "stopreason")


SPOILT = {
    "has_its_head": _without("uid"),
    "is_linked_to_the_others": _without("links", 0),
    "shows_when_alerts_rang": _without("annotations", "list"),
    "asks_for_its_data_source": _without("templating", "list", 0),
    "has_the_variables": _without("templating", "list", 2, "allValue"),
    "panels_speak": _unit,
    "panels_have_places": _panel(gridPos={"x": 22, "y": 0, "w": 4, "h": 4}),
    "panels_use_the_variable_data_source": _fixed_source,
    "queries_parse": _expr("Streams by outcome", "rate(", "rate(("),
    "queries_keep_to_the_variables": _expr("Streams by outcome", 'job=~"$job"', 'job="chat"'),
    "queries_have_fitting_windows": _expr("Streams by outcome", "$__rate_interval", "5m"),
    "counters_are_not_shown_raw": _expr("Active streams", "claude_stream_active", "claude_stream_requests_total"),
    "bounds_are_written_both_ways": _expr("Streams by outcome", "{", '{le="60",'),
    "names_are_of_the_schema": _expr("Streams by outcome", "claude_stream_duration", "claude_stream_lifetime"),
    "legends_have_their_labels": _legend,
    "traces_are_of_the_schema": _trace,
}


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_what_it_is_there_for(rule):
    """A dashboard spoilt in one way is noticed by that rule, and the whole one is not."""
    whole = board()
    assert list(rule(whole)) == []
    spoilt = copy.deepcopy(whole)
    SPOILT[rule.__name__](spoilt)
    assert list(rule(spoilt))
