"""`python -m tests.benchmarks`: all benchmarks, one after the other. Some minutes."""

from __future__ import annotations

from tests.benchmarks import (
    bench_classify,
    bench_events,
    bench_floor,
    bench_footprint,
    bench_incident,
    bench_native,
    bench_policy,
    bench_reads,
    bench_seams,
    bench_start,
)

for title, bench in (
    ("Per event and per stream", bench_events),
    ("Memory, first event, start", bench_footprint),
    ("OpenTelemetry's share of these", bench_floor),
    ("What looking costs by itself", bench_seams),
    ("For comparison", bench_native),
    ("The byte clock", bench_reads),
    ("The classifier", bench_classify),
    ("The start of a process", bench_start),
    ("A policy on a healthy stream", bench_policy),
    ("An incident", bench_incident),
):
    print(f"\n== {title}", flush=True)
    bench.main()
