"""Unit tests of the alerts with promtool. Each alert fires, ends, and stays quiet where it should."""

from __future__ import annotations

import pytest
import yaml
from dashboards.generator.rules import RUNBOOK, alerts
from tests.support.dashboards.alert_cases import CASES, EXPECTED_ANNOTATIONS


def rule_settings(rule_files):
    """Return the settings of a promtool test for the rules.

    The order of the groups is fixed, because promtool otherwise picks a random one. In this order alerts see the
    recordings of the minute before, as may happen in Prometheus, which evaluates groups in parallel.
    """
    return {
        "rule_files": [str(path) for path in rule_files],
        "evaluation_interval": "1m",
        "group_eval_order": sorted(group for path in rule_files for group in groups_of(path)),
    }


def groups_of(path):
    return [group["name"] for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]


def alert_series(labels):
    """Return the series that Prometheus stores for an alert with these labels."""
    all_labels = {**labels, "alertstate": "firing"}
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in sorted(all_labels.items())) + "}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.name}")
def test_exactly_the_expected_alerts_fire(case, tmp_path, run_promtool, rule_files):
    """Checks all alerts at each minute of the case, not only the one under test."""
    tests = {
        **rule_settings(rule_files),
        "tests": [
            {
                "name": case.name,
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertstate="firing"}',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": alert_series(labels), "value": 1} for labels in firing],
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
def test_every_alert_has_cases_in_which_it_fires_ends_and_stays_quiet(name):
    """One case shows that the alert fires and ends, another that it does not fire."""
    mine = [case for case in CASES if case.alert == name]
    fired = [
        case for case in mine if any(alert["alertname"] == name for found in case.firing.values() for alert in found)
    ]
    assert fired
    assert any(not case.firing[max(case.firing)] for case in fired)
    assert any(not found for case in mine if case not in fired for found in case.firing.values())


VALUES = {'{{ $value | printf "%.0f" }}': "3", "{{ $value | humanize }}": "1", "{{ $labels.what }}": "not queued"}
"""Values of the templates in descriptions, for the cases with expected annotations."""


def described(name, severity):
    """Return the description of an alert with these values."""
    text = next(alert.description for alert in alerts() if (alert.name, alert.severity) == (name, severity))
    for template, value in VALUES.items():
        text = text.replace(template, value)
    return text


@pytest.mark.parametrize(("case", "minute"), EXPECTED_ANNOTATIONS, ids=str)
def test_annotations_are_rendered(case, minute, tmp_path, run_promtool, rule_files):
    """Compares the complete annotations, as the templates of Prometheus render them."""
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
        for labels, summary, dashboard in EXPECTED_ANNOTATIONS[case, minute]
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in played.series.items()],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": played.alert, "exp_alerts": expected}],
    }
    whole = {**rule_settings(rule_files), "tests": [test]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(whole, width=10_000), encoding="utf-8")
    run_promtool("test", "rules", path)


def test_promtool_accepts_the_rule_files(run_promtool, rule_files):
    """Runs `promtool check rules` with its lint."""
    run_promtool("check", "rules", "--lint-fatal", *rule_files)


def test_every_alert_has_expected_annotations():
    assert {labels["alertname"] for expected in EXPECTED_ANNOTATIONS.values() for labels, _, _ in expected} == {
        one.name for one in alerts()
    }
