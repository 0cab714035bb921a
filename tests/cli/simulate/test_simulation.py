"""Incidents with a known answer: relations between policies, rather than figures."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest

from otel_claude_stream._config.policy.loading import load
from otel_claude_stream._core.retry.policy import (
    AUTO,
    Clocks,
    Concurrency,
    Mode,
    RetryAfter,
    RetryLimits,
    RetryPolicy,
    SdkRetries,
    Watchdog,
)
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.cli.simulate.course import Course, chart_lines
from otel_claude_stream.cli.simulate.incidents import INCIDENTS, OVERLOAD, Api, Incident
from otel_claude_stream.cli.simulate.responses import Ending, Response
from otel_claude_stream.cli.simulate.simulation import MAX_RETRIES, SEAMS, simulate

ALONE = RetryPolicy()
CLOCKS = Watchdog(
    first_content=30.0,
    silence=30.0,
    no_progress=30.0,
    lifetime=180.0,
    thinking=Clocks(first_content=120.0, no_progress=120.0),
)


def preset(name: str) -> RetryPolicy:
    return load({}, name).policy


@functools.cache
def run(name: str, policy: RetryPolicy, users: int = 300, seed: int = 1) -> Course:
    return simulate(replace(INCIDENTS[name], users=users), policy, seed=seed)


def during(course: Course):
    return course.totals["incident"]


def served(course: Course) -> float:
    return during(course).completed / during(course).calls


def ended(course: Course) -> int:
    return course.total("completed") + course.total("failed") + course.total("left")


# --- All incidents --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", INCIDENTS)
def test_each_call_ends_once_and_the_same_seed_gives_the_same_course(name: str) -> None:
    limit = Concurrency(max=20)
    for policy in (ALONE, preset("unattended"), replace(preset("unattended"), concurrency=limit)):
        course = run(name, policy, users=60)
        assert course.total("calls") == ended(course) == sum(totals.calls for totals in course.totals.values())
        assert course.total("requests") == sum(totals.requests for totals in course.totals.values())
        assert course == run.__wrapped__(name, policy, users=60)
        assert course != run.__wrapped__(name, policy, users=60, seed=2)


@pytest.mark.parametrize("name", INCIDENTS)
def test_a_policy_that_observes_changes_nothing(name: str) -> None:
    limit = Concurrency(max=1)
    observing = replace(preset("unattended"), mode=Mode.OBSERVE, watchdog=CLOCKS, concurrency=limit)
    assert run(name, observing, users=60) == run(name, ALONE, users=60)
    switched_off = replace(preset("unattended"), kill_switch=True)
    assert run(name, switched_off, users=60) == run(name, ALONE, users=60)


@pytest.mark.parametrize("name", INCIDENTS)
def test_nothing_fails_before_the_incident_and_it_ends(name: str) -> None:
    course = run(name, ALONE)
    assert course.amplification("healthy") == 1.0
    assert course.totals["healthy"].failed == 0
    assert during(course).failed + during(course).left > 0
    assert course.totals["recovered"].completed > 0


# --- Overload -------------------------------------------------------------------------------------------------------
@pytest.mark.long
def test_an_overload_of_10_000_users_under_the_preset_for_interactive_applications() -> None:
    """The budget bounds the load, and costs no answers, since the API serves what it can in any case."""
    alone, ours = (run("overload", policy, users=10_000) for policy in (ALONE, preset("interactive")))
    assert ours.amplification("incident") <= 1.2
    assert alone.amplification("incident") > 2.0
    assert ours.total("completed", "incident") >= alone.total("completed", "incident")
    assert ours.total("completed") >= 0.999 * alone.total("completed")
    recovered = ours.recovered_after()
    assert recovered is not None
    assert recovered <= 10


def test_an_exhausted_budget_wastes_no_requests_and_loses_no_answers() -> None:
    alone, ours = (run("overload", policy) for policy in (ALONE, preset("interactive")))
    assert ours.total("requests", "incident") < 0.7 * alone.total("requests", "incident")
    assert ours.total("completed", "incident") >= 0.99 * alone.total("completed", "incident")
    assert min(second.budget for second in ours.seconds if second.budget is not None) < 1.0


@functools.cache
def limited(most: int | str, users: int = 300) -> Course:
    """Return an overload under a limit on open requests."""
    return run("overload", replace(preset("interactive"), concurrency=Concurrency(max=most)), users=users)


def test_an_adaptive_limit_serves_as_many_and_fails_fewer_than_the_best_fixed_one() -> None:
    """A fixed limit is too low before and after the overload, or too high in it."""
    adaptive, fixed = limited(AUTO), [limited(most) for most in (6, 20, 60, 120, 180)]
    best = max(fixed, key=lambda course: course.total("completed"))
    assert adaptive.total("completed") >= 0.9 * best.total("completed")
    assert adaptive.total("failed") < 0.7 * best.total("failed")
    assert adaptive.amplification("incident") < 0.7 * best.amplification("incident")
    recovered = adaptive.recovered_after()
    assert recovered is not None
    assert recovered <= 20


def test_calls_wait_for_permits_for_as_long_as_the_queue_allows() -> None:
    for most in (AUTO, 20):
        totals = limited(most).totals.values()
        assert max(wait for phase in totals for wait in phase.waits) == pytest.approx(10.0)
        assert sum(phase.expired for phase in totals) > 0
    assert limited(20).totals["healthy"].permit_wait(0.95) == pytest.approx(10.0)
    assert limited(AUTO).totals["healthy"].permit_wait(0.95) == 0.0


def test_a_limit_above_the_open_requests_changes_nothing() -> None:
    course, unlimited = limited(1000), run("overload", preset("interactive"))
    assert (course.seconds, course.totals["incident"].first_tokens) == (
        unlimited.seconds,
        unlimited.totals["incident"].first_tokens,
    )


def test_the_deadline_ends_the_wait_for_a_permit() -> None:
    policy = replace(preset("interactive"), concurrency=Concurrency(max=20), limits=RetryLimits(deadline=4.0))
    course = run("overload", policy)
    assert max(course.totals["healthy"].waits) == pytest.approx(4.0)


def test_the_cap_on_requests_applies_to_the_retries_of_the_sdk() -> None:
    once = replace(preset("interactive"), limits=RetryLimits(max_requests=1))
    assert run("overload", once).amplification() == 1.0
    replaced = RetryPolicy(Mode.RETRY, SdkRetries.REPLACE, limits=RetryLimits(max_attempts=1))
    assert run("overload", replaced).amplification() == 1.0
    assert run("overload", ALONE).total("requests") <= (1 + MAX_RETRIES) * run("overload", ALONE).total("calls")


def test_a_fallback_model_serves_what_the_budget_allows() -> None:
    policy = replace(preset("interactive"), fallback=(("claude-opus-*", ("claude-sonnet-5",)),))
    incident = replace(OVERLOAD, users=300)
    fallback, other = (simulate(incident, policy, model=model) for model in ("claude-opus-5", "claude-haiku-4-5"))
    assert other == run("overload", preset("interactive"))
    assert served(fallback) > 1.4 * served(other)
    assert fallback.amplification("incident") <= 1.21


# --- A proxy with a time limit --------------------------------------------------------------------------------------
def test_a_proxy_that_cuts_after_60_s_needs_a_resume() -> None:
    """A retry cannot help once text was delivered. A resume continues the text, and meets the limit 60 s later."""
    alone, retried, resumed = (
        run("proxy-60s", policy) for policy in (ALONE, preset("interactive"), preset("unattended"))
    )
    assert served(retried) == served(alone)
    assert served(resumed) > served(alone) + 0.08
    assert during(resumed).wasted / during(resumed).billed < during(alone).wasted / during(alone).billed


def test_a_proxy_cuts_exactly_the_answers_of_more_than_60_s() -> None:
    incident = replace(INCIDENTS["proxy-60s"], users=300)
    api, course = Api(incident, seed=1), run("proxy-60s", ALONE)
    longer = sum(api.answer(0.0, api.question()).seconds > 60.0 for _ in range(5000)) / 5000
    assert 1.0 - served(course) == pytest.approx(longer, abs=0.02)


def test_more_resumes_serve_longer_answers() -> None:
    once, thrice = (
        run("proxy-60s", replace(preset("unattended"), limits=RetryLimits(5, resumes, 12, 3600.0)))
        for resumes in (1, 3)
    )
    assert served(thrice) > served(once)
    assert served(once) < 1.0 - (1.0 - SEAMS) * 0.1  # some texts do not meet their seam


# --- Streams that hang ----------------------------------------------------------------------------------------------
def test_streams_that_hang_need_clocks() -> None:
    """Without a clock users wait until they leave. With clocks, and a resume, most get their answer."""
    alone, blind = run("drip", ALONE), run("drip", RetryPolicy(Mode.RESUME))
    watched = run("drip", RetryPolicy(Mode.RESUME, watchdog=CLOCKS))
    assert during(alone).left > 0.1 * during(alone).calls
    assert during(blind).left > 0.1 * during(blind).calls
    assert during(watched).left == 0
    assert served(watched) > served(blind) + 0.08
    assert watched.total("completed") > 2 * blind.total("completed")  # no user waits for long


def test_only_lifetime_ends_a_stream_that_drips() -> None:
    """A delta each 20 s expires no other clock. The call then fails, as it has had its time."""
    without, with_it = (
        run("drip", RetryPolicy(Mode.RESUME, watchdog=replace(CLOCKS, lifetime=lifetime))) for lifetime in (None, 180.0)
    )
    assert during(without).left == pytest.approx(0.05 * during(without).calls, rel=0.4)
    assert during(with_it).left == 0
    assert during(with_it).failed > during(without).failed


def test_a_clock_that_is_too_short_aborts_healthy_thoughts() -> None:
    """Long thoughts are healthy. The policy retries them, and they take as long again."""
    blunt = replace(CLOCKS, thinking=Clocks())
    fine, hasty = (run("drip", RetryPolicy(Mode.RESUME, watchdog=clocks)) for clocks in (CLOCKS, blunt))
    assert during(hasty).failed > during(fine).failed
    assert hasty.totals["healthy"].failed > fine.totals["healthy"].failed == 0


# --- A network that fails at random ---------------------------------------------------------------------------------
def test_independent_failures_are_retried_and_texts_resumed() -> None:
    alone, retried, resumed = (run("flaky", policy) for policy in (ALONE, preset("interactive"), preset("unattended")))
    assert served(alone) < served(retried) - 0.03 < served(resumed) - 0.05
    assert during(alone).requests < during(retried).requests
    assert retried.amplification("incident") <= 1.2 + 12 / during(retried).calls


def test_without_resumes_a_text_that_broke_off_is_lost() -> None:
    assert 0.0 < 1.0 - served(run("flaky", RetryPolicy(Mode.RETRY))) < 0.11
    unlimited = replace(preset("unattended"), budget=replace(preset("unattended").budget, min_per_window=10_000))
    assert served(run("flaky", unlimited)) > 0.98


# --- retry-after ----------------------------------------------------------------------------------------------------
def _limited(response: Response, _: random.Random) -> Response:
    return Response(response.headers, ending=Ending(AbortReason.RATE_LIMITED, status=429, retry_after=30.0))


@pytest.mark.parametrize(("most", "requests"), [(60.0, 3.0), (10.0, 1.0)])
def test_a_longer_retry_after_than_the_policy_allows_ends_the_call(most: float, requests: float) -> None:
    incident = Incident("limited", "", users=20, begins=0.0, ends=1.0, until=1.0, pause=1.0, fault=_limited)
    incident = replace(incident, first=0.0, deltas=1)
    policy = RetryPolicy(Mode.RETRY, retry_after=RetryAfter(max=most), budget=replace(ALONE.budget, min_per_window=99))
    limited = simulate(replace(incident, ends=1e6), policy)
    assert limited.total("requests") / limited.total("calls") == requests
    assert simulate(replace(incident, ends=1e6), ALONE).amplification() > 2.0


# --- Figures --------------------------------------------------------------------------------------------------------
def test_tokens_of_whole_answers_are_not_wasted() -> None:
    course = simulate(replace(OVERLOAD, users=20, capacity=None, reduced=None), ALONE)
    assert [totals.wasted for totals in course.totals.values()] == [0, 0, 0]
    assert during(course).billed == (1000 + 10 * OVERLOAD.deltas) * during(course).calls
    assert during(course).first_token(0.5) == pytest.approx(OVERLOAD.headers + OVERLOAD.first + OVERLOAD.every)


def test_tokens_of_lost_answers_are_wasted() -> None:
    course = run("overload", ALONE)
    assert during(course).billed - during(course).wasted == (1000 + 10 * OVERLOAD.deltas) * during(course).completed


def test_the_chart_has_a_line_for_each_ten_seconds() -> None:
    head, *rows = chart_lines(run("overload", preset("interactive")))
    assert "budget" in head
    assert [row.split()[1] for row in rows] == ["healthy"] * 6 + ["incident"] * 12 + ["recovered"] * 12
    assert any("░" in row for row in rows)
    assert "░" not in rows[0]
    assert max(map(len, rows)) <= 120


def test_the_progress_goes_from_0_to_1() -> None:
    shares: list[float] = []
    simulate(replace(OVERLOAD, users=5), ALONE, progress=shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
