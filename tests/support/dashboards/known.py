"""What the panels must answer: worked out from the scenarios by hand, not read off the dashboards.

A window of two hours ends at the minute that is asked for; a point of a curve looks back four minutes. A row a minute
and a point a row: rates are exact. A figure of 120 streams in two hours is `120 / 7200` a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STREAM = "claude-sonnet-5"
GATEWAY = "gw.example.com"
MINUTELY = 1 / 60
"""One a minute, per second."""

# One healthy answer: 0.6 s to the first token, in the bucket from 0.5 to 0.75 s, where a quantile is interpolated.
P50, P95, P99 = 0.5 + 0.25 * 0.50, 0.5 + 0.25 * 0.95, 0.5 + 0.25 * 0.99
# Its longest silence, 0.6 s, is in the first bucket, up to 1 s.
SILENCE_P99 = 0.99
# 60 tokens in 0.95 s: in the bucket from 60 to 80 per second.
TOKENS_P50, TOKENS_P10 = 70.0, 62.0
# 0.6 s of 1.55 s passed before the first token; 19 waits of 50 ms came after it.
WAITING, WAITS = 0.6 / 1.55, 19.0
# The caller takes no time: the first bucket, up to 50 ms.
CALLER = 0.05 * 0.95


@dataclass(frozen=True)
class Known:
    """The answers of some panels, `board/title`, about one scenario at one minute."""

    scenario: str
    minute: float
    panels: dict[str, dict[str, float]]
    hours: float = 2.0
    interval: int = 240
    values: dict[str, str] = field(default_factory=dict)
    """Variables that are not at `All`."""
    tolerance: float = 0.02
    """As a share: `increase()` extrapolates to the edges of its window."""
    single: bool = False
    """Single events in a window of four minutes. Prometheus 2 has five samples in it, one on each edge; Prometheus 3
    leaves the first out, and extrapolates what it saw in three minutes to four."""

    @property
    def how(self) -> dict[str, Any]:
        return {"hours": self.hours, "interval": self.interval, **self.values}


def healthy(count: float, minutes: float, *, job: str, per_minute: float = 1.0) -> dict[str, dict[str, float]]:
    """What the panels of one healthy server say after so many streams in so many minutes."""
    return {
        "stream-health/Streams per second": {"": count / minutes / 60},
        "stream-health/Completed share": {"": 1.0},
        "stream-health/Time to first token, p95": {"": P95},
        "stream-health/Longest silence, p99": {"": SILENCE_P99},
        "stream-health/Streams by outcome": {"completed": per_minute * MINUTELY},
        "stream-health/Failed, by reason": {},
        "stream-health/Completed share, by server": {GATEWAY: 1.0},
        "stream-health/Time to first token, by model": {
            f"{STREAM} p50": P50,
            f"{STREAM} p95": P95,
            f"{STREAM} p99": P99,
        },
        "stream-health/Time to first token, spread": {"0.75": per_minute * MINUTELY},
        "stream-health/Gaps between chunks": {"0.08": WAITS * per_minute * MINUTELY},
        "stream-health/Longest silence, p99, by server": {GATEWAY: SILENCE_P99},
        "stream-health/Tokens per second of a stream": {f"{STREAM} p50": TOKENS_P50, f"{STREAM} p10": TOKENS_P10},
        "stream-health/Output tokens per second, all streams": {job: per_minute},
        "stream-health/Time in the caller's loop, p95": {job: CALLER},
        "stream-health/Stalls": {},
        "stream-health/Active streams": {},
        "stream-health/Errors of the instrumentation": {},
        "drill-down/Time to first token, p99, with exemplars": {GATEWAY: P99},
        "proxy-timeouts/Cuts at a known limit": {"": 0.0},
        "proxy-timeouts/Share of all failures": {},
        "proxy-timeouts/Share of all streams": {"": 0.0},
        "proxy-timeouts/Servers affected": {"": 0.0},
        "proxy-timeouts/Silence before the cut": {},
        "proxy-timeouts/Age at the cut": {},
        "proxy-timeouts/Cuts, by limit": {},
        "proxy-timeouts/Cuts, by server, limit and phase": {},
        "proxy-timeouts/Waits between chunks, per stream": {GATEWAY: WAITS},
        "proxy-timeouts/Time before the first token, of all the time": {GATEWAY: WAITING},
        "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {},
        "overload-retries/Overloaded share of requests": {"": 0.0},
        "overload-retries/Streams lost to overload": {"": 0.0},
        "overload-retries/Requests per stream": {"": 1.0},
        "overload-retries/Requests per stream (amplification)": {GATEWAY: 1.0},
        "overload-retries/Overloaded share of requests, by model": {STREAM: 0.0},
        "overload-retries/Overloaded share of requests, by server": {GATEWAY: 0.0},
        "overload-retries/Retry budget left, least": {},
        "overload-retries/Retries made, by whom and how": {},
    }  # fmt: skip


ALB = (
    # Eleven cuts, at the minutes 71 to 172, among 120 healthy streams. The first was 61.1 s old, and each was 3 s older
    # than the one before it: only the first falls into a band of ages.
    Known(
        "alb",
        180,
        {
            "stream-health/Completed share": {"": 120 / 131},
            "proxy-timeouts/Cuts at a known limit": {"": 11},
            "proxy-timeouts/Share of all failures": {"": 1.0},
            "proxy-timeouts/Share of all streams": {"": 11 / 131},
            "proxy-timeouts/Servers affected": {"": 1.0},
            "proxy-timeouts/Silence before the cut": {"59-62 s": 11},
            "proxy-timeouts/Age at the cut": {"59-62 s": 1},
            "proxy-timeouts/Cuts, by server, limit and phase": {f"idle:60s streaming {GATEWAY}": 11},
            "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {},
            # Ten deltas, 49 characters, had come, and four more for each 3 s of age: four are a token.
            "overload-retries/Tokens wasted": {"": sum(12 + n for n in range(11))},
        },
    ),
    # The first of them is seen over time too, though all its series were born with it.
    Known(
        "alb",
        73,
        {
            "proxy-timeouts/Cuts, by limit": {"idle:60s": 1.0},
            "proxy-timeouts/Silence before the cut, over time": {"62": 1},
            "proxy-timeouts/Age at the cut, over time": {"62": 1},
            "stream-health/Failed, by reason": {"connection_closed": 1.0},
        },
        single=True,
    ),
    # One cut in the last four minutes, at 151.4.
    Known(
        "alb",
        152,
        {
            "stream-health/Streams by outcome": {"completed": MINUTELY, "failed": 1 / 240},
            "stream-health/Failed, by reason": {"connection_closed": 1.0},
            "stream-health/Completed share, by server": {GATEWAY: 4 / 5},
            "stream-health/Stalls": {"10s silent": 1.0, "30s silent": 1.0, "60s silent": 1.0},
            "proxy-timeouts/Cuts, by limit": {"idle:60s": 1.0},
            "proxy-timeouts/Failed, before headers or in the body": {"in the body": 1.0},
            "proxy-timeouts/Silence before the cut, over time": {"62": 1},
            "proxy-timeouts/Age at the cut, over time": {"99": 1},
            "proxy-timeouts/Aborts in proxies' logs, and ours": {
                "nginx: idle, body": 1 / 240,
                "application: failed streams": 1 / 240,
            },
            "overload-retries/Tokens wasted, by reason": {"connection_closed": 20 / 240},
        },
        single=True,
    ),
)

STRAIGHT, HOLDING, EGRESS = "straight.example.com", "holding.example.com", "api.anthropic.com"

NAT = (
    # Seven connections were forgotten, of the server that is reached through the NAT; 120 healthy streams of each.
    Known(
        "nat",
        180,
        {
            "stream-health/Completed share": {"": 240 / 247},
            "stream-health/Completed share, by server": {EGRESS: 1.0, GATEWAY: 1.0},
            "proxy-timeouts/Cuts at a known limit": {"": 7},
            "proxy-timeouts/Share of all failures": {"": 1.0},
            "proxy-timeouts/Share of all streams": {"": 7 / 247},
            "proxy-timeouts/Servers affected": {"": 1.0},
            "proxy-timeouts/Silence before the cut": {"349-352 s": 7},
            "proxy-timeouts/Age at the cut": {},
            "proxy-timeouts/Cuts, by server, limit and phase": {f"idle:350s streaming {EGRESS}": 7},
        },
    ),
    # The same, with one server chosen.
    Known(
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

_BROKEN = 1 / 60
INCIDENT = (
    # Ten minutes: 20 calls of three refused requests each, ten that broke at once, ten that broke in mid-answer. In the
    # two hours also 98 + 120 healthy ones, and four that were limited first: 222 completed, 40 lost, 306 requests.
    Known(
        "incident",
        180,
        {
            "overload-retries/Overloaded share of requests": {"": (60 + 20) / 306},
            "overload-retries/Streams lost to overload": {"": 40},
            "overload-retries/Requests per stream": {"": 306 / 262},
            "overload-retries/Tokens wasted": {"": 10 * 12},
            "overload-retries/Retry budget left, least": {},
            "stream-health/Completed share": {"": 222 / 262},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
            "proxy-timeouts/Share of all failures": {"": 0.0},
        },
    ),
    # In the middle of it, over four minutes: two refused calls a minute, one that breaks at once, one in mid-answer.
    Known(
        "incident",
        128,
        {
            "overload-retries/Overloaded by source, and rate limits": {
                "HTTP 529": 6 * MINUTELY,
                "in the stream, before the first token": _BROKEN,
                "in the stream, in mid-answer": _BROKEN,
                "HTTP 429, rate limit": 0.0,
            },
            "overload-retries/Overloaded share of requests, by model": {STREAM: 1.0},
            "overload-retries/Overloaded share of requests, by server": {GATEWAY: 1.0},
            "overload-retries/Streams lost to overload, by model": {STREAM: 16},
            "overload-retries/Requests per stream (amplification)": {GATEWAY: 8 / 4},
            "overload-retries/Retries made, by whom and how": {"sdk: retry": 16},
            "overload-retries/Retries made, by reason": {"overloaded": 16},
            # The SDK waits 0.5 s, then 1 s: the buckets up to 0.5 and up to 1.
            "overload-retries/Back-off, p50 and p95, by reason": {"overloaded p50": 0.5, "overloaded p95": 0.95},
            "overload-retries/Tokens wasted, by reason": {"overloaded": 12 * _BROKEN},
            # What broke before its first token could be tried again. Not what the SDK had given up, nor what the caller
            # holds a part of: that is too short to be continued.
            "overload-retries/What a policy would have done": {"retry": 4, "give_up": 12},
            "overload-retries/The policy's decisions": {},
            "stream-health/Streams by outcome": {"completed": 0.0, "failed": 4 * MINUTELY},
            "stream-health/Failed, by reason": {"overloaded": 16},
            "stream-health/Completed share, by server": {GATEWAY: 0.0},
            "proxy-timeouts/Failed, before headers or in the body": {"before headers": 8, "in the body": 8},
            "proxy-timeouts/Aborts in proxies' logs, and ours": {
                "nginx: idle, body": 0.0,
                "application: failed streams": 4 * MINUTELY,
            },
        },
    ),
    # Before it: 429 once in ten minutes, and the SDK tried again after the two seconds that it was asked to wait.
    Known(
        "incident",
        98,
        {
            "overload-retries/Overloaded by source, and rate limits": {
                "HTTP 529": 0.0,
                "in the stream, before the first token": 0.0,
                "in the stream, in mid-answer": 0.0,
                "HTTP 429, rate limit": 1 / 240,
            },
            "overload-retries/Retries made, by reason": {"rate_limited": 1},
            "overload-retries/Requests per stream (amplification)": {GATEWAY: 10 / 9},
            "overload-retries/Overloaded share of requests, by model": {STREAM: 0.0},
        },
        single=True,
    ),
)

BUFFERING = (
    Known(
        "buffering",
        180,
        {
            "proxy-timeouts/Waits between chunks, per stream": {STRAIGHT: WAITS, HOLDING: 0.0},
            "proxy-timeouts/Time before the first token, of all the time": {STRAIGHT: WAITING, HOLDING: 1.0},
            # 0.6 s here, 1.55 s there: half of the streams each.
            "stream-health/Time to first token, p95": {"": 1.5 + 0.5 * 0.9},
            "stream-health/Time to first token, spread": {"0.75": MINUTELY, "2": MINUTELY},
            "stream-health/Gaps between chunks": {"0.08": WAITS * MINUTELY},
            "stream-health/Longest silence, p99, by server": {STRAIGHT: 0.99, HOLDING: 1 + 4 * 0.99},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
        },
    ),
)

WEEK = (
    # Each fifth stream was silent for 40 s: longer than limits of 30 s allow, and not than those of 50 s. One a day was
    # closed by its caller. 672 + 168 completed, 7 closed.
    Known(
        "healthy",
        7 * 24 * 60,
        {
            "stream-health/Streams per second": {"": (672 + 168 + 7) / (7 * 86400)},
            "stream-health/Completed share": {"": 1.0},
            "proxy-timeouts/Headroom: healthy streams that a limit would have cut": {"28-31 s": 0.2},
            "proxy-timeouts/Cuts at a known limit": {"": 0.0},
            "proxy-timeouts/Share of all streams": {"": 0.0},
            "overload-retries/Requests per stream": {"": 1.0},
            "overload-retries/Streams lost to overload": {"": 0.0},
            # 40 s is in the bucket from 31 to 45: of 100 streams the 99th is at 14 / 15 of the way in the upper fifth.
            "stream-health/Longest silence, p99": {"": 31 + 14 * (0.99 - 0.8) / 0.2},
        },
        hours=7 * 24.0,
        interval=960,
    ),
)

LIMITS = (
    Known(
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
    # Twelve streams of a hundred: all twelve were silent for longer than 28 s, eleven for longer than 49 s, ...
    Known(
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
    Known(
        "hanging",
        148,
        {
            "stream-health/Active streams": {"": 1},
            "stream-health/Active streams, by server": {"stuck.example.com": 1},
            "stream-health/Oldest open stream": {"": 48 * 60},
            "stream-health/Oldest open stream, by server": {"stuck.example.com": 48 * 60},
            # Four streams of the last four minutes heard nothing but pings for 41 s.
            "stream-health/Stalls": {"10s pings_only": 4, "30s pings_only": 4},
            "stream-health/Errors of the instrumentation": {"scenario": 1},
            "pipeline/Errors of the instrumentation": {"hanging-{}: scenario": 1},
        },
    ),
)


def collector(name: str, panels: dict[str, dict[str, float]]) -> Known:
    return Known("nobody", 180, panels, values={"collector": name})


COLLECTORS = (
    collector(
        "collector-suffixed",
        {
            "pipeline/Refused": {"": 30 * 90},
            "pipeline/Not queued": {"": 10},
            "pipeline/Not delivered": {"": 120},
            "pipeline/Fullest queue": {"": 0.9},
            "pipeline/Received and sent": {"in: otlp": 30, "out: otlp_grpc/traces": 1, "out: otlp_http/metrics": 20},
            "pipeline/Queues": {"otlp_grpc/traces (collector-1)": 0.9},
            "pipeline/Refused and failed": {
                "refused: otlp": 1,
                "failed: otlp": 0.5,
                "not queued: otlp_grpc/traces": 1 / 60,
                "not delivered: otlp_grpc/traces": 0.1,
            },
            "pipeline/Tail sampling": {"aborted: sampled true": 0.1, "dropped too early (collector-1)": 0.1},
            "pipeline/Memory": {"collector-suffixed collector-1": 2.5e8},
        },
    ),
    collector(
        "collector-plain",
        {
            "pipeline/Refused": {"": 0.0},
            "pipeline/Not queued": {"": 0.0},
            "pipeline/Not delivered": {"": 0.0},
            "pipeline/Fullest queue": {"": 0.01},
            "pipeline/Received and sent": {"in: otlp": 10},
            "pipeline/Queues": {"otlp_http/traces (collector-1)": 0.01},
            "pipeline/Refused and failed": {"refused: otlp": 0.0, "failed: otlp": 0.0},
            "pipeline/Tail sampling": {"error: sampled true": 0.1, "dropped too early (collector-1)": 0.0},
            "pipeline/Memory": {"collector-plain collector-1": 1e8},
        },
    ),
)

ODD_JOBS = (
    # One stream an hour, of which the third failed: no curve, but the figures are right. The first stream of all began
    # the series, and is not counted.
    Known(
        "hourly",
        360,
        {
            "stream-health/Completed share": {"": 1 - 1 / 5},
            "stream-health/Streams by outcome": {"completed": 0.0, "failed": 0.0},
            "stream-health/Completed share, by server": {},
            "stream-health/Time to first token, by model": {},
            "overload-retries/Overloaded share of requests, by model": {},
            "overload-retries/Requests per stream (amplification)": {},
            "proxy-timeouts/Waits between chunks, per stream": {},
            "proxy-timeouts/Cuts at a known limit": {"": 1.0},
        },
        hours=6.0,
    ),
    # The alb again, in a process that begins anew three times. The cut at 101.2 was in a process that ended before
    # anybody looked at it: ten are left.
    Known(
        "restarting",
        180,
        {
            "proxy-timeouts/Cuts at a known limit": {"": 10},
            "proxy-timeouts/Silence before the cut": {"59-62 s": 10},
            "stream-health/Completed share": {"": 1 - 10 / 129},
        },
    ),
    # Either name of the conventions, and both at once: counted once.
    Known("latest", 170, healthy(120, 120, job="latest-{}")),
    Known("both", 170, healthy(120, 120, job="both-{}")),
)

KNOWN: tuple[Known, ...] = (*ALB, *NAT, *INCIDENT, *BUFFERING, *WEEK, *LIMITS, *HANGING, *COLLECTORS, *ODD_JOBS)
