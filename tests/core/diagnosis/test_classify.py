"""Each way in which a stream can end, and the one answer to it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import chains
from tests.support.chains import fault
from tests.support.endings_table import (
    ALMOST,
    CALLER,
    DONE,
    ENDED,
    ENDINGS,
    LEFT,
    NO_EVENT,
    STREAMING,
    WAITING,
    A,
    C,
    I,
    N,
    U,
    http,
    page,
    raised,
    sse,
)

from otel_claude_stream._core.diagnosis.classify import RULES, Clock, Verdict, classify
from otel_claude_stream._core.diagnosis.evidence import PROVIDER_REASONS
from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, parse_limits
from otel_claude_stream._core.vocabulary import CALLER_REASONS, BodyClass, ErrorSource, Origin, Outcome, Phase, Stop
from otel_claude_stream._core.vocabulary import AbortReason as R


@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending_has_its_reason(name):
    """No times that fit a limit, no fingerprints: the rules alone."""
    facts, reason, origin, also = ENDINGS[name]
    verdict = classify(facts)
    assert (verdict.reason, verdict.origin, set(verdict.also_possible)) == (reason, origin, also), verdict.rule
    assert verdict.limit_match == "none"
    assert bool(verdict.advice) is (reason not in CALLER_REASONS)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (DONE, Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (replace(DONE, stop=Stop.CLOSED), Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (replace(DONE, stop=Stop.DROPPED), Verdict(Outcome.COMPLETED, None, None, rule="message_stop")),
        (
            replace(DONE, stop=Stop.DROPPED, fault=fault("GeneratorExit")),
            Verdict(Outcome.COMPLETED, None, None, rule="message_stop"),
        ),
        *(
            (
                replace(DONE, stop=Stop.RAISED, fault=chain),
                Verdict(Outcome.COMPLETED, None, None, rule="message_stop", fault_after_stop=True),
            )
            for chain in (chains.CUT, chains.RESET, chains.QUIET, chains.STATUS, chains.CANCELLED)
        ),
        (ALMOST, Verdict(Outcome.COMPLETED, None, None, rule="only_stop_missing", missing_message_stop=True)),
    ],
)
def test_a_complete_message_is_complete_whatever_follows(facts, expected):
    assert classify(facts) == expected


def test_every_rule_decides_something():
    """A rule that no ending reaches is shadowed by one above, or wrong."""
    decided = {classify(facts).rule for facts, *_ in ENDINGS.values()} | {"message_stop", "only_stop_missing"}
    assert decided == {rule.id for rule in RULES}


def test_rules_read_as_documentation():
    """One id each, one sentence each, ended by a full stop."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.says.endswith(".") for rule in RULES)


def test_provider_types_are_found_in_any_case():
    assert all(name == name.lower() for name in PROVIDER_REASONS)
    assert classify(sse("Overloaded_Error")).reason is R.OVERLOADED


# ------------------------------------------------------------------------------------------------- limits and suspects


def cut(**more: object) -> Facts:
    return replace(STREAMING, **{"fault": chains.CUT, "bytes_last_5s": 0, **more})


@pytest.mark.parametrize(
    ("facts", "label", "first_suspect", "origin"),
    [
        (cut(silence=60.1, elapsed=200.0, last_attempt=200.0), "idle:60s", "nginx", I),
        (cut(silence=60.1, elapsed=200.0, last_attempt=None), "idle:60s", "nginx", I),
        (cut(silence=60.1, last_attempt=85.0, headers={"server": "awselb/2.0"}), "idle:60s", "AWS ALB", I),
        (cut(silence=301.0, last_attempt=333.0, headers={"server": "envoy"}), "idle:300s", "Envoy", I),
        (cut(silence=0.2, last_attempt=30.3, bytes_last_5s=9), "duration:30s", "Google Cloud load balancer", U),
        (
            cut(silence=0.2, last_attempt=30.3, bytes_last_5s=9, fault=chains.RESET),
            "duration:30s",
            "Google Cloud load balancer",
            U,
        ),
        (cut(silence=0.2, last_attempt=15.9, headers={"server": "envoy"}), "duration:15s", "Envoy", I),
        (cut(silence=350.4, last_attempt=351.0, fault=chains.RESET), "idle:350s", "AWS NLB", N),
        (cut(silence=60.1, last_attempt=60.4, bytes=0), "ambiguous", "nginx", I),
        (cut(silence=60.1, last_attempt=60.4, bytes=0, headers={"server": "nginx"}), "idle:60s", "nginx", I),
        (cut(silence=0.1, last_attempt=7.0, headers={"server": "nginx/1.22"}), "none", "nginx", U),
        (cut(silence=0.1, last_attempt=7.0, headers={"Server": "cloudflare"}), "none", None, U),
        (
            cut(silence=0.1, last_attempt=7.0, headers={"Server": "cloudflare"}, has_request_id=False),
            "none",
            "Cloudflare",
            U,
        ),
        (replace(ENDED, silence=55.1, last_attempt=80.0, bytes_last_5s=0), "idle:55s", "Heroku router", I),
        # Before the headers the wait for them is the figure, whatever else the clocks say.
        (page(504, head=60.02, elapsed=900.0, headers={"server": "nginx"}), "idle:60s", "nginx", I),
        (page(504, head=60.02, elapsed=60.02), "ambiguous", "nginx", I),
        (page(504, head=None, elapsed=29.0, headers={"x-amz-apigw-id": "x"}), "duration:29s", "AWS API Gateway", I),
        (page(524, head=100.5, wording="Error code: 524"), "idle:100s", "Cloudflare", I),
        (page(502, head=0.1, wording="<h1>Backend fetch failed"), "none", "Varnish", I),
        (raised(chains.DISCONNECTED, replace(WAITING, head=350.0)), "idle:350s", "AWS NLB", N),
        # A hop that buffers held the headers back, and gave them away at the cut: their wait is the silence.
        (raised(chains.CUT, replace(NO_EVENT, head=59.9, silence=0.0, last_attempt=59.9)), "ambiguous", "nginx", I),
        (
            raised(chains.CUT, replace(NO_EVENT, head=59.9, silence=0.0, headers={"server": "nginx"}, elapsed=99.0)),
            "idle:60s",
            "nginx",
            I,
        ),
        (raised(chains.CUT, replace(NO_EVENT, head=60.0, silence=7.0, last_attempt=67.0)), "none", None, U),
        (raised(chains.CUT, replace(NO_EVENT, head=None, silence=0.0, last_attempt=7.0)), "none", None, U),
        (cut(head=60.0, silence=0.1, last_attempt=67.0), "none", None, U),
        # The client's own clocks: only the client's own limits.
        (raised(chains.QUIET, replace(STREAMING, silence=600.1, last_attempt=800.0)), "idle:600s", "Anthropic SDK", C),
        (raised(chains.QUIET, replace(STREAMING, silence=60.0, last_attempt=80.0)), "none", None, C),
        (raised(chains.QUIET_HEAD, replace(WAITING, head=600.0)), "idle:600s", "Anthropic SDK", C),
        (
            raised(chains.DEAD, replace(STREAMING, silence=366.0, bytes_last_5s=0)),
            "idle:360s",
            "Anthropic SDK TCP keep-alive",
            N,
        ),
        (cut(silence=600.1, last_attempt=800.0), "none", None, U),
        # The caller's and the provider's own endings are no matter of limits.
        (replace(LEFT, silence=60.0, headers={"server": "nginx"}), "none", None, CALLER),
        (replace(sse("overloaded_error"), silence=60.0, headers={"server": "nginx"}), "none", None, A),
    ],
)
def test_limits_and_suspects(facts, label, first_suspect, origin):
    verdict = classify(facts)
    assert (verdict.limit_match, next(iter(verdict.suspects), None), verdict.origin) == (label, first_suspect, origin)
    if verdict.limit_match not in ("none", "ambiguous"):
        assert verdict.advice.startswith("Consistent with")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (cut(silence=60.0, last_attempt=200.0), ("60 s", "nginx: proxy_read_timeout", "X-Accel-Buffering: no")),
        (cut(silence=55.0, last_attempt=200.0), ("55 s", "fixed idle limit")),
        (cut(silence=350.0, last_attempt=999.0), ("350 s", "keep-alive", "custom http_client")),
        (cut(silence=0.1, last_attempt=29.9, bytes_last_5s=7), ("30 s", "shorter answers")),
        (cut(silence=60.0, last_attempt=60.0, bytes=0), ("compare more streams",)),
        (http(529, "overloaded_error"), ("retry budget",)),
        (cut(silence=1.0), ("crashes or restarts",)),
    ],
)
def test_advice_says_what_to_do(facts, words):
    advice = classify(facts).advice
    assert all(word in advice for word in words), advice
    assert "\n" not in advice


def test_advice_without_a_known_setting_names_the_kind():
    limits = parse_limits("idle:2s,duration:9s")
    idle = classify(cut(silence=2.0, last_attempt=5.0), limits)
    total = classify(cut(silence=0.0, last_attempt=9.0), limits)
    assert (idle.limit_match, idle.suspects) == ("idle:2s", ("configured limit",))
    assert "the idle time-out of the hop" in idle.advice
    assert "the total time-out of the hop" in total.advice


# ---------------------------------------------------------------------------------------------------------- robustness

_NAMES = sorted(
    {*chains.MRO, *chains.BASE_ONLY, "NoProgressTimeout", "SilenceTimeout", "FirstEventTimeout", "error", ""}
)
_TIMES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 2.0, 15.0, 29.5, 30.0, 60.0, 61.9, 300.0, 350.0, 600.0, -1.0, 1e300]),
)
_COUNTS = st.integers(-5, 2**63)
_WORDS = st.sampled_from(["", "nginx", "envoy", "squid", "Cloudflare", "illegal chunk", "connection closed", "\x00é"])
_FAULTS = st.builds(
    Fault,
    kinds=st.lists(st.sampled_from(_NAMES), max_size=3).map(tuple),
    modules=st.lists(st.sampled_from(["httpx2", "zlib", "anyio", ""]), max_size=3).map(tuple),
    bases=st.lists(st.frozensets(st.sampled_from(_NAMES), max_size=4), max_size=3).map(tuple),
    message=_WORDS,
    messages=st.lists(_WORDS, max_size=2).map(tuple),
    errno=st.none() | st.sampled_from([2, 9, 32, 104, 110, 111, -2, 0, 2**70]),
)
_FACTS = st.builds(
    Facts,
    stop=st.sampled_from(Stop),
    phase=st.sampled_from(Phase),
    fault=st.none() | _FAULTS,
    closed_elsewhere=st.booleans(),
    status=st.none() | st.sampled_from([200, 204, 302, 400, 404, 429, 500, 504, 529, 0, -1, 10**12]),
    error_type=st.none() | st.sampled_from([*sorted(PROVIDER_REASONS), "odd", ""]),
    error_source=st.none() | st.sampled_from(ErrorSource),
    content_type=st.sampled_from(["", "text/html", "text/event-stream"]),
    body=st.sampled_from(BodyClass),
    has_request_id=st.booleans(),
    retry_after=st.none() | _TIMES,
    headers=st.dictionaries(st.sampled_from(["server", "via", "x-cache", ""]), _WORDS, max_size=2),
    wording=_WORDS,
    message_start=st.booleans(),
    message_delta=st.booleans(),
    message_stop=st.booleans(),
    events=_COUNTS,
    bytes=_COUNTS,
    elapsed=_TIMES,
    head=st.none() | _TIMES,
    silence=_TIMES,
    bytes_last_5s=_COUNTS,
    read_timeout=st.none() | _TIMES,
    last_attempt=st.none() | _TIMES,
)
_TABLES = st.sampled_from([KNOWN_LIMITS, (), parse_limits("x0.0333"), parse_limits("idle:2s=nginx,duration:3s")])


@settings(max_examples=1500, deadline=None)
@given(_FACTS, _TABLES)
def test_classify_is_total_and_its_answers_agree_with_themselves(facts, limits):
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


def test_a_caller_s_ending_is_never_compared_with_limits():
    assert all(rule.clock is Clock.NONE for rule in RULES if rule.reason in CALLER_REASONS)


def test_a_fault_answers_for_the_outermost_and_for_any_link():
    """An async read time-out has a CancelledError deep in its chain: only the outermost decides."""
    assert chains.QUIET_ASYNC.has("CancelledError")
    assert not chains.QUIET_ASYNC.outermost_is("CancelledError")
    assert chains.QUIET_ASYNC.outermost_is("TimeoutException", "CancelledError")
    assert not Fault((), (), ()).outermost_is("Exception")
