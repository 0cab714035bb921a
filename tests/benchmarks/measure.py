"""Interleaved measurements, in which the variants take turns, so that noise affects all of them alike."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_claude_stream import ClaudeStreamInstrumentor


class NoSpans(SpanExporter):
    """A span exporter that discards spans, as the export is not part of the measurement."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class NoMetrics(ConsoleMetricExporter):
    """A metric exporter that discards metrics."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object) -> MetricExportResult:
        return MetricExportResult.SUCCESS


def providers() -> dict[str, object]:
    """Create providers of the OpenTelemetry SDK with a batch processor and a periodic reader, as in production."""
    tracer = TracerProvider()
    tracer.add_span_processor(BatchSpanProcessor(NoSpans(), max_queue_size=65536))
    meter = MeterProvider(metric_readers=[PeriodicExportingMetricReader(NoMetrics(), 3_600_000)])
    return {"tracer_provider": tracer, "meter_provider": meter}


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processors and the system of this machine."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}"


@dataclass(frozen=True)
class Spread:
    """The median and the middle half of the results of several rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:+8.2f} [{self.least:+.2f} {self.most:+.2f}]"


@dataclass(frozen=True)
class Result:
    """A figure with its target. Both are ratios to another figure of the same run, or microseconds."""

    name: str
    value: Spread
    target: float
    note: str = ""
    unit: str = ""
    """`us`, or empty for a ratio."""

    @property
    def met(self) -> bool:
        """Whether the median is within the target."""
        return self.value.median <= self.target

    def __str__(self) -> str:
        value, sign = self.value, "+" if self.unit else "x"
        shown = f"{sign}{value.median:.2f} [{value.least:.2f} {value.most:.2f}] {self.unit}"
        target = f"{sign}{self.target:.2f} {self.unit}"
        return f"{self.name:44}{shown:>26}   target {target:9}{'met' if self.met else 'missed':8}{self.note}"


def spread(values: list[float]) -> Spread:
    """Return the median and the middle half of a list. Single rounds vary much on a shared machine."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return Spread(statistics.median(ordered), ordered[quarter], ordered[-1 - quarter])


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of a list is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def cpu(work: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of this process for one run of `work`, averaged over `times` runs."""
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - started) / times
    finally:
        gc.enable()


def compare(
    work: Callable[[], object], *, rounds: int, times: int, settings: dict[str, object], unit: float
) -> tuple[Spread, Spread]:
    """Measure the cost of `work` with the bare SDK, and the cost that the instrumentation adds.

    Both are in microseconds for each event or stream; `unit` is their number in one run.
    """
    instrumentor = ClaudeStreamInstrumentor()
    base: list[float] = []
    added: list[float] = []
    work()
    for number in range(rounds):
        order = ("bare", "on") if number % 2 else ("on", "bare")
        took: dict[str, float] = {}
        for variant in order:
            if variant == "on":
                instrumentor.instrument(skip_dep_check=True, **settings)
                work()
            took[variant] = cpu(work, times)
            if variant == "on":
                instrumentor.uninstrument()
        base.append(took["bare"] / unit * 1e6)
        added.append((took["on"] - took["bare"]) / unit * 1e6)
    return spread(base), spread(added)


def interleaved(measurements: Mapping[str, Callable[[], float]], rounds: int) -> list[dict[str, float]]:
    """Take each measurement once in each round, in an order that changes, and return a table for each round."""
    names = list(measurements)
    return [
        {name: measurements[name]() for name in names[number % len(names) :] + names[: number % len(names)]}
        for number in range(rounds)
    ]


def with_settings(measure: Callable[[], float], settings: Mapping[str, object] | None) -> Callable[[], float]:
    """Return a measurement under `instrument()` with these arguments; None is the bare SDK."""

    def measure_instrumented() -> float:
        instrumentor = ClaudeStreamInstrumentor()
        if settings is not None:
            instrumentor.instrument(skip_dep_check=True, **settings)
        try:
            return measure()
        finally:
            if settings is not None:
                instrumentor.uninstrument()

    return measure_instrumented


def warm_cpu(
    work: Callable[[], object], times: int, unit: float, warm_up: Callable[[], object] | None = None
) -> Callable[[], float]:
    """Return a measurement of the CPU microseconds of `work` for each of `unit` events, after a run to warm up.

    `warm_up` is a shorter run for that, so that the variants of a round follow each other soon.
    """

    def measure() -> float:
        (warm_up or work)()
        return cpu(work, times) / unit * 1e6

    return measure


def compare_all(
    work: Callable[[], object],
    variants: Mapping[str, Mapping[str, object] | None],
    *,
    rounds: int,
    times: int,
    unit: float,
    warm_up: Callable[[], object] | None = None,
) -> list[dict[str, float]]:
    """Measure the cost of `work` in each variant, and return a table for each round.

    Costs are in microseconds for each event or stream; `unit` is their number in one run. A variant is the arguments
    of `instrument()`, or None for the bare SDK. The order of the variants changes with each round.
    """
    work()
    measure = warm_cpu(work, times, unit, warm_up)
    return interleaved({name: with_settings(measure, settings) for name, settings in variants.items()}, rounds)


def differences(rounds: list[dict[str, float]], one: str, other: str) -> Spread:
    """Return the spread of the differences between two variants in each round."""
    return spread([took[one] - took[other] for took in rounds])
