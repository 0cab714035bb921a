"""Plays the scenarios with the real package and writes their samples as TSDB blocks for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.dashboards.exposition import Exposition
from tests.support.dashboards.scenarios import SCENARIOS, START, Scenario
from tests.support.dashboards.simulation import HOUR, MINUTE, Call, SettableClock, run_calls, simulated_process

LONG = 24.0
"""Longer scenarios go to a separate file, because promtool reads a file once for each block in it."""

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
        # Spans of the API arrive, so that wrong tokens are those of strangers.
        'otelcol_receiver_accepted_spans{receiver="otlp/api",transport="http"}': lambda m: 6 * m,
        'otelcol_receiver_refused_spans{receiver="otlp",transport="http"}': lambda _: 0,
        'otelcol_receiver_failed_spans{receiver="otlp",transport="http"}': lambda _: 0,
        'otelcol_http_server_request_duration_count{http_response_status_code="200"}': lambda m: 600 * m,
        'otelcol_http_server_request_duration_count{http_response_status_code="401"}': lambda m: 30 * m,
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
"""Internal metrics of two Collectors, as functions of the minute. The values are invented. The names without suffixes
are those of a real Collector 0.158. Other versions and readers add suffixes."""

PROXY_LOG = 'proxy_stream_aborts_total{proxy_product="nginx",proxy_cause="idle",proxy_phase="body"}'
"""The series that the Collector's overlay would count from the error log of nginx in the scenario `alb`."""


def add_invented_series(samples: Exposition) -> None:
    """Add series that the package does not emit, with invented values."""

    def add(minute: int, text: str, more: str, value: float) -> None:
        name, _, labels = text.rstrip("}").partition("{")
        samples.add(START + minute * MINUTE, name, ",".join(filter(None, (labels, more))), value)

    for minute in range(181):
        for job, series in COLLECTORS.items():
            for text, value in series.items():
                add(minute, text, f'job="{job}",instance="collector-1"', value(minute))
        add(minute, PROXY_LOG, 'job="overlay"', max(0, min(11, (minute - 62) // 10)))


Observations = list[tuple[Call, int, bool]]
"""The calls of a scenario, the HTTP requests that each needed, and whether its answer was complete."""


def play_scenario(scenario: Scenario, samples: Exposition) -> Observations:
    """Play a scenario and add its samples, once for each naming. Return what the API and the callers saw."""
    observed: Observations = []
    all_calls, end = scenario.calls(), scenario.hours * HOUR
    edges = [0.0, *(minute * MINUTE for minute in scenario.restarts), end]
    for begin, stop in pairwise(edges):
        last = stop >= end
        calls = [one for one in all_calls if begin <= one.ends and (one.ends <= stop if last else one.ends < stop)]
        clock = SettableClock()
        first = -(-begin // scenario.step) * scenario.step
        with pytest.MonkeyPatch.context() as patch, simulated_process(clock, patch, **scenario.settings) as process:

            def add_samples(now: float, data: Any) -> None:
                for protocol in scenario.protocols:
                    samples.add_collection(START + now, data, protocol, job=scenario.name(protocol), instance="app-1")

            until = end if last else stop - 1e-6
            run_calls(process, calls, begin=first, until=until, step=scenario.step, on_collect=add_samples)
            observed += process.observed
    return observed


@dataclass(frozen=True)
class ScenarioBlocks:
    """The blocks in `folder / "data"`, and the observed calls of each scenario."""

    folder: Path
    observed: dict[str, Observations]


def write_blocks(folder: Path, promtool: Callable[..., str], jobs: frozenset[str] | None = None) -> ScenarioBlocks:
    """Play the scenarios, or those of some jobs, and write the blocks with `promtool(*arguments)`."""
    observed = {}
    selected = [scenario for scenario in SCENARIOS if jobs is None or scenario.job in jobs]
    for name, long in (("hours", False), ("week", True)):
        samples = Exposition()
        for scenario in selected:
            if (scenario.hours > LONG) is long:
                observed[scenario.job] = play_scenario(scenario, samples)
        if not long:
            add_invented_series(samples)
        path = folder / f"{name}.txt"
        with path.open("w", encoding="utf-8") as file:
            written = samples.write(file)
        if written:
            promtool(
                "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=336h", path, folder / "data"
            )
        path.unlink()
    return ScenarioBlocks(folder, observed)
