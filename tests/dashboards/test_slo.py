"""The objectives in OpenSLO agree with the recording rules and the alerts, and OpenSLO's own SDK accepts them."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from dashboards.generator.command import ROOT
from dashboards.generator.objectives import BURNS
from dashboards.generator.promql import share
from tests.dashboards import build_openslo_model
from tests.support.dashboards.cached_builds import NotBuilt

FILE = ROOT / "openslo" / "claude-stream-slos.yaml"
DOCUMENTS = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8")))
SLOS = {document["metadata"]["name"]: document["spec"] for document in DOCUMENTS if document["kind"] == "SLO"}


def rules(kind):
    """Return the committed rules with a `record`, or those with an `alert`."""
    return [
        rule
        for path in sorted((ROOT / "prometheus").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


RECORDED = {rule["record"]: rule["expr"] for rule in rules("record")}


def queries(slo):
    """Return the queries of an indicator, by part."""
    ratio = slo["indicator"]["spec"]["ratioMetric"]
    return {part: ratio[part]["metricSource"]["spec"]["query"] for part in ratio if part != "counter"}


def over(expr, window):
    return expr.replace("[5m]", f"[{window}]")


def target(slo):
    (objective,) = slo["objectives"]
    return objective["target"]


def alert_of(policy):
    """Return the committed alert that a policy describes."""
    (condition,) = policy["spec"]["conditions"]
    name, severity = policy["metadata"]["annotations"]["alert"], condition["spec"]["severity"]
    (found,) = (rule for rule in rules("alert") if (rule["alert"], rule["labels"]["severity"]) == (name, severity))
    return found, condition["spec"]["condition"]


def failed(slo, window):
    return share(over(queries(slo)["bad"], window), over(queries(slo)["total"], window))


def slow(slo, window):
    return f"1 - {over(queries(slo)['good'], window)} / ({over(queries(slo)['total'], window)} > 0)"


@pytest.mark.parametrize(
    ("name", "record", "ratio"),
    [
        ("claude-stream-success", "job:claude_stream_failed:ratio_rate", failed),
        ("claude-stream-first-token", "job:claude_stream_slow_first_token:ratio_rate", slow),
    ],
)
def test_recorded_ratios_and_burn_rate_alerts_are_those_of_the_objective(name, record, ratio):
    slo = SLOS[name]
    windows = {window for burn in BURNS for window in (burn.long, burn.short)}
    assert {window: RECORDED[record + window] for window in windows} == {
        window: ratio(slo, window) for window in windows
    }
    assert len(slo["alertPolicies"]) == len(BURNS)
    for policy, burn in zip(slo["alertPolicies"], BURNS, strict=True):
        alert, condition = alert_of(policy)
        allowed = f"{condition['threshold']:g} * {1 - target(slo):.4g}"
        assert f"{record}{condition['lookbackWindow']} > {allowed}" in alert["expr"]
        assert f"{record}{burn.short} > {allowed}" in alert["expr"]
        assert policy["spec"]["description"].endswith(f"over {condition['lookbackWindow']} and over {burn.short}.")
        assert alert["for"] == condition["alertAfter"]


def test_the_alert_about_stalls_compares_the_counts_of_the_objective():
    slo = SLOS["claude-stream-stalls"]
    (policy,) = slo["alertPolicies"]
    alert, condition = alert_of(policy)
    stalls, ended = queries(slo)["bad"], queries(slo)["total"]
    allowed = condition["threshold"] * (1 - target(slo))
    assert f"{stalls} > {allowed:g} * {ended}" in alert["expr"]
    assert set(re.findall(r"\[(\w+)\]", stalls + ended)) == {condition["lookbackWindow"]}
    assert alert["for"] == condition["alertAfter"]


def test_policies_name_targets_and_sections_of_the_runbook_that_exist():
    targets = {document["metadata"]["name"] for document in DOCUMENTS if document["kind"] == "AlertNotificationTarget"}
    for slo in SLOS.values():
        for policy in slo["alertPolicies"]:
            assert {found["targetRef"] for found in policy["spec"]["notificationTargets"]} <= targets
            assert policy["metadata"]["annotations"]["runbook"] == alert_of(policy)[0]["annotations"]["runbook_url"]


@pytest.fixture(scope="module")
def openslo_model():
    """Path of the check with OpenSLO's Go SDK. Skips if it has not been built."""
    try:
        return build_openslo_model.OPENSLO_MODEL.find()
    except NotBuilt as error:
        pytest.skip(str(error))


def check(program, path):
    return subprocess.run([program, path], capture_output=True, text=True, timeout=60, check=False)


def test_the_go_sdk_of_openslo_accepts_every_object(openslo_model):
    done = check(openslo_model, FILE)
    assert done.returncode == 0, done.stdout
    names = [f"openslo/v1 {document['kind']} {document['metadata']['name']}" for document in DOCUMENTS]
    assert done.stdout.splitlines() == names


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("budgetingMethod: Occurrences", "budgetingMethod: Guesses", "budgetingMethod"),
        ("target: 0.99", "target: 99", "target"),
        ("lookbackWindow: 1h", "lookbackWindow: long", "duration"),
        ("isRolling", "rolling", "rolling"),
    ],
)
def test_the_go_sdk_of_openslo_rejects_wrong_values(old, new, reason, openslo_model, tmp_path):
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = check(openslo_model, broken)
    assert done.returncode == 1
    assert reason in done.stdout
