"""Every panel's query, asked of a real Prometheus about hours of real streams, gives the answer that is known."""

from __future__ import annotations

import itertools

import pytest
from dashboards.generator.filling import chosen, filled
from tests.support.dashboards.asking import ask, panel, ready, targets
from tests.support.dashboards.known import KNOWN
from tests.support.dashboards.scenarios import ODD, SCENARIOS, START
from tests.support.dashboards.store import same

JOBS = {scenario.job: scenario for scenario in SCENARIOS}
CASES = [
    pytest.param(known, way, id=f"{number} {known.scenario} at {known.minute:g} by {way}")
    for number, known in enumerate(KNOWN)
    for way in (JOBS[known.scenario].ways if known.scenario in JOBS else ("nobody",))
]


def job_of(known, way):
    return JOBS[known.scenario].name(way) if known.scenario in JOBS else "nobody"


def compared(found, wanted, tolerance):
    """What differs, in words."""
    return [
        f"{legend!r}: {found.get(legend)} instead of {wanted.get(legend)}"
        for legend in sorted(found.keys() | wanted.keys())
        if legend not in found or legend not in wanted or not same(found[legend], wanted[legend], tolerance)
    ]


@pytest.mark.parametrize(("known", "way"), CASES)
def test_the_answers_are_the_known_ones(known, way, prometheus):
    wrong = []
    for name, answer in known.panels.items():
        wanted = {legend.replace("{}", way): value for legend, value in answer.items()}
        found = panel(prometheus, name, known.minute, job=job_of(known, way), **known.how)
        wrong += [f"{name}: {difference}" for difference in compared(found, wanted, known.tolerance)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("known", "way"), CASES)
def test_prometheus_3_gives_the_same_answers(known, way, prometheus3):
    """The current series of Prometheus, whose ranges leave their first moment out."""
    tolerance = 0.35 if known.single else known.tolerance
    wrong = []
    for name, answer in known.panels.items():
        wanted = {legend.replace("{}", way): value for legend, value in answer.items()}
        found = panel(prometheus3, name, known.minute, job=job_of(known, way), **known.how)
        wrong += [f"{name}: {difference}" for difference in compared(found, wanted, tolerance)]
    assert not wrong, "\n".join(wrong)


def test_every_query_has_an_answer_that_is_known(prometheus):
    """No query that is merely run: each gives at least one value, other than zero, that a known answer names."""
    proven = set()
    for known in KNOWN:
        way = JOBS[known.scenario].ways[0] if known.scenario in JOBS else "nobody"
        for one in targets():
            answer = known.panels.get(f"{one.board}/{one.panel}")
            if not answer or one.name in proven:
                continue
            if any(ask(prometheus, one, known.minute, job=job_of(known, way), **known.how).values()):
                proven.add(one.name)
    unproven = {one.name for one in targets()} - proven
    assert unproven == BY_THE_TRUTH


# Counts of a proxy's log belong to no job: they are there whatever is chosen.
OF_JOBS = [one for one in targets() if "proxy_stream_aborts" not in one.expr]


@pytest.mark.parametrize("one", OF_JOBS, ids=lambda one: one.name)
def test_nothing_is_broken_and_nothing_made_up_where_there_is_no_data(one, prometheus):
    """A job that does not exist: no error, no figure, above all no zero per cent."""
    values = {"collector": "nobody", "server": "nobody"}
    assert prometheus.at(ready(one, job="nobody", **values), START + 180 * 60) == []


BY_THE_TRUTH = {
    f"overload-retries/{panel}"
    for panel in (
        "Not retried, by what blocked it/A",
        "Overloaded by source, and rate limits/D",
        "Recovered streams/A",
        "Recoveries, by how/A",
        "Retry budget left, by server and model/A",
        "Retry budget left, least/A",
        "The policy's decisions/A",
    )
}
"""Queries about what the retry policy does: compared with what the API counted, in the test of the budget below."""

BAD = [scenario for scenario in SCENARIOS if scenario.job in {"hourly", "odd", "many", "restarting", "both"}]


@pytest.mark.parametrize("scenario", BAD, ids=lambda scenario: scenario.job)
def test_no_query_fails_or_gives_nonsense(scenario, prometheus):
    """Odd jobs: each query answers without an error, also as a curve, and no value is NaN, infinite or negative."""
    end = START + scenario.hours * 3600
    interval = max(240, int(scenario.step * 4))
    for one in targets():
        query = ready(one, job=scenario.name(scenario.ways[0]), hours=scenario.hours, interval=interval)
        if one.instant:
            values = [value for _, value in prometheus.at(query, end)]
        else:
            found = prometheus.over(query, START, end, 300)
            values = list(itertools.chain.from_iterable((v for _, v in pairs) for _, pairs in found))
            legends = 60 if scenario.job == "many" else 400
            assert one.format == "heatmap" or len(found) <= legends, f"{one.name}: {len(found)} curves"
        assert all(0 <= value < 1e9 for value in values), one.name


@pytest.mark.parametrize("model", ODD)
def test_a_model_with_an_odd_name_can_be_chosen(model, prometheus):
    """Quotes, slashes, backslashes and the signs of patterns: chosen alone, it alone is found."""
    one = next(one for one in targets() if one.name == "stream-health/Time to first token, by model/A")
    found = ask(prometheus, one, 180, job="odd-otlp", model=model)
    assert list(found) == [f"{model} p50"]


def test_two_odd_models_can_be_chosen(prometheus):
    one = next(one for one in targets() if one.name == "stream-health/Time to first token, by model/A")

    query = filled(
        one.expr,
        {"job": "odd-otlp", "model": chosen(ODD[:2]), "server": ".*"},
        range_seconds=7200,
        interval_seconds=240,
    )
    assert {labels["gen_ai_request_model"] for labels, _ in prometheus.at(query, START + 180 * 60)} == set(ODD[:2])


def test_the_budget_bounds_what_the_policy_adds(prometheus, history):
    """The guarded incident, against what the API and the callers themselves counted."""
    truth = history.truth["guarded"]
    inside = [(stream, sent, complete) for stream, sent, complete in truth if stream.at >= 120 * 60]
    calls, requests = len(truth), sum(sent for _, sent, _ in truth)
    lost = sum(not complete for _, _, complete in inside)
    saved = sum(complete and sent > 1 for _, sent, complete in inside)
    assert lost > 100
    assert saved > 50

    def said(name, minute=180.0):
        return panel(prometheus, f"overload-retries/{name}", minute, job="guarded-otlp")

    # The first stream began the series: one request fewer is seen.
    assert same(said("Requests per stream")[""], (requests - 1) / (calls - 1), 0.01)
    assert same(said("Streams lost to overload")[""], lost, 0.01)
    assert same(said("Recovered streams")[""], saved, 0.01)
    # A fifth of twelve calls a minute and six: of 24 retries that three attempts would be, 8.4 at most.
    assert said("Requests per stream (amplification)", 129)["gw.example.com"] <= (12 + 8.4) / 12
    assert said("Retry budget left, least", 129)[""] < 1
    assert said("Retry budget left, by server and model", 129)["gw.example.com claude-sonnet-5"] < 1
    assert same(said("Retry budget left, least")[""], 6, 0)
    decided = said("The policy's decisions", 129)
    blocked = said("Not retried, by what blocked it", 129)
    assert same(sum(decided.values()), 48 + decided["retry"], 0.01)
    assert blocked["budget"] > blocked["attempts"] > 0
    assert said("Recoveries, by how", 139).keys() == {"retry: completed"}
    assert said("Overloaded by source, and rate limits", 129)["tried again by the policy"] > 0.1
