"""Each alert in promtool's own test of rules: it fires, it stays quiet, it recovers."""

from __future__ import annotations

import pytest
import yaml
from dashboards.generator.rules import alerts
from tests.dashboards.alert_cases import CASES


def exact(labels):
    """The labels of an alert as the series that Prometheus keeps of it."""
    said = {**labels, "alertstate": "firing"}
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in sorted(said.items())) + "}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.name}")
def test_alerts(case, tmp_path, run_promtool, rule_files):
    """At each minute exactly these alerts fire, of all alerts there are."""
    tests = {
        "rule_files": [str(path) for path in rule_files],
        "evaluation_interval": "1m",
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
