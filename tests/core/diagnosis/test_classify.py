"""The classifier: every ending has one verdict, and its times are compared with known limits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import chains
from tests.support.chains import fault
from tests.support.endings_table import (
    AWAITING_RESPONSE,
    CLOSED,
    COMPLETE,
    ENDINGS,
    NO_EVENT,
    STOP_MISSING,
    STREAMING,
    TRUNCATED,
    api_error,
    error_page,
    sse_error,
    with_fault,
)

from otel_claude_stream._core.diagnosis.classify import RULES, LimitCheck, Verdict, classify
from otel_claude_stream._core.diagnosis.evidence import PROVIDER_REASONS
from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, parse_limits
from otel_claude_stream._core.vocabulary import CALLER_REASONS, BodyClass, ErrorSource, Origin, Outcome, Phase, Stop
from otel_claude_stream._core.vocabulary import AbortReason as R


def test_a_cut_connection_is_a_failure_with_a_reason_and_advice():
    verdict = classify(with_fault(chains.RESET))
    assert (verdict.outcome, verdict.reason, verdict.rule) == (Outcome.FAILED, R.CONNECTION_RESET, "reset")
    assert verdict.advice.startswith("Compare silence and duration")


@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending_has_its_reason(name):
    """By the rules alone, without times that match a limit and without fingerprints."""
    facts, reason, origin, also = ENDINGS[name]
    verdict = classify(facts)
    assert (verdict.reason, verdict.origin, set(verdict.also_possible)) == (reason, origin, also), verdict.rule
    assert verdict.limit_match == "none"
    assert bool(verdict.advice) is (reason not in CALLER_REASONS)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (COMPLETE, Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (replace(COMPLETE, stop=Stop.CLOSED), Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (replace(COMPLETE, stop=Stop.DROPPED), Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (
            replace(COMPLETE, stop=Stop.DROPPED, fault=fault("GeneratorExit")),
            Verdict(Outcome.COMPLETED, None, None, rule="message_stop"),
        ),
        *(
            (
                replace(COMPLETE, stop=Stop.RAISED, fault=chain),
                Verdict(Outcome.COMPLETED, None, None, rule="message_stop", fault_after_stop=True),
            )
            for chain in (
                chains.CHUNKED_BODY_CUT,
                chains.RESET,
                chains.READ_TIMEOUT,
                chains.STATUS_ERROR,
                chains.CANCELLED,
            )
        ),
        (STOP_MISSING, Verdict(Outcome.COMPLETED, None, None, rule="only_stop_missing", missing_message_stop=True)),
    ],
)
def test_a_complete_message_is_complete_whatever_follows(facts, expected):
    assert classify(facts) == expected


def test_every_rule_matches_some_ending():
    """A rule that no ending reaches is shadowed by one above it, or wrong."""
    matched = {classify(facts).rule for facts, *_ in ENDINGS.values()} | {"message_stop", "only_stop_missing"}
    assert matched == {rule.id for rule in RULES}


def test_every_rule_has_a_unique_id_and_a_full_sentence():
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.description.endswith(".") for rule in RULES)


def test_error_types_of_providers_match_in_any_case():
    assert all(name == name.lower() for name in PROVIDER_REASONS)
    assert classify(sse_error("Overloaded_Error")).reason is R.OVERLOADED


# ------------------------------------------------------------------------------------------------- limits and suspects


def cut_stream(**more: object) -> Facts:
    return replace(STREAMING, **{"fault": chains.CHUNKED_BODY_CUT, "bytes_last_5s": 0, **more})


@pytest.mark.parametrize(
    ("facts", "label", "first_suspect", "origin"),
    [
        (cut_stream(silence=60.1, elapsed=200.0, attempt_elapsed=200.0), "idle:60s", "nginx", Origin.INTERMEDIARY),
        (cut_stream(silence=60.1, elapsed=200.0, attempt_elapsed=None), "idle:60s", "nginx", Origin.INTERMEDIARY),
        (
            cut_stream(silence=60.1, attempt_elapsed=85.0, headers={"server": "awselb/2.0"}),
            "idle:60s",
            "AWS ALB",
            Origin.INTERMEDIARY,
        ),
        (
            cut_stream(silence=301.0, attempt_elapsed=333.0, headers={"server": "envoy"}),
            "idle:300s",
            "Envoy",
            Origin.INTERMEDIARY,
        ),
        (
            cut_stream(silence=0.2, attempt_elapsed=30.3, bytes_last_5s=9),
            "duration:30s",
            "Google Cloud load balancer",
            Origin.UNKNOWN,
        ),
        (
            cut_stream(silence=0.2, attempt_elapsed=30.3, bytes_last_5s=9, fault=chains.RESET),
            "duration:30s",
            "Google Cloud load balancer",
            Origin.UNKNOWN,
        ),
        (
            cut_stream(silence=0.2, attempt_elapsed=15.9, headers={"server": "envoy"}),
            "duration:15s",
            "Envoy",
            Origin.INTERMEDIARY,
        ),
        (cut_stream(silence=350.4, attempt_elapsed=351.0, fault=chains.RESET), "idle:350s", "AWS NLB", Origin.NETWORK),
        (cut_stream(silence=60.1, attempt_elapsed=60.4, bytes=0), "ambiguous", "nginx", Origin.INTERMEDIARY),
        (
            cut_stream(silence=60.1, attempt_elapsed=60.4, bytes=0, headers={"server": "nginx"}),
            "idle:60s",
            "nginx",
            Origin.INTERMEDIARY,
        ),
        (
            cut_stream(silence=0.1, attempt_elapsed=7.0, headers={"server": "nginx/1.22"}),
            "none",
            "nginx",
            Origin.UNKNOWN,
        ),
        (cut_stream(silence=0.1, attempt_elapsed=7.0, headers={"Server": "cloudflare"}), "none", None, Origin.UNKNOWN),
        (
            cut_stream(silence=0.1, attempt_elapsed=7.0, headers={"Server": "cloudflare"}, has_request_id=False),
            "none",
            "Cloudflare",
            Origin.UNKNOWN,
        ),
        (
            replace(TRUNCATED, silence=55.1, attempt_elapsed=80.0, bytes_last_5s=0),
            "idle:55s",
            "Heroku router",
            Origin.INTERMEDIARY,
        ),
        # Before the headers, only the wait for them is compared.
        (
            error_page(504, time_to_headers=60.02, elapsed=900.0, headers={"server": "nginx"}),
            "idle:60s",
            "nginx",
            Origin.INTERMEDIARY,
        ),
        (error_page(504, time_to_headers=60.02, elapsed=60.02), "ambiguous", "nginx", Origin.INTERMEDIARY),
        (
            error_page(504, time_to_headers=None, elapsed=29.0, headers={"x-amz-apigw-id": "x"}),
            "duration:29s",
            "AWS API Gateway",
            Origin.INTERMEDIARY,
        ),
        (
            error_page(524, time_to_headers=100.5, wording="Error code: 524"),
            "idle:100s",
            "Cloudflare",
            Origin.INTERMEDIARY,
        ),
        (
            error_page(502, time_to_headers=0.1, wording="<h1>Backend fetch failed"),
            "none",
            "Varnish",
            Origin.INTERMEDIARY,
        ),
        (
            with_fault(chains.DISCONNECTED, replace(AWAITING_RESPONSE, time_to_headers=350.0)),
            "idle:350s",
            "AWS NLB",
            Origin.NETWORK,
        ),
        # A buffering hop released the headers at the cut, so the wait for them is the silence.
        (
            with_fault(
                chains.CHUNKED_BODY_CUT, replace(NO_EVENT, time_to_headers=59.9, silence=0.0, attempt_elapsed=59.9)
            ),
            "ambiguous",
            "nginx",
            Origin.INTERMEDIARY,
        ),
        (
            with_fault(
                chains.CHUNKED_BODY_CUT,
                replace(NO_EVENT, time_to_headers=59.9, silence=0.0, headers={"server": "nginx"}, elapsed=99.0),
            ),
            "idle:60s",
            "nginx",
            Origin.INTERMEDIARY,
        ),
        (
            with_fault(
                chains.CHUNKED_BODY_CUT, replace(NO_EVENT, time_to_headers=60.0, silence=7.0, attempt_elapsed=67.0)
            ),
            "none",
            None,
            Origin.UNKNOWN,
        ),
        (
            with_fault(
                chains.CHUNKED_BODY_CUT, replace(NO_EVENT, time_to_headers=None, silence=0.0, attempt_elapsed=7.0)
            ),
            "none",
            None,
            Origin.UNKNOWN,
        ),
        (cut_stream(time_to_headers=60.0, silence=0.1, attempt_elapsed=67.0), "none", None, Origin.UNKNOWN),
        # Time-outs of the client match only the client's limits.
        (
            with_fault(chains.READ_TIMEOUT, replace(STREAMING, silence=600.1, attempt_elapsed=800.0)),
            "idle:600s",
            "Anthropic SDK",
            Origin.CLIENT,
        ),
        (
            with_fault(chains.READ_TIMEOUT, replace(STREAMING, silence=60.0, attempt_elapsed=80.0)),
            "none",
            None,
            Origin.CLIENT,
        ),
        (
            with_fault(chains.RESPONSE_TIMEOUT, replace(AWAITING_RESPONSE, time_to_headers=600.0)),
            "idle:600s",
            "Anthropic SDK",
            Origin.CLIENT,
        ),
        (
            with_fault(chains.DEAD_PATH, replace(STREAMING, silence=366.0, bytes_last_5s=0)),
            "idle:360s",
            "Anthropic SDK TCP keep-alive",
            Origin.NETWORK,
        ),
        (cut_stream(silence=600.1, attempt_elapsed=800.0), "none", None, Origin.UNKNOWN),
        # Endings by the caller or the provider are not compared.
        (replace(CLOSED, silence=60.0, headers={"server": "nginx"}), "none", None, Origin.CALLER),
        (
            replace(sse_error("overloaded_error"), silence=60.0, headers={"server": "nginx"}),
            "none",
            None,
            Origin.ANTHROPIC,
        ),
    ],
)
def test_times_match_limits_and_name_suspects(facts, label, first_suspect, origin):
    verdict = classify(facts)
    assert (verdict.limit_match, next(iter(verdict.suspects), None), verdict.origin) == (label, first_suspect, origin)
    if verdict.limit_match not in ("none", "ambiguous"):
        assert verdict.advice.startswith("Consistent with")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            cut_stream(silence=60.0, attempt_elapsed=200.0),
            ("60 s", "nginx: proxy_read_timeout", "X-Accel-Buffering: no"),
        ),
        (cut_stream(silence=55.0, attempt_elapsed=200.0), ("55 s", "fixed idle limit")),
        (cut_stream(silence=350.0, attempt_elapsed=999.0), ("350 s", "keep-alive", "custom http_client")),
        (cut_stream(silence=0.1, attempt_elapsed=29.9, bytes_last_5s=7), ("30 s", "shorter answers")),
        (cut_stream(silence=60.0, attempt_elapsed=60.0, bytes=0), ("Compare more such streams",)),
        (api_error(529, "overloaded_error"), ("retry budget",)),
        (cut_stream(silence=1.0), ("crashes or restarts",)),
    ],
)
def test_advice_names_the_limit_and_the_remedy(facts, words):
    advice = classify(facts).advice
    assert all(word in advice for word in words), advice
    assert "\n" not in advice


def test_advice_without_a_known_setting_names_the_kind_of_limit():
    limits = parse_limits("idle:2s,duration:9s")
    idle = classify(cut_stream(silence=2.0, attempt_elapsed=5.0), limits)
    total = classify(cut_stream(silence=0.0, attempt_elapsed=9.0), limits)
    assert (idle.limit_match, idle.suspects) == ("idle:2s", ("configured limit",))
    assert "the idle time-out of the hop" in idle.advice
    assert "the total time-out of the hop" in total.advice


# ---------------------------------------------------------------------------------------------------------- robustness

CLASS_NAMES = sorted({*chains.MRO, *chains.BASE_ONLY, "NoProgressTimeout", "FirstEventTimeout", "error", ""})
TIMES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 2.0, 15.0, 29.5, 30.0, 60.0, 61.9, 300.0, 350.0, 600.0, -1.0, 1e300]),
)
COUNTS = st.integers(-5, 2**63)
WORDINGS = st.sampled_from(["", "nginx", "envoy", "squid", "Cloudflare", "illegal chunk", "connection closed", "\x00é"])
FAULTS = st.builds(
    Fault,
    kinds=st.lists(st.sampled_from(CLASS_NAMES), max_size=3).map(tuple),
    modules=st.lists(st.sampled_from(["httpx2", "zlib", "anyio", ""]), max_size=3).map(tuple),
    bases=st.lists(st.frozensets(st.sampled_from(CLASS_NAMES), max_size=4), max_size=3).map(tuple),
    message=WORDINGS,
    messages=st.lists(WORDINGS, max_size=2).map(tuple),
    errno=st.none() | st.sampled_from([2, 9, 32, 104, 110, 111, -2, 0, 2**70]),
)
FACTS = st.builds(
    Facts,
    stop=st.sampled_from(Stop),
    phase=st.sampled_from(Phase),
    fault=st.none() | FAULTS,
    status=st.none() | st.sampled_from([200, 204, 302, 400, 404, 429, 500, 504, 529, 0, -1, 10**12]),
    error_type=st.none() | st.sampled_from([*sorted(PROVIDER_REASONS), "unknown", ""]),
    error_source=st.none() | st.sampled_from(ErrorSource),
    content_type=st.sampled_from(["", "text/html", "text/event-stream"]),
    body=st.sampled_from(BodyClass),
    has_request_id=st.booleans(),
    retry_after=st.none() | TIMES,
    headers=st.dictionaries(st.sampled_from(["server", "via", "x-cache", ""]), WORDINGS, max_size=2),
    wording=WORDINGS,
    message_start=st.booleans(),
    message_delta=st.booleans(),
    message_stop=st.booleans(),
    events=COUNTS,
    bytes=COUNTS,
    elapsed=TIMES,
    time_to_headers=st.none() | TIMES,
    silence=TIMES,
    bytes_last_5s=COUNTS,
    read_timeout=st.none() | TIMES,
    attempt_elapsed=st.none() | TIMES,
)
LIMIT_TABLES = st.sampled_from([KNOWN_LIMITS, (), parse_limits("x0.0333"), parse_limits("idle:2s=nginx,duration:3s")])


@settings(max_examples=500, deadline=None)
@given(FACTS, LIMIT_TABLES)
def test_any_facts_give_a_consistent_verdict(facts, limits):
    verdict = classify(facts, limits)
    assert (verdict.outcome is Outcome.CLOSED) == (verdict.reason in CALLER_REASONS)
    assert (verdict.outcome is Outcome.COMPLETED) == (verdict.reason is None) == (verdict.origin is None)
    assert (verdict.origin is Origin.CALLER) == (verdict.reason in CALLER_REASONS)
    assert verdict.reason not in verdict.also_possible
    assert len(set(verdict.also_possible)) == len(verdict.also_possible)
    assert len(set(verdict.suspects)) == len(verdict.suspects)
    assert verdict.rule in {rule.id for rule in RULES}
    assert not (verdict.fault_after_stop and verdict.missing_message_stop)
    kind, colon, seconds = verdict.limit_match.partition(":")
    if colon:
        assert kind in ("idle", "duration")
        assert seconds.endswith("s")
        assert math.isfinite(float(seconds[:-1]))
        assert verdict.suspects
    else:
        assert kind in ("none", "ambiguous")
    assert "{" not in verdict.advice


def test_endings_by_the_caller_are_never_compared_with_limits():
    assert all(rule.limit_check is LimitCheck.NONE for rule in RULES if rule.reason in CALLER_REASONS)


def test_a_fault_distinguishes_its_outermost_exception_from_any_link():
    """An async read time-out has a CancelledError deep in its chain, where it is no cancellation."""
    assert chains.READ_TIMEOUT_ASYNC.has("CancelledError")
    assert not chains.READ_TIMEOUT_ASYNC.outermost_is("CancelledError")
    assert chains.READ_TIMEOUT_ASYNC.outermost_is("TimeoutException", "CancelledError")
    assert not Fault((), (), ()).outermost_is("Exception")
