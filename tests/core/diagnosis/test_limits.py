"""Known time limits: matching, the table, fingerprints, scaling, and the setting that replaces them."""

from __future__ import annotations

import math

import pytest

from otel_claude_stream._core.diagnosis.limits import (
    KNOWN_LIMITS,
    LimitKind,
    LimitMatch,
    Remedy,
    label_of,
    match_limit,
    parse_limits,
    products_in_response,
    scale_limits,
    suspects_of,
)

REQUIRED = {
    "nginx", "HAProxy", "Envoy", "Istio", "AWS ALB", "AWS NLB", "AWS NAT gateway", "AWS API Gateway", "AWS CloudFront",
    "Cloudflare", "Google Cloud load balancer", "Google Cloud Run", "Azure Load Balancer", "Azure Application Gateway",
    "Azure Front Door", "Azure App Service", "Heroku router", "Vercel Functions", "Netlify Functions", "Kong", "Squid",
    "Anthropic SDK",
}  # fmt: skip


def matched(
    silence: float, elapsed: float, *, bytes_until_end: bool = False, limits=KNOWN_LIMITS, **more: object
) -> LimitMatch:
    return match_limit(limits, silence=silence, elapsed=elapsed, bytes_until_end=bytes_until_end, **more)


def test_a_stream_cut_after_60_s_of_silence_matches_nginx():
    found = matched(silence=60.0, elapsed=200.0)
    assert found.label == "idle:60s"
    assert suspects_of(found, ())[0] == "nginx"


def test_the_table_is_complete_and_its_rows_are_consistent():
    assert {limit.name for limit in KNOWN_LIMITS} >= REQUIRED
    for limit in KNOWN_LIMITS:
        assert limit.seconds > 0
        assert limit.source.startswith(("docs:", "reported:", "measured:", "general knowledge"))
        assert (limit.kind is LimitKind.DURATION) == (limit.remedy is Remedy.RAISE_DURATION)
        assert all(name == name.lower() and part == part.lower() for name, part in limit.headers)
        assert all(word == word.lower() for word in limit.wording)
    assert len(set(KNOWN_LIMITS)) == len(KNOWN_LIMITS)


@pytest.mark.parametrize(
    ("silence", "elapsed", "bytes_until_end", "label"),
    [
        # Idle limits match within two seconds, or three per cent where that is more.
        (60.0, 200.0, False, "idle:60s"),
        (58.1, 200.0, False, "idle:60s"),
        (61.9, 200.0, False, "idle:60s"),
        (63.0, 200.0, False, "none"),
        (340.0, 999.9, False, "idle:350s"),
        (309.1, 999.9, False, "none"),
        (120.1, 200.0, False, "idle:120s"),
        # Where two limits fit, the nearer one wins.
        (235.5, 500.0, False, "idle:240s"),
        (234.4, 500.0, False, "idle:230s"),
        # Short silences are ordinary. Other silences match no limit.
        (4.9, 200.0, True, "none"),
        (80.0, 200.0, False, "none"),
        # Limits on the duration match if bytes arrived until the end, or if the silence is short.
        (0.1, 30.1, True, "duration:30s"),
        (4.0, 30.1, False, "duration:30s"),
        (9.0, 30.1, False, "none"),
        (9.0, 30.1, True, "duration:30s"),
        (0.1, 17.1, True, "none"),
        (0.1, 29.2, True, "duration:29s"),
        # Limits of both kinds fit.
        (30.1, 30.1, True, "ambiguous"),
        (60.0, 300.0, True, "ambiguous"),
        (60.0, 300.0, False, "idle:60s"),
        # Implausible times match nothing.
        (math.nan, math.nan, True, "none"),
        (math.inf, math.inf, True, "none"),
        (-60.0, -30.0, True, "none"),
        (0.0, 0.0, True, "none"),
    ],
)
def test_times_match_limits_by_kind_and_tolerance(silence, elapsed, bytes_until_end, label):
    found = matched(silence, elapsed, bytes_until_end=bytes_until_end)
    assert found.label == label
    assert bool(found.limits) == (label != "none")


@pytest.mark.parametrize(
    ("silence", "elapsed", "label", "suspects"),
    [
        (0.1, 29.0, "duration:29s", ("AWS API Gateway",)),
        (0.1, 30.0, "duration:30s", ("Google Cloud load balancer", "Azure Front Door")),
        (235.5, 500.0, "idle:240s", ("Azure Load Balancer", "Azure NAT Gateway")),
    ],
)
def test_suspects_have_the_limit_that_the_label_names(silence, elapsed, label, suspects):
    """Other limits fit within the tolerance too, but less closely."""
    found = matched(silence, elapsed, bytes_until_end=True)
    assert (found.label, suspects_of(found, ())) == (label, suspects)


def test_without_limits_nothing_matches():
    assert matched(60.0, 60.0, limits=()) == LimitMatch()


def test_a_product_that_the_response_names_comes_first_and_decides_the_kind():
    found = matched(60.0, 60.0, bytes_until_end=True, products=frozenset({"Kong"}))
    assert (found.label, found.limits[0].name) == ("idle:60s", "Kong")
    assert all(limit.kind is LimitKind.IDLE for limit in found.limits)
    assert "nginx" in suspects_of(found, ())
    both = matched(30.0, 30.0, bytes_until_end=True, products=frozenset({"AWS API Gateway"}))
    before = matched(30.0, 30.0, bytes_until_end=True, in_body=False, products=frozenset({"AWS API Gateway"}))
    assert before.label == "duration:29s"
    assert (both.label, both.limits[0].name) == ("ambiguous", "AWS API Gateway")


def test_a_product_without_a_matching_limit_does_not_hide_the_others():
    found = matched(60.0, 200.0, products=frozenset({"Envoy"}))
    assert found.label == "idle:60s"
    assert suspects_of(found, ["Envoy"])[:2] == ("Envoy", "nginx")


def test_envoy_closes_a_second_late_in_the_body_only():
    limits = parse_limits("idle:2s=envoy")
    assert matched(3.0, 9.0, limits=limits).label == "idle:2s"
    assert matched(3.0, 9.0, limits=limits, in_body=False).label == "none"
    assert matched(3.0, 9.0, limits=parse_limits("idle:2s=nginx")).label == "none"


@pytest.mark.parametrize(("seconds", "label"), [(60, "idle:60s"), (0.5, "idle:0.5s"), (1.99800001, "idle:1.998s")])
def test_a_label_has_at_most_three_decimals(seconds, label):
    assert label_of(parse_limits(f"idle:{seconds}s")[0]) == label


# -------------------------------------------------------------------------------------------------------- fingerprints


@pytest.mark.parametrize(
    ("headers", "wording", "names"),
    [
        ({}, "", ()),
        ({"server": "nginx/1.22.1"}, "", ("nginx",)),
        ({"Via": "1.1 abc.cloudfront.net (CloudFront)"}, "", ("AWS CloudFront",)),
        ({"via": "1.1 lab (squid/5.7)", "x-squid-error": "ERR_READ_TIMEOUT 0"}, "", ("Squid",)),
        ({"server": "Caddy"}, "", ("Caddy",)),
        ({}, "<h1>504</h1> The server didn't respond in time.", ("HAProxy",)),
        ({}, "Error occurred while trying to proxy: host/path", ("http-proxy-middleware",)),
        ({"server": "cloudflare", "cf-ray": "8"}, "", ("Cloudflare",)),
        ({"cf-ray": "8"}, "", ()),
        ({"content-type": "text/html"}, "hello", ()),
    ],
)
def test_products_are_identified_by_headers_and_wording(headers, wording, names):
    assert products_in_response(headers, wording, KNOWN_LIMITS) == names


def test_the_edge_of_the_api_is_no_suspect_in_responses_of_the_api():
    headers = {"server": "cloudflare", "via": "1.1 google"}
    assert products_in_response(headers, "", KNOWN_LIMITS, from_api=True) == ()


# --------------------------------------------------------------------------------------------------------- the setting


def test_scaling_multiplies_the_limits_and_keeps_close_delays():
    scaled = scale_limits(KNOWN_LIMITS, 1 / 30)
    assert matched(2.0, 9.0, limits=scaled).label == "idle:2s"
    assert matched(0.1, 5.0, limits=scaled).label == "none"
    assert matched(0.05, 0.5, bytes_until_end=True, limits=scaled).label == "duration:0.5s"
    assert [limit.close_delay for limit in scaled] == [limit.close_delay for limit in KNOWN_LIMITS]


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_scaling_requires_a_positive_number(factor):
    with pytest.raises(ValueError, match="positive number"):
        scale_limits(KNOWN_LIMITS, factor)


def test_the_setting_keeps_scales_or_replaces_the_limits():
    assert parse_limits("") == parse_limits(" default ") == KNOWN_LIMITS
    assert parse_limits("x0.5")[0].seconds == 30
    assert parse_limits("x .5") == scale_limits(KNOWN_LIMITS, 0.5)
    nginx, haproxy, alb, custom, nameless = parse_limits(
        "idle:2s=nginx, duration : 3 s = haproxy ,idle:500ms=aws alb,duration:1m=Our Gateway,idle:7"
    )
    assert (nginx.seconds, nginx.kind, nginx.name, nginx.setting) == (
        2.0,
        LimitKind.IDLE,
        "nginx",
        "proxy_read_timeout",
    )
    assert nginx.headers
    # HAProxy has no known limit of this kind, so its wording stays and its setting does not.
    assert (haproxy.kind, haproxy.remedy, haproxy.setting) == (LimitKind.DURATION, Remedy.RAISE_DURATION, "")
    assert haproxy.wording
    assert (alb.seconds, alb.name) == (0.5, "AWS ALB")
    assert (custom.seconds, custom.name, custom.remedy) == (60.0, "Our Gateway", Remedy.RAISE_DURATION)
    assert (nameless.seconds, nameless.name, nameless.remedy) == (7.0, "configured limit", Remedy.RAISE_IDLE)


@pytest.mark.parametrize(
    "text",
    ["x", "x0", "x-1", "2s", "idle", "idle:", "idle:0s", "idle:-2s", "idle:2h", "sleep:2s=nginx", "idle:2s=nginx,",
     "0.5", "x" + "9" * 400, "idle:" + "9" * 400 + "s"],
)  # fmt: skip
def test_anything_else_is_an_error_that_lists_the_accepted_forms(text):
    with pytest.raises(ValueError, match=r"idle:2s=nginx,duration:3s=haproxy"):
        parse_limits(text)
