"""Each alert in promtool's own test of rules: it fires, it stays quiet, it recovers."""

from __future__ import annotations

import pytest
import yaml
from dashboards.generator.rules import RUNBOOK, alerts
from tests.support.dashboards.alert_cases import CASES, SAID


def of_rules(rule_files):
    """What a test of promtool says of the rules.

    The alerts see the recordings of the minute before, as they may in Prometheus, which evaluates groups side by side.
    Without an order promtool takes any, another one now and then.
    """
    return {
        "rule_files": [str(path) for path in rule_files],
        "evaluation_interval": "1m",
        "group_eval_order": sorted(group for path in rule_files for group in groups_of(path)),
    }


def groups_of(path):
    return [group["name"] for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]


def exact(labels):
    """The labels of an alert as the series that Prometheus keeps of it."""
    said = {**labels, "alertstate": "firing"}
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in sorted(said.items())) + "}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.name}")
def test_alerts(case, tmp_path, run_promtool, rule_files):
    """At each minute exactly these alerts fire, of all alerts there are."""
    tests = {
        **of_rules(rule_files),
        "tests": [
            {
                "name": case.name,
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": exact(labels), "value": 1} for labels in firing],
                    }
                    for minute, firing in case.firing.items()
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tests, width=10_000), encoding="utf-8")
    run_promtool("test", "rules", path)


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_every_alert_is_seen_to_fire_and_to_recover_and_to_stay_quiet(name):
    """No alert without a case in which it fires and ends, and one in which it does not fire at all."""
    mine = [case for case in CASES if case.alert == name]
    fired = [
        case for case in mine if any(alert["alertname"] == name for found in case.firing.values() for alert in found)
    ]
    assert fired
    assert any(not case.firing[max(case.firing)] for case in fired)
    assert any(not found for case in mine if case not in fired for found in case.firing.values())


VALUES = {'{{ $value | printf "%.0f" }}': "3", "{{ $value | humanize }}": "1", "{{ $labels.what }}": "not queued"}
"""The values of the cases below, as descriptions have them."""


def described(name, severity):
    """The description of an alert, filled in."""
    text = next(alert.description for alert in alerts() if (alert.name, alert.severity) == (name, severity))
    for template, value in VALUES.items():
        text = text.replace(template, value)
    return text


@pytest.mark.parametrize(("case", "minute"), SAID, ids=str)
def test_what_they_say(case, minute, tmp_path, run_promtool, rule_files):
    """Whole annotations, rendered by Prometheus' own templates: summary, description, and where to go on."""
    played = next(one for one in CASES if one.name == case)
    expected = [
        {
            "exp_labels": {key: value for key, value in labels.items() if key != "alertname"},
            "exp_annotations": {
                "summary": summary,
                "description": described(labels["alertname"], labels["severity"]),
                "dashboard_url": dashboard,
                "runbook_url": f"{RUNBOOK}#{labels['alertname'].lower()}",
            },
        }
        for labels, summary, dashboard in SAID[case, minute]
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in played.series.items()],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": played.alert, "exp_alerts": expected}],
    }
    whole = {**of_rules(rule_files), "tests": [test]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(whole, width=10_000), encoding="utf-8")
    run_promtool("test", "rules", path)


def test_the_rules_are_valid(run_promtool, rule_files):
    """`promtool check rules`, its lint included."""
    run_promtool("check", "rules", "--lint-fatal", *rule_files)


def test_every_alert_says_something_that_is_tested():
    assert {labels["alertname"] for said in SAID.values() for labels, _, _ in said} == {one.name for one in alerts()}
