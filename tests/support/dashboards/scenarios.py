"""Scenarios whose answers are known: hours of streams, each a job of its own, in both namings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from dashboards.generator.bands import DURATION, IDLE
from tests.support.dashboards.exposition import WAYS, Exposition, Way
from tests.support.dashboards.producing import HOUR, MINUTE, Stream, Timeline, observe, process

from otel_claude_stream._core.retry.policy import Mode, RetryPolicy, SdkRetries
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Pause, Ping, Reset, Script

START = 1_700_006_400
"""The beginning of every scenario: a full hour of a day in November 2023."""
STEP = 60.0

WORDS = " ".join(["word"] * 20)
ANSWER = Script.message(WORDS, gap=0.05, first_token_delay=0.6, output_tokens=60)
"""start, block start, ping, twenty deltas, ends: 0.6 s to the first token, 19 waits of 50 ms, 60 / 0.95 tokens/s."""
DELTA = next(n for n, step in enumerate(ANSWER.steps) if isinstance(step, Event) and step.type == "content_block_delta")
BUSY = Script.http_error(529)
LIMITED = Script.http_error(429, headers=[("retry-after", "2")])


def until(events: int, *steps: Any) -> Script:
    """The first events of an answer, then other steps."""
    return replace(ANSWER, steps=(*ANSWER.cut_after(events, End()).steps[:-1], *steps))


def cut(seconds: float, how: Any, *, age: int = 0) -> Script:
    """An answer that is cut after so many seconds of silence, and `age` times 3 s of writing before it."""
    writing = [part for _ in range(age) for part in (Pause(3.0), ANSWER.steps[DELTA])]
    return until(13, *writing, Pause(seconds), how)


CUT_AT_60 = cut(60.05, CutMidChunk())
BREAKS_OFF = until(13, Error())
BREAKS_AT_ONCE = until(1, Error())


def quiet(seconds: float) -> Script:
    """A complete answer, with so many seconds of silence in it."""
    return replace(ANSWER, steps=(*until(13).steps, Pause(seconds), *ANSWER.steps[len(until(13).steps) :]))


QUIET_FOR_40 = quiet(40.0)
PINGS_ONLY = replace(
    ANSWER, steps=(*until(13).steps, *(Pause(10), Ping()) * 4, Pause(1), *ANSWER.steps[len(until(13).steps) :])
)


def every(minutes: float, begin: float, end: float, *scripts: Script, **more: Any) -> list[Stream]:
    """A stream each so many minutes, from the minute `begin` until before the minute `end`."""
    number = round((end - begin) / minutes)
    return [Stream((begin + n * minutes) * MINUTE, scripts or (ANSWER,), **more) for n in range(number)]


def alb() -> list[Stream]:
    """A load balancer cuts every tenth stream at 60 s, from minute 70 on. Eleven cuts until the third hour ends."""
    cuts = [Stream((70 + 10 * n) * MINUTE, (cut(60.05, CutMidChunk(), age=n),)) for n in range(11)]
    return [*every(1, 0, 180), *cuts]


def nat() -> list[Stream]:
    """A NAT forgets connections after 350 s. Streams of two servers; only those that go straight out are cut: seven."""
    out = [Stream(s.at, s.scripts, server="api.anthropic.com") for s in every(1, 0, 180)]
    cuts = [
        Stream((70 + 15 * n) * MINUTE, (cut(350.1, Reset(), age=2 * n),), server="api.anthropic.com") for n in range(7)
    ]
    return [*out, *cuts, *every(1, 0, 180)]


def incident() -> list[Stream]:
    """529 for ten minutes: no policy, the SDK's two retries. Two calls a minute are refused, two break off."""
    refused = every(0.5, 120, 130, BUSY, BUSY, BUSY)
    return [
        *every(0.5, 0, 120),
        *refused,
        *every(1, 120.25, 130.25, BREAKS_OFF),
        *every(1, 120.75, 130.75, BREAKS_AT_ONCE),
        *every(0.5, 131, 180),
        *every(10, 5, 105, LIMITED, ANSWER),
    ]


POLICY = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE)
"""The policy as it comes, but that it retries, and before the response headers too. Its budget: a fifth, and six."""


def guarded() -> list[Stream]:
    """The same incident, at twelve calls a minute, with a retry policy and its budget."""
    return [
        *every(1 / 12, 115, 120),
        *every(1 / 12, 120, 130, BUSY),
        *every(1 / 12, 130, 140, BREAKS_AT_ONCE, ANSWER),
        *every(1 / 12, 150, 160),
    ]


def buffering() -> list[Stream]:
    """One of two gateways holds each answer back until it is complete."""
    held = ANSWER.buffered()
    return [
        *every(1, 0, 180, server="straight.example.com"),
        *every(1, 0, 180, held, server="holding.example.com"),
    ]


def healthy() -> list[Stream]:
    """A week. Each fourth stream thinks for 40 s without a byte; one a day is closed by its caller."""
    day = 24 * 60
    return [
        *every(15, 0, 7 * day),
        *every(60, 4, 7 * day, QUIET_FOR_40),
        *every(day, 30, 7 * day, leaves=True),
    ]


def limits() -> list[Stream]:
    """Each known limit cuts: the first idle limit one stream, the second two, and so on; the same for durations.

    Streams that an idle limit cuts have written for 12 s before, so that their age is that of no limit on the whole.
    """
    found = [*every(1, 0, 60)]
    for number, band in enumerate(IDLE, 1):
        found += every(1, 62, 62 + number, cut(band.seconds[-1] + 0.05, CutMidChunk(), age=4))
    for number, band in enumerate(DURATION, 1):
        age = int((band.seconds[-1] - 1.05) / 3)
        rest = band.seconds[-1] + 0.05 - 1.05 - 3 * age
        found += every(1, 100, 100 + number, cut(rest, CutMidChunk(), age=age))
    return found


def headroom() -> list[Stream]:
    """Of each hundred healthy streams, one was silent for a little longer than each idle limit."""
    silent = [Stream((30 + number) * MINUTE, (quiet(band.high + 1),)) for number, band in enumerate(IDLE)]
    return [*every(1, 0, 5), *every(0.5, 20, 20 + (100 - len(silent)) / 2), *silent]


def hourly() -> list[Stream]:
    """One stream an hour; the third fails."""
    return [Stream(n * HOUR + 5 * MINUTE, (CUT_AT_60 if n == 2 else ANSWER,)) for n in range(6)]


ODD = ('anthropic/claude "test"', "claude\\sonnet", "claude.sonnet+5 (preview)", "a|b")


def odd() -> list[Stream]:
    """Models whose names hold what queries are made of."""
    return [one for model in ODD for one in every(2, 0, 180, model=model)]


def many() -> list[Stream]:
    """Two hundred models."""
    return [one for n in range(200) for one in every(15, n / 20, 40, model=f"claude-{n:03}")]


def hanging() -> list[Stream]:
    """A stream that its caller leaves open from minute 100 on, one that only pings for 41 s, and others."""
    return [
        *every(1, 0, 180),
        Stream(100 * MINUTE, (ANSWER,), server="stuck.example.com", holds=True),
        *every(1, 140, 150, PINGS_ONLY),
        Stream(146 * MINUTE, (ANSWER,), fails=True),
    ]


@dataclass(frozen=True)
class Scenario:
    """Streams of one job. `restarts` are minutes at which the process begins again, with counters at zero."""

    job: str
    streams: Callable[[], list[Stream]]
    hours: float = 3.0
    step: float = STEP
    ways: tuple[Way, ...] = WAYS
    settings: dict[str, Any] = field(default_factory=dict)
    restarts: tuple[float, ...] = ()

    def name(self, way: Way) -> str:
        """The job in Prometheus."""
        return f"{self.job}-{way}"


SCENARIOS = (
    Scenario("alb", alb),
    Scenario("nat", nat, ways=("scrape",)),
    Scenario("incident", incident),
    Scenario("guarded", guarded, ways=("otlp",), settings={"retry_policy": POLICY}),
    Scenario("buffering", buffering),
    Scenario("healthy", healthy, 7 * 24.0, 240.0, ("otlp",)),
    Scenario("limits", limits, ways=("otlp",)),
    Scenario("headroom", headroom, ways=("scrape",)),
    Scenario("hourly", hourly, 6.0, ways=("scrape",)),
    Scenario("odd", odd, ways=("otlp",)),
    Scenario("many", many, 2 / 3, 300.0, ("otlp",), {"max_models": 300}),
    Scenario("hanging", hanging),
    Scenario("restarting", alb, ways=("otlp",), restarts=(100.0, 101.5, 140.0)),
    Scenario("latest", lambda: every(1, 0, 180), ways=("otlp",), settings={"semconv": "latest"}),
    Scenario("both", lambda: every(1, 0, 180), ways=("otlp",), settings={"semconv": "both"}),
)


COLLECTORS: dict[str, dict[str, Callable[[float], float]]] = {
    "collector-suffixed": {
        'otelcol_receiver_accepted_spans_total{receiver="otlp"}': lambda m: 600 * m,
        'otelcol_receiver_accepted_metric_points_total{receiver="otlp"}': lambda m: 1200 * m,
        'otelcol_receiver_refused_spans_total{receiver="otlp"}': lambda m: max(0, m - 150) * 60,
        'otelcol_receiver_failed_spans_total{receiver="otlp"}': lambda m: max(0, m - 150) * 30,
        'otelcol_exporter_sent_spans_total{exporter="otlp_grpc/traces"}': lambda m: 60 * m,
        'otelcol_exporter_sent_metric_points_total{exporter="otlp_http/metrics"}': lambda m: 1200 * m,
        'otelcol_exporter_enqueue_failed_spans_total{exporter="otlp_grpc/traces"}': lambda m: max(0, m - 170),
        'otelcol_exporter_enqueue_failed_metric_points_total{exporter="otlp_grpc/traces"}': lambda _: 7,
        'otelcol_exporter_send_failed_spans_total{exporter="otlp_grpc/traces"}': lambda m: max(0, m - 160) * 6,
        'otelcol_exporter_queue_size{exporter="otlp_grpc/traces",data_type="traces"}': lambda m: 5 * m,
        'otelcol_exporter_queue_capacity{exporter="otlp_grpc/traces",data_type="traces"}': lambda _: 1000,
        "otelcol_process_memory_rss_bytes": lambda _: 2.5e8,
        "otelcol_process_uptime_seconds_total": lambda m: 60 * m,
        'otelcol_processor_tail_sampling_count_traces_sampled_total{policy="aborted",sampled="true"}': lambda m: 6 * m,
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total": lambda m: max(0, m - 100) * 6,
    },
    "collector-plain": {
        'otelcol_receiver_accepted_spans{receiver="otlp",transport="http"}': lambda m: 600 * m,
        'otelcol_receiver_refused_spans{receiver="otlp",transport="http"}': lambda _: 0,
        'otelcol_receiver_failed_spans{receiver="otlp",transport="http"}': lambda _: 0,
        'otelcol_exporter_queue_size{data_type="traces",exporter="otlp_http/traces"}': lambda _: 10,
        'otelcol_exporter_queue_capacity{data_type="traces",exporter="otlp_http/traces"}': lambda _: 1000,
        'otelcol_processor_tail_sampling_count_traces_sampled{decision="sampled",policy="error",sampled="true"}': (
            lambda m: 6 * m
        ),
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early": lambda _: 0,
        "otelcol_process_uptime": lambda m: 60 * m,
        "otelcol_process_memory_rss": lambda _: 1e8,
    },
}
"""What a Collector says of itself: series as functions of the minute. The values are made up. The plain names and their
labels are those of a real one (0.158, read by Prometheus); others have suffixes, by version and reader."""

PROXY_LOG = 'proxy_stream_aborts_total{proxy_product="nginx",proxy_cause="idle",proxy_phase="body"}'
"""What the Collector's overlay would count of nginx's error log: what it would say beside the scenario `alb`."""


def made_up(into: Exposition) -> None:
    """Add the series that are not the plugin's."""

    def add(minute: int, text: str, more: str, value: float) -> None:
        name, _, labels = text.rstrip("}").partition("{")
        into.add(START + minute * MINUTE, name, ",".join(filter(None, (labels, more))), value)

    for minute in range(181):
        for job, series in COLLECTORS.items():
            for text, value in series.items():
                add(minute, text, f'job="{job}",instance="collector-1"', value(minute))
        add(minute, PROXY_LOG, 'job="overlay"', max(0, min(11, (minute - 62) // 10)))


Truth = list[tuple[Stream, int, bool]]


def produce(scenario: Scenario, into: Exposition) -> Truth:
    """Play a scenario and add its samples, once for each naming. Gives what the API and the callers saw."""
    truth: Truth = []
    streams, end = scenario.streams(), scenario.hours * HOUR
    edges = [0.0, *(minute * MINUTE for minute in scenario.restarts), end]
    for begin, stop in pairwise(edges):
        last = stop >= end
        mine = [one for one in streams if begin <= one.ends and (one.ends <= stop if last else one.ends < stop)]
        clock = Timeline()
        first = -(-begin // scenario.step) * scenario.step
        with pytest.MonkeyPatch.context() as patch, process(clock, patch, **scenario.settings) as made:

            def see(now: float, data: Any) -> None:
                for way in scenario.ways:
                    into.look(START + now, data, way, job=scenario.name(way), instance="app-1")

            observe(made, mine, begin=first, until=end if last else stop - 1e-6, step=scenario.step, see=see)
            truth += made.truth
    return truth
