"""The committed rules, evaluated by promtool over the scenarios: what really rings, when, and what never does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from dashboards.generator.rules import recordings
from tests.support.dashboards.scenarios import START

RECORDED = {rule.record: rule.expr for rule in recordings()}


def inlined(expr: str) -> str:
    """The expression with the recorded series written out: the blocks hold what was measured, not what was recorded."""
    names = sorted(RECORDED, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, names)), lambda found: f"({RECORDED[found[0]]})", expr)


@pytest.fixture(scope="module")
def rules(rule_files: list[Path]):
    """Every alert as committed: name, severity, expression ready to be asked."""
    found = []
    for path in rule_files:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            found += [
                (rule["alert"], rule["labels"]["severity"], inlined(rule["expr"]))
                for rule in group["rules"]
                if "alert" in rule
            ]
    return found


@pytest.fixture(scope="module")
def rings(prometheus, rules):
    """`rings(minute)` gives the conditions that hold at a minute: alert, severity, and the labels that matter."""

    def ask(minute, jobs):
        found = set()
        for name, severity, expr in rules:
            for labels, _ in prometheus.at(expr, START + minute * 60):
                if labels["job"].rpartition("-")[0] in jobs or labels["job"] in jobs:
                    rest = tuple(sorted(v for k, v in labels.items() if k not in ("job", "signal", "what")))
                    found.add((name, severity, labels["job"].rpartition("-")[0] or labels["job"], rest))
        return found

    return ask


GATEWAY, SONNET = "gw.example.com", "claude-sonnet-5"


def test_the_load_balancer_is_named(rings):
    """Three cuts at 60 s, of the same gateway; the eighth part of the streams that fail is a burnt budget as well."""
    assert not {x for x in rings(85, {"alb"}) if x[0] == "ProxyTimeoutSignature"}
    found = rings(120, {"alb"})
    assert ("ProxyTimeoutSignature", "ticket", "alb", (GATEWAY, "idle:60s")) in found
    assert {x[0] for x in found} == {"ProxyTimeoutSignature"}


def test_the_nat_is_named(rings):
    found = rings(150, {"nat"})
    assert found == {("ProxyTimeoutSignature", "ticket", "nat", ("api.anthropic.com", "idle:350s"))}


def test_the_incident_pages(rings):
    """In the middle of ten minutes of 529: streams break, retries multiply, the error budget burns."""
    assert rings(118, {"incident", "guarded"}) == set()
    found = rings(129, {"incident"})
    assert ("OverloadedMidStream", "page", "incident", (SONNET,)) in found
    assert ("RetryAmplificationHigh", "ticket", "incident", (GATEWAY,)) in found
    assert ("AbortBudgetBurn", "page", "incident", ()) in found
    assert {x[0] for x in found} == {"OverloadedMidStream", "RetryAmplificationHigh", "AbortBudgetBurn"}
    assert {x[0] for x in rings(179, {"incident"})} <= {"AbortBudgetBurn"}


def test_the_budget_is_told_to_be_spent(rings):
    """The same with a policy: its budget is exhausted, and back when the incident is over."""
    found = rings(129, {"guarded"})
    assert ("RetryBudgetExhausted", "ticket", "guarded", (SONNET, GATEWAY)) in {
        (*x[:3], tuple(sorted(x[3]))) for x in found
    }
    assert not {x for x in rings(179, {"guarded"}) if x[0] == "RetryBudgetExhausted"}


def test_a_stream_that_hangs_is_told(rings):
    assert ("StreamStalled", "ticket", "hanging", ("stuck.example.com",)) in rings(120, {"hanging"})
    assert not {x for x in rings(110, {"hanging"}) if x[3] == ("stuck.example.com",)}


def test_a_collector_that_drops_is_told(rings):
    names = {"collector-suffixed", "collector-plain", "collector"}
    assert not {x for x in rings(140, names) if x[0] == "TelemetryPipelineDropping"}
    assert {x[0] for x in rings(175, names)} == {"TelemetryPipelineDropping"}


@pytest.mark.parametrize("minute", [5, 60, 24 * 60, 3 * 24 * 60 + 17, 7 * 24 * 60])
def test_a_healthy_week_is_quiet(rings, minute):
    """Thinking for 40 s, callers who leave, a stream now and then: nothing rings, at any time."""
    assert rings(minute, {"healthy"}) == set()


@pytest.mark.parametrize("minute", [1, 30, 126, 130, 170, 300])
def test_nothing_rings_for_a_job_with_a_stream_an_hour(rings, minute):
    assert rings(minute, {"hourly"}) == set()


@pytest.mark.parametrize("minute", [30, 60, 100, 102, 141, 179])
def test_buffering_many_models_odd_names_and_restarts_ring_nothing_else(rings, minute):
    found = rings(minute, {"buffering", "many", "odd", "latest", "both", "headroom", "restarting"})
    assert {(x[0], x[2]) for x in found} <= {("ProxyTimeoutSignature", "restarting")}


@pytest.mark.parametrize("minute", [120, 129, 175])
def test_prometheus_3_comes_to_the_same(prometheus, prometheus3, rules, minute):
    """Which alerts ring, for whom, in the current series of Prometheus. Values differ by what it extrapolates."""

    def asked(of):
        return {
            (name, severity, *sorted(labels.items()))
            for name, severity, expr in rules
            for labels, _ in of.at(expr, START + minute * 60)
        }

    assert asked(prometheus3) == asked(prometheus)
