"""Every query of the panels gives the expected values for the scenarios in a real Prometheus."""

from __future__ import annotations

import itertools

import pytest
from dashboards.generator.interpolation import interpolate, selection_pattern
from tests.support.dashboards.expected_answers import EXPECTED
from tests.support.dashboards.panel_queries import interpolated, panel_values, query_values, targets
from tests.support.dashboards.prometheus_server import is_close
from tests.support.dashboards.scenarios import SCENARIOS, SPECIAL_NAMES, START

JOBS = {scenario.job: scenario for scenario in SCENARIOS}
CASES = [
    pytest.param(case, protocol, id=f"{number} {case.scenario} at {case.minute:g} by {protocol}")
    for number, case in enumerate(EXPECTED)
    for protocol in (JOBS[case.scenario].protocols if case.scenario in JOBS else ("absent",))
]


def job_of(case, protocol):
    return JOBS[case.scenario].name(protocol) if case.scenario in JOBS else "absent"


def differences(found, wanted, tolerance):
    """Describe each legend whose value differs."""
    return [
        f"{legend!r}: {found.get(legend)} instead of {wanted.get(legend)}"
        for legend in sorted(found.keys() | wanted.keys())
        if legend not in found or legend not in wanted or not is_close(found[legend], wanted[legend], tolerance)
    ]


@pytest.mark.parametrize(("case", "protocol"), CASES)
def test_panels_show_the_expected_values(case, protocol, prometheus):
    wrong = []
    for name, answer in case.panels.items():
        wanted = {legend.replace("{}", protocol): value for legend, value in answer.items()}
        found = panel_values(prometheus, name, case.minute, job=job_of(case, protocol), **case.query_options)
        wrong += [f"{name}: {difference}" for difference in differences(found, wanted, case.tolerance)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("case", "protocol"), CASES)
def test_prometheus_3_gives_the_same_answers(case, protocol, prometheus3):
    """Ranges in Prometheus 3 exclude their start, so single events need a larger tolerance."""
    tolerance = 0.35 if case.single else case.tolerance
    wrong = []
    for name, answer in case.panels.items():
        wanted = {legend.replace("{}", protocol): value for legend, value in answer.items()}
        found = panel_values(prometheus3, name, case.minute, job=job_of(case, protocol), **case.query_options)
        wrong += [f"{name}: {difference}" for difference in differences(found, wanted, tolerance)]
    assert not wrong, "\n".join(wrong)


def test_every_query_has_an_expected_value_other_than_zero(prometheus):
    """A query that gives only zeros or nothing in all cases would be untested."""
    proven = set()
    for case in EXPECTED:
        protocol = JOBS[case.scenario].protocols[0] if case.scenario in JOBS else "absent"
        for target in targets():
            answer = case.panels.get(f"{target.board}/{target.panel}")
            if not answer or target.name in proven:
                continue
            job = job_of(case, protocol)
            if any(query_values(prometheus, target, case.minute, job=job, **case.query_options).values()):
                proven.add(target.name)
    unproven = {target.name for target in targets()} - proven
    assert unproven == RETRY_POLICY_QUERIES | {WAITING}


# Counts from proxy logs have no job of an application, so they appear for every selection.
QUERIES_BY_JOB = [target for target in targets() if "proxy_stream_aborts" not in target.expr]


@pytest.mark.parametrize("target", QUERIES_BY_JOB, ids=lambda target: target.name)
def test_panels_are_empty_for_a_job_that_does_not_exist(target, prometheus):
    """Without data there is no error and no value, in particular no 0 %."""
    values = {"collector": "absent", "server": "absent"}
    assert prometheus.query_at(interpolated(target, job="absent", **values), START + 180 * 60) == []


RETRY_POLICY_QUERIES = {
    f"overload-retries/{panel}"
    for panel in (
        "Retries not made, by blocker/A",
        "Overload and rate limit errors, by source/D",
        "Recoveries, by action and outcome/A",
        "Retry budget left, by server and model/A",
        "Lowest retry budget left/A",
        "Policy decisions/A",
    )
}
"""Queries about the retry policy. The test of the budget compares them with the counts of the fake API."""

WAITING = "overload-retries/Open requests and their limit, by server/C"
"""The calls of a scenario run one after the other, so none waits for a permit when metrics are collected."""

UNUSUAL = [scenario for scenario in SCENARIOS if scenario.job in {"hourly", "special", "many", "restarting", "both"}]


@pytest.mark.parametrize("scenario", UNUSUAL, ids=lambda scenario: scenario.job)
def test_no_query_fails_or_gives_impossible_values_for_unusual_jobs(scenario, prometheus):
    """Single values and curves are neither NaN nor infinite nor negative."""
    end = START + scenario.hours * 3600
    interval = max(240, int(scenario.step * 4))
    for target in targets():
        query = interpolated(target, job=scenario.name(scenario.protocols[0]), hours=scenario.hours, interval=interval)
        if target.instant:
            values = [value for _, value in prometheus.query_at(query, end)]
        else:
            found = prometheus.query_range(query, START, end, 300)
            values = list(itertools.chain.from_iterable((v for _, v in pairs) for _, pairs in found))
            legends = 60 if scenario.job == "many" else 400
            assert target.format == "heatmap" or len(found) <= legends, f"{target.name}: {len(found)} curves"
        assert all(0 <= value < 1e9 for value in values), target.name


@pytest.mark.parametrize("model", SPECIAL_NAMES)
def test_a_model_with_special_characters_can_be_selected(model, prometheus):
    """The query finds only the selected model, whose name has quotes, slashes or pattern characters."""
    target = next(target for target in targets() if target.name == "stream-health/Time to first token, by model/A")
    found = query_values(prometheus, target, 180, job="special-otlp", model=model)
    assert list(found) == [f"{model} p50"]


def test_two_models_with_special_characters_can_be_selected(prometheus):
    target = next(target for target in targets() if target.name == "stream-health/Time to first token, by model/A")

    query = interpolate(
        target.expr,
        {"job": "special-otlp", "model": selection_pattern(SPECIAL_NAMES[:2]), "server": ".*", "source": ".*"},
        range_seconds=7200,
        interval_seconds=240,
    )
    found = prometheus.query_at(query, START + 180 * 60)
    assert {labels["gen_ai_request_model"] for labels, _ in found} == set(SPECIAL_NAMES[:2])


def test_the_retry_budget_limits_the_requests_of_the_policy(prometheus, scenario_blocks):
    """Compares the panels with the requests and answers that the fake API and the callers counted."""
    observed = scenario_blocks.observed["guarded"]
    inside = [(call, sent, complete) for call, sent, complete in observed if call.at >= 120 * 60]
    calls, requests = len(observed), sum(sent for _, sent, _ in observed)
    lost = sum(not complete for _, _, complete in inside)
    saved = sum(complete and sent > 1 for _, sent, complete in inside)
    assert lost > 100
    assert saved > 50

    def values(name, minute=180.0):
        return panel_values(prometheus, f"overload-retries/{name}", minute, job="guarded-otlp")

    # The first request created the series, so Prometheus sees one request fewer.
    assert is_close(values("Requests per stream")[""], (requests - 1) / (calls - 1), 0.01)
    assert is_close(values("Streams lost to overload")[""], lost, 0.01)
    assert is_close(values("Recovered streams")[""], saved, 0.01)
    # The budget allows a fifth of twelve calls a minute, and six more, so at most 8.4 retries.
    assert values("Requests per stream (amplification)", 129)["gw.example.com"] <= (12 + 8.4) / 12
    assert values("Lowest retry budget left", 129)[""] < 1
    assert values("Retry budget left, by server and model", 129)["gw.example.com claude-sonnet-5"] < 1
    assert is_close(values("Lowest retry budget left")[""], 6, 0)
    decided = values("Policy decisions", 129)
    blocked = values("Retries not made, by blocker", 129)
    assert is_close(sum(decided.values()), 48 + decided["retry"], 0.01)
    assert blocked["budget"] > blocked["attempts"] > 0
    assert values("Recoveries, by action and outcome", 139).keys() == {"retry: completed"}
    assert values("Overload and rate limit errors, by source", 129)["retried by the policy"] > 0.1
