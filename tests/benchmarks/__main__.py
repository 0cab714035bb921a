"""Run all benchmarks, which takes some minutes.

`--peers` compares other instrumentations instead, and writes `build/benchmarks/peers.md`.
`--plot` counts instructions instead, and writes `docs/benchmarks.md`.
"""

from __future__ import annotations

import os
import sys

from tests.benchmarks import (
    bench_bytecodes,
    bench_classify,
    bench_events,
    bench_floor,
    bench_footprint,
    bench_incident,
    bench_instructions,
    bench_layers,
    bench_native,
    bench_policy,
    bench_reads,
    bench_start,
    bench_targets,
    peers,
)
from tests.benchmarks.measure import machine

if "--peers" in sys.argv:
    sys.argv.remove("--peers")
    sys.exit(peers.main())
if "--plot" in sys.argv:
    sys.exit(bench_instructions.main())

print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
for title, bench in (
    ("All targets", bench_targets),
    ("Per event and per stream", bench_events),
    ("Memory, first event, start", bench_footprint),
    ("The lower bound set by OpenTelemetry", bench_floor),
    ("Layers without any logic", bench_layers),
    ("The SDK's own tracing, for comparison", bench_native),
    ("Bytecodes of an event in each mode of the policy", bench_bytecodes),
    ("Timing of reads", bench_reads),
    ("The classifier", bench_classify),
    ("The start of a process", bench_start),
    ("A retry policy on a healthy stream", bench_policy),
    ("A simulated incident", bench_incident),
):
    print(f"\n== {title}", flush=True)
    bench.main()
