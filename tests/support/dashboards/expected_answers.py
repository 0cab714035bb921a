"""Expected values of the panels, computed by hand from the scenarios.

Panels with a single value cover the two hours before the given minute. A point of a curve covers four minutes. Samples
are a minute apart, so rates are exact. For example, 120 streams in two hours are `120 / 7200` per second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MODEL = "claude-sonnet-5"
GATEWAY = "gw.example.com"
MINUTELY = 1 / 60
"""One event a minute, as a rate per second."""

# A healthy answer takes 0.6 s to the first token. Quantiles are interpolated in the bucket from 0.5 to 0.75 s.
P50, P95, P99 = 0.5 + 0.25 * 0.50, 0.5 + 0.25 * 0.95, 0.5 + 0.25 * 0.99
# Its longest silence is 0.6 s, which is in the first bucket, up to 1 s.
SILENCE_P99 = 0.99
# 60 tokens in 0.95 s are in the bucket from 60 to 80 per second.
TOKENS_P50, TOKENS_P10 = 70.0, 62.0
# It has 25 input tokens too.
INPUT_TOKENS, ANSWER_TOKENS = 25, 25 + 60
# 0.6 s of 1.55 s pass before the first token. Then there are 19 gaps of 50 ms.
WAITING, WAITS = 0.6 / 1.55, 19.0
# The caller takes no time, which is in the first bucket, up to 50 ms.
CALLER = 0.05 * 0.95


@dataclass(frozen=True)
class Expected:
    """Expected values of some panels (`board/title`) for one scenario at one minute, by legend."""

    scenario: str
    minute: float
    panels: dict[str, dict[str, float]]
    hours: float = 2.0
    interval: int = 240
    values: dict[str, str] = field(default_factory=dict)
    """Variables that are not set to `All`."""
    tolerance: float = 0.02
    """Relative tolerance, because `increase()` extrapolates to the edges of its window."""
    single: bool = False
    """Whether windows of four minutes contain single events. Prometheus 2 sees five samples in such a window.
    Prometheus 3 excludes the first, and extrapolates from three minutes to four."""

    @property
    def query_options(self) -> dict[str, Any]:
        return {"hours": self.hours, "interval": self.interval, **self.values}


def healthy(count: float, minutes: float, *, job: str, per_minute: float = 1.0) -> dict[str, dict[str, float]]:
    """Expected values for one healthy server after `count` streams in `minutes`."""
    return {
        "stream-health/Streams per second": {"": count / minutes / 60},
        "stream-health/Completed share": {"": 1.0},
        "stream-health/Time to first token, p95": {"": P95},
        "stream-health/Longest silence, p99": {"": SILENCE_P99},
        "stream-health/Streams, by outcome": {"completed": per_minute * MINUTELY},
        "stream-health/Failed streams, by reason": {},
        "stream-health/Completed share, by server": {GATEWAY: 1.0},
        "stream-health/Time to first token, by model": {
            f"{MODEL} p50": P50,
            f"{MODEL} p95": P95,
            f"{MODEL} p99": P99,
        },
        "stream-health/Time to first token, distribution": {"0.75": per_minute * MINUTELY},
        "stream-health/Gaps between chunks": {"0.08": WAITS * per_minute * MINUTELY},
        "stream-health/Longest silence, p99, by server": {GATEWAY: SILENCE_P99},
        "stream-health/Output tokens per second of a stream": {f"{MODEL} p50": TOKENS_P50, f"{MODEL} p10": TOKENS_P10},
        "stream-health/Output tokens per second, all streams": {job: per_minute},
        "stream-health/Time in the caller's code, p95": {job: CALLER},
        "stream-health/Stalls": {},
        "stream-health/Active streams": {},
        "stream-health/Instrumentation errors": {},
        "drill-down/Time to first token, p99, with exemplars": {GATEWAY: P99},
        "proxy-timeouts/Cuts at a known limit": {"": 0.0},
        "proxy-timeouts/Cuts as a share of failures": {},
        "proxy-timeouts/Streams lost to cuts": {"": 0.0},
        "proxy-timeouts/Servers affected": {"": 0.0},
        "proxy-timeouts/Silence before the cut": {},
        "proxy-timeouts/Age at the cut": {},
        "proxy-timeouts/Cuts, by limit": {},
        "proxy-timeouts/Cuts, by server, limit and phase": {},
        "proxy-timeouts/Waits between chunks, per stream": {GATEWAY: WAITS},
        "proxy-timeouts/Share of time before the first token": {GATEWAY: WAITING},
        "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {},
        "overload-retries/Overloaded share of requests": {"": 0.0},
        "overload-retries/Streams lost to overload": {"": 0.0},
        "overload-retries/Requests per stream": {"": 1.0},
        "overload-retries/Requests per stream (amplification)": {GATEWAY: 1.0},
        "overload-retries/Overloaded share of requests, by model": {MODEL: 0.0},
        "overload-retries/Overloaded share of requests, by server": {GATEWAY: 0.0},
        "overload-retries/Lowest retry budget left": {},
        "overload-retries/Retries made, by layer and action": {},
        "overload-retries/Tokens billed": {"": ANSWER_TOKENS * count},
        "overload-retries/Wasted share of the bill": {"": 0.0},
        "overload-retries/Tokens billed beside the usage, by type": {},
    }  # fmt: skip


ALB = (
    # Eleven cuts, in the minutes 71 to 172, among 120 healthy streams. The first stream was 61.1 s old, and each
    # further one was 3 s older. So only the first lies in a band of ages.
    Expected(
        "alb",
        180,
        {
            "stream-health/Completed share": {"": 120 / 131},
            "overview/Completed share": {"": 120 / 131},
            "overview/Time to first token, p95": {"": P95},
            "overview/Cuts at a known limit": {"": 11},
            "overview/Streams lost to cuts": {"": 11 / 131},
            "overview/Overloaded share of requests": {"": 0.0},
            "overview/Requests per stream": {"": 1.0},
            "overview/Does a hop cut streams? Cuts, by server and limit": {f"{GATEWAY} idle:60s": 11},
            "overview/Is Claude overloaded? Overloaded share, by model and server": {f"{MODEL} {GATEWAY}": 0.0},
            "overview/Failed share, by job": {"alb-{}": 11 / 131},
            "overview/Time to first token, p95, by job": {"alb-{}": P95},
            "proxy-timeouts/Cuts at a known limit": {"": 11},
            "proxy-timeouts/Cuts as a share of failures": {"": 1.0},
            "proxy-timeouts/Streams lost to cuts": {"": 11 / 131},
            "proxy-timeouts/Servers affected": {"": 1.0},
            "proxy-timeouts/Silence before the cut": {"59-62 s": 11},
            "proxy-timeouts/Age at the cut": {"59-62 s": 1},
            "proxy-timeouts/Cuts, by server, limit and phase": {f"idle:60s streaming {GATEWAY}": 11},
            "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {},
            # Ten deltas with 49 characters had arrived, and 4 more for each 3 s of age. 4 characters are a token.
            "overload-retries/Tokens wasted": {"": sum(12 + n for n in range(11))},
            "overload-retries/Tokens billed": {"": 120 * ANSWER_TOKENS + sum(INPUT_TOKENS + 12 + n for n in range(11))},
            "overload-retries/Wasted share of the bill": {
                "": sum(INPUT_TOKENS + 12 + n for n in range(11))
                / (120 * ANSWER_TOKENS + sum(INPUT_TOKENS + 12 + n for n in range(11)))
            },
        },
    ),
    # Curves show the first cut too, although it created all its series.
    Expected(
        "alb",
        73,
        {
            "proxy-timeouts/Cuts, by limit": {"idle:60s": 1.0},
            "proxy-timeouts/Silence before the cut, over time": {"62": 1},
            "proxy-timeouts/Age at the cut, over time": {"62": 1},
            "stream-health/Failed streams, by reason": {"connection_closed": 1.0},
        },
        single=True,
    ),
    # One cut in the last four minutes, at minute 151.4.
    Expected(
        "alb",
        152,
        {
            "stream-health/Streams, by outcome": {"completed": MINUTELY, "failed": 1 / 240},
            "stream-health/Failed streams, by reason": {"connection_closed": 1.0},
            "stream-health/Completed share, by server": {GATEWAY: 4 / 5},
            "stream-health/Stalls": {"10s silent": 1.0, "30s silent": 1.0, "60s silent": 1.0},
            "proxy-timeouts/Cuts, by limit": {"idle:60s": 1.0},
            "proxy-timeouts/Failed requests, before headers or in the body": {"in the body": 1.0},
            "proxy-timeouts/Silence before the cut, over time": {"62": 1},
            "proxy-timeouts/Age at the cut, over time": {"99": 1},
            "proxy-timeouts/Aborts in proxy logs and in the application": {
                "nginx: idle, body": 1 / 240,
                "application: failed requests": 1 / 240,
            },
            "overload-retries/Tokens wasted, by reason": {"connection_closed": 20 / 240},
            "overload-retries/Tokens billed beside the usage, by type": {
                "input reported wasted": INPUT_TOKENS,
                "output estimated wasted": 20,
            },
        },
        single=True,
    ),
)

RECOVERED = (
    # The same cuts, with a policy that resumes the texts. Each cut response was 60.5 s old.
    Expected(
        "recovered",
        180,
        {
            "stream-health/Completed share": {"": 1.0},
            "stream-health/Failed streams, by reason": {},
            "proxy-timeouts/Cuts at a known limit": {"": 11},
            "proxy-timeouts/Cuts as a share of failures": {"": 1.0},
            "proxy-timeouts/Streams lost to cuts": {"": 0.0},
            "proxy-timeouts/Servers affected": {"": 1.0},
            "proxy-timeouts/Silence before the cut": {"59-62 s": 11},
            "proxy-timeouts/Age at the cut": {"59-62 s": 11},
            "proxy-timeouts/Cuts, by server, limit and phase": {f"idle:60s streaming {GATEWAY}": 11},
            "overload-retries/Recovered streams": {"": 11},
        },
    ),
)

STRAIGHT, BUFFERED_SERVER, EGRESS = "straight.example.com", "buffering.example.com", "api.anthropic.com"

NAT = (
    # The NAT cut seven streams of the server behind it. Both servers had 120 healthy streams.
    Expected(
        "nat",
        180,
        {
            "stream-health/Completed share": {"": 240 / 247},
            "stream-health/Completed share, by server": {EGRESS: 1.0, GATEWAY: 1.0},
            "proxy-timeouts/Cuts at a known limit": {"": 7},
            "proxy-timeouts/Cuts as a share of failures": {"": 1.0},
            "proxy-timeouts/Streams lost to cuts": {"": 7 / 247},
            "proxy-timeouts/Servers affected": {"": 1.0},
            "proxy-timeouts/Silence before the cut": {"349-352 s": 7},
            "proxy-timeouts/Age at the cut": {},
            "proxy-timeouts/Cuts, by server, limit and phase": {f"idle:350s streaming {EGRESS}": 7},
        },
    ),
    # The same with the other server selected.
    Expected(
        "nat",
        180,
        {
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
            "proxy-timeouts/Silence before the cut": {},
            "stream-health/Completed share": {"": 1.0},
            "stream-health/Streams per second": {"": MINUTELY},
        },
        values={"server": GATEWAY},
    ),
)

INCIDENT = (
    # In ten minutes 20 calls failed after three requests each, 10 failed before the first token, and 10 after it. The
    # two hours also had 98 + 120 healthy calls and 4 with a 429 first. So 222 completed, 40 failed, with 306 requests.
    Expected(
        "incident",
        180,
        {
            "overload-retries/Overloaded share of requests": {"": (60 + 20) / 306},
            "overload-retries/Streams lost to overload": {"": 40},
            "overload-retries/Requests per stream": {"": 306 / 262},
            "overload-retries/Tokens wasted": {"": 10 * 12},
            # Twenty streams reported their input before they failed. Ten of them wrote twelve tokens.
            "overload-retries/Tokens billed": {"": 222 * ANSWER_TOKENS + 20 * INPUT_TOKENS + 10 * 12},
            "overload-retries/Lowest retry budget left": {},
            "stream-health/Completed share": {"": 222 / 262},
            "overview/Completed share": {"": 222 / 262},
            "overview/Cuts at a known limit": {"": 0.0},
            "overview/Streams lost to cuts": {"": 0.0},
            "overview/Overloaded share of requests": {"": (60 + 20) / 306},
            "overview/Requests per stream": {"": 306 / 262},
            "overview/Does a hop cut streams? Cuts, by server and limit": {},
            "overview/Failed share, by job": {"incident-{}": 40 / 262},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
            "proxy-timeouts/Cuts as a share of failures": {"": 0.0},
        },
    ),
    # In the middle of it, each minute has two refused calls, one that fails before the first token, and one after it.
    Expected(
        "incident",
        128,
        {
            "overload-retries/Overload and rate limit errors, by source": {
                "HTTP 529": 6 * MINUTELY,
                "in the stream, before the first token": MINUTELY,
                "in the stream, after the first token": MINUTELY,
                "HTTP 429, rate limit": 0.0,
            },
            "overload-retries/Overloaded share of requests, by model": {MODEL: 1.0},
            "overload-retries/Overloaded share of requests, by server": {GATEWAY: 1.0},
            "overview/Is Claude overloaded? Overloaded share, by model and server": {f"{MODEL} {GATEWAY}": 1.0},
            "overview/Failed streams, by reason": {"overloaded": 16},
            "overload-retries/Streams lost to overload, by model": {MODEL: 16},
            "overload-retries/Requests per stream (amplification)": {GATEWAY: 8 / 4},
            "overload-retries/Retries made, by layer and action": {"sdk: retry": 16},
            "overload-retries/Retries made, by reason": {"overloaded": 16},
            # The SDK waits 0.5 s, then 1 s, which are the buckets up to 0.5 and up to 1.
            "overload-retries/Back-off, p50 and p95, by reason": {"overloaded p50": 0.5, "overloaded p95": 0.95},
            "overload-retries/Tokens wasted, by reason": {"overloaded": 12 * MINUTELY},
            # A policy could retry the streams that failed before the first token. It could not retry those that the SDK
            # gave up on. It could not resume the others, because their delivered text is too short.
            "overload-retries/Policy decisions in a dry run": {"retry": 4, "give_up": 12},
            "overload-retries/Policy decisions": {},
            "overload-retries/Rate limits left, by model": {},
            "stream-health/Streams, by outcome": {"completed": 0.0, "failed": 4 * MINUTELY},
            "stream-health/Failed streams, by reason": {"overloaded": 16},
            "stream-health/Completed share, by server": {GATEWAY: 0.0},
            "proxy-timeouts/Failed requests, before headers or in the body": {"before headers": 24, "in the body": 8},
            "proxy-timeouts/Aborts in proxy logs and in the application": {
                "nginx: idle, body": 0.0,
                "application: failed requests": 8 * MINUTELY,
            },
        },
    ),
    # Before the incident there is one 429 in ten minutes. The SDK retried after the requested two seconds.
    Expected(
        "incident",
        98,
        {
            "overload-retries/Overload and rate limit errors, by source": {
                "HTTP 529": 0.0,
                "in the stream, before the first token": 0.0,
                "in the stream, after the first token": 0.0,
                "HTTP 429, rate limit": 1 / 240,
            },
            "overload-retries/Retries made, by reason": {"rate_limited": 1},
            "overload-retries/Requests per stream (amplification)": {GATEWAY: 10 / 9},
            "overload-retries/Overloaded share of requests, by model": {MODEL: 0.0},
            # It reported that no requests were left, and a quarter of the output tokens.
            "overload-retries/Rate limits left, by model": {f"{MODEL} requests": 0.0, f"{MODEL} output_tokens": 0.25},
            "overload-retries/Time until rate limits are replenished, by model": {
                f"{MODEL} requests": 60.0,
                f"{MODEL} output_tokens": 60.0,
            },
        },
        single=True,
    ),
)

BUFFERING = (
    Expected(
        "buffering",
        180,
        {
            "proxy-timeouts/Waits between chunks, per stream": {STRAIGHT: WAITS, BUFFERED_SERVER: 0.0},
            "proxy-timeouts/Share of time before the first token": {STRAIGHT: WAITING, BUFFERED_SERVER: 1.0},
            # Half of the streams take 0.6 s, the other half 1.55 s.
            "stream-health/Time to first token, p95": {"": 1.5 + 0.5 * 0.9},
            "stream-health/Time to first token, distribution": {"0.75": MINUTELY, "2": MINUTELY},
            "stream-health/Gaps between chunks": {"0.08": WAITS * MINUTELY},
            "stream-health/Longest silence, p99, by server": {STRAIGHT: 0.99, BUFFERED_SERVER: 1 + 4 * 0.99},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
        },
    ),
)

WEEK = (
    # Each fifth stream was silent for 40 s, which a limit of 30 s would cut and one of 50 s would not. 672 + 168
    # streams completed, and 7 were closed by their caller.
    Expected(
        "healthy",
        7 * 24 * 60,
        {
            "stream-health/Streams per second": {"": (672 + 168 + 7) / (7 * 86400)},
            "stream-health/Completed share": {"": 1.0},
            "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {"28-31 s": 0.2},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
            "proxy-timeouts/Streams lost to cuts": {"": 0.0},
            "overload-retries/Requests per stream": {"": 1.0},
            "overload-retries/Streams lost to overload": {"": 0.0},
            # 40 s is in the bucket from 31 to 45, which holds the upper fifth. p99 is interpolated in it.
            "stream-health/Longest silence, p99": {"": 31 + 14 * (0.99 - 0.8) / 0.2},
        },
        hours=7 * 24.0,
        interval=960,
    ),
)

LIMITS = (
    Expected(
        "limits",
        180,
        {
            "proxy-timeouts/Silence before the cut": {
                "28-31 s": 1, "49-51 s": 2, "54-56 s": 3, "59-62 s": 4, "99-102 s": 5, "119-122 s": 6, "228-232 s": 7,
                "239-242 s": 8, "299-302 s": 9, "349-352 s": 10, "595-605 s": 11, "895-905 s": 12,
            },
            "proxy-timeouts/Age at the cut": {
                "14-16 s": 1, "28-31 s": 2, "59-62 s": 3, "299-302 s": 4, "895-905 s": 5,
            },
        },
    ),
    # Among a hundred streams twelve were silent for longer than 28 s, eleven for longer than 49 s, and so on.
    Expected(
        "headroom",
        180,
        {
            "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {
                "28-31 s": 0.12, "49-51 s": 0.11, "54-56 s": 0.10, "59-62 s": 0.09, "99-102 s": 0.08, "119-122 s": 0.07,
                "228-232 s": 0.06, "239-242 s": 0.05, "299-302 s": 0.04, "349-352 s": 0.03, "595-605 s": 0.02,
                "895-905 s": 0.01,
            },
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
        },
        hours=2.75,
    ),
)  # fmt: skip

HANGING = (
    Expected(
        "hanging",
        148,
        {
            "stream-health/Active streams": {"": 1},
            "stream-health/Active streams, by server": {"stuck.example.com": 1},
            "stream-health/Oldest open stream": {"": 48 * 60},
            "stream-health/Oldest open stream, by server": {"stuck.example.com": 48 * 60},
            # Four streams of the last four minutes received only pings for 41 s.
            "stream-health/Stalls": {"10s pings_only": 4, "30s pings_only": 4},
            "stream-health/Instrumentation errors": {"scenario": 1},
            "pipeline/Instrumentation errors": {"hanging-{}: scenario": 1},
        },
    ),
)

CROWDED = (
    Expected(
        "crowded",
        50,
        {
            "overload-retries/Open requests and their limit, by server": {
                "gw.example.com: limit": 1,
                "gw.example.com: open": 0,
                "gw.example.com: waiting": 0,
            },
            "overload-retries/Requests without a permit, by outcome": {},
        },
    ),
    Expected(
        "crowded",
        100,
        {
            "overload-retries/Open requests and their limit, by server": {
                "gw.example.com: limit": 1,
                "gw.example.com: open": 1,
                "gw.example.com: waiting": 0,
            },
            # Each of the four requests of an interval waits for ten seconds, which is in the bucket from 8 s to 15 s.
            "overload-retries/Requests without a permit, by outcome": {"expired": 4},
            "overload-retries/Wait for a permit, p50 and p95, by outcome": {"expired p50": 11.5, "expired p95": 14.65},
        },
    ),
)


def collector_panels(name: str, panels: dict[str, dict[str, float]]) -> Expected:
    return Expected("absent", 180, panels, values={"collector": name})


COLLECTORS = (
    collector_panels(
        "collector-suffixed",
        {
            "pipeline/Refused items": {"": 30 * 90},
            "pipeline/Items not queued": {"": 10},
            "pipeline/Items not delivered": {"": 120},
            "pipeline/Fullest queue": {"": 0.9},
            "pipeline/Items received and sent": {
                "in: otlp": 30,
                "out: otlp_grpc/traces": 1,
                "out: otlp_http/metrics": 20,
            },
            "pipeline/Queue usage": {"otlp_grpc/traces (collector-1)": 0.9},
            "pipeline/Items refused and failed": {
                "refused: otlp": 1,
                "failed: otlp": 0.5,
                "not queued: otlp_grpc/traces": 1 / 60,
                "not delivered: otlp_grpc/traces": 0.1,
            },
            "pipeline/Tail sampling": {"aborted: sampled true": 0.1, "dropped too early (collector-1)": 0.1},
            "pipeline/Collector memory": {"collector-suffixed collector-1": 2.5e8},
        },
    ),
    collector_panels(
        "collector-plain",
        {
            "pipeline/Refused items": {"": 0.0},
            "pipeline/Items not queued": {"": 0.0},
            "pipeline/Items not delivered": {"": 0.0},
            "pipeline/Fullest queue": {"": 0.01},
            "pipeline/Items received and sent": {"in: otlp": 10, "in: otlp/api": 0.1},
            "pipeline/Queue usage": {"otlp_http/traces (collector-1)": 0.01},
            "pipeline/Items refused and failed": {
                "refused: otlp": 0.0,
                "failed: otlp": 0.0,
                "wrong token: collector-1": 0.5,
            },
            "pipeline/Tail sampling": {"error: sampled true": 0.1, "dropped too early (collector-1)": 0.0},
            "pipeline/Collector memory": {"collector-plain collector-1": 1e8},
        },
    ),
)

UNUSUAL_JOBS = (
    # One stream an hour, of which the third failed. The curves are empty, but the single values are right. The first
    # stream created the series and is not counted.
    Expected(
        "hourly",
        360,
        {
            "stream-health/Completed share": {"": 1 - 1 / 5},
            "stream-health/Streams, by outcome": {"completed": 0.0, "failed": 0.0},
            "stream-health/Completed share, by server": {},
            "stream-health/Time to first token, by model": {},
            "overload-retries/Overloaded share of requests, by model": {},
            "overload-retries/Requests per stream (amplification)": {},
            "proxy-timeouts/Waits between chunks, per stream": {},
            "proxy-timeouts/Cuts at a known limit": {"": 1.0},
        },
        hours=6.0,
    ),
    # The scenario `alb` in a process that restarts three times. The process of the cut at minute 101.2 ended before it
    # was scraped, so ten cuts remain.
    Expected(
        "restarting",
        180,
        {
            "proxy-timeouts/Cuts at a known limit": {"": 10},
            "proxy-timeouts/Silence before the cut": {"59-62 s": 10},
            "stream-health/Completed share": {"": 1 - 10 / 129},
        },
    ),
    # The names of version 0.1 of the conventions, and those of both versions. Each stream counts once.
    Expected("new", 170, healthy(120, 120, job="new-{}")),
    Expected("both", 170, healthy(120, 120, job="both-{}")),
)

EXPECTED: tuple[Expected, ...] = (
    *ALB,
    *RECOVERED,
    *NAT,
    *INCIDENT,
    *BUFFERING,
    *WEEK,
    *LIMITS,
    *HANGING,
    *CROWDED,
    *COLLECTORS,
    *UNUSUAL_JOBS,
)
