"""The committed alert expressions over the scenarios fire for the right jobs, and stay quiet otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from dashboards.generator.rules import recordings
from tests.support.dashboards.scenarios import START

RECORDED = {rule.record: rule.expr for rule in recordings()}


def inlined(expr: str) -> str:
    """Replace recorded series by their expressions, because the blocks contain only raw series."""
    names = sorted(RECORDED, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, names)), lambda found: f"({RECORDED[found[0]]})", expr)


class FiringAlert(NamedTuple):
    """An alert whose condition holds for a job."""

    name: str
    severity: str
    job: str
    labels: tuple[str, ...]
    """Values of the other labels, sorted."""


@pytest.fixture(scope="module")
def rules(rule_files: list[Path]):
    """Name, severity and expression of every committed alert."""
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
def firing(prometheus, rules):
    """`firing(minute, jobs)` returns the alerts of these jobs whose condition holds at a minute."""

    def firing_at(minute, jobs):
        found = set()
        for name, severity, expr in rules:
            for labels, _ in prometheus.query_at(expr, START + minute * 60):
                if labels["job"].rpartition("-")[0] in jobs or labels["job"] in jobs:
                    rest = tuple(sorted(v for k, v in labels.items() if k not in ("job", "signal", "what")))
                    found.add(FiringAlert(name, severity, labels["job"].rpartition("-")[0] or labels["job"], rest))
        return found

    return firing_at


GATEWAY, SONNET = "gw.example.com", "claude-sonnet-5"


def test_a_load_balancer_that_cuts_streams_fires_proxy_timeout_signature(firing):
    """The alert fires after three cuts at 60 s, and names the server and the limit."""
    assert not {alert for alert in firing(85, {"alb"}) if alert.name == "ProxyTimeoutSignature"}
    found = firing(120, {"alb"})
    assert ("ProxyTimeoutSignature", "ticket", "alb", (GATEWAY, "idle:60s")) in found
    assert {alert.name for alert in found} == {"ProxyTimeoutSignature"}


def test_cuts_fire_proxy_timeout_signature_although_resumes_save_the_streams(firing):
    assert firing(120, {"recovered"}) == {("ProxyTimeoutSignature", "ticket", "recovered", (GATEWAY, "idle:60s"))}


def test_a_nat_that_cuts_streams_fires_proxy_timeout_signature(firing):
    found = firing(150, {"nat"})
    assert found == {("ProxyTimeoutSignature", "ticket", "nat", ("api.anthropic.com", "idle:350s"))}


def test_an_overload_incident_fires_a_page(firing):
    """In an incident of ten minutes streams break, retries multiply requests, and the error budget burns."""
    assert firing(118, {"incident", "guarded"}) == set()
    found = firing(129, {"incident"})
    assert ("OverloadedMidStream", "page", "incident", (SONNET,)) in found
    assert ("RetryAmplificationHigh", "ticket", "incident", (GATEWAY,)) in found
    assert ("AbortBudgetBurn", "page", "incident", ()) in found
    assert {alert.name for alert in found} == {"OverloadedMidStream", "RetryAmplificationHigh", "AbortBudgetBurn"}
    assert {alert.name for alert in firing(179, {"incident"})} <= {"AbortBudgetBurn"}


def test_an_exhausted_retry_budget_fires_until_the_incident_ends(firing):
    """With a policy the budget is exhausted during the incident, and refilled after it."""
    found = firing(129, {"guarded"})
    assert ("RetryBudgetExhausted", "ticket", "guarded", (SONNET, GATEWAY)) in {
        (alert.name, alert.severity, alert.job, tuple(sorted(alert.labels))) for alert in found
    }
    assert not {alert for alert in firing(179, {"guarded"}) if alert.name == "RetryBudgetExhausted"}


def test_a_hanging_stream_fires_stream_stalled(firing):
    assert ("StreamStalled", "ticket", "hanging", ("stuck.example.com",)) in firing(120, {"hanging"})
    assert not {alert for alert in firing(110, {"hanging"}) if alert.labels == ("stuck.example.com",)}


def test_a_collector_that_drops_items_fires_pipeline_dropping(firing):
    names = {"collector-suffixed", "collector-plain", "collector"}
    assert not {alert for alert in firing(140, names) if alert.name == "TelemetryPipelineDropping"}
    assert {alert.name for alert in firing(175, names)} == {"TelemetryPipelineDropping"}


@pytest.mark.parametrize("minute", [5, 60, 24 * 60, 3 * 24 * 60 + 17, 7 * 24 * 60])
def test_no_alert_fires_in_a_healthy_week(firing, minute):
    """The week has silences of 40 s, streams closed by their caller, and little traffic."""
    assert firing(minute, {"healthy"}) == set()


@pytest.mark.parametrize("minute", [1, 30, 126, 130, 170, 300])
def test_no_alert_fires_for_a_job_with_one_stream_an_hour(firing, minute):
    assert firing(minute, {"hourly"}) == set()


@pytest.mark.parametrize("minute", [30, 60, 100, 102, 141, 179])
def test_unusual_jobs_fire_no_unexpected_alert(firing, minute):
    found = firing(minute, {"buffering", "many", "special", "new", "both", "headroom", "restarting"})
    assert {(alert.name, alert.job) for alert in found} <= {("ProxyTimeoutSignature", "restarting")}


@pytest.mark.parametrize("minute", [120, 129, 175])
def test_prometheus_3_fires_the_same_alerts(prometheus, prometheus3, rules, minute):
    """Compares alerts and labels. Values differ, because Prometheus 3 extrapolates differently."""

    def conditions(server):
        return {
            (name, severity, *sorted(labels.items()))
            for name, severity, expr in rules
            for labels, _ in server.query_at(expr, START + minute * 60)
        }

    assert conditions(prometheus3) == conditions(prometheus)
