"""The metric instruments, made once from the schema, and the bounded labels they are used with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_claude_stream._telemetry.buffer import BUFFER, NO_EXEMPLAR, Labels
from otel_claude_stream._telemetry.spec import Metric

if TYPE_CHECKING:
    from opentelemetry.context import Context


class Bounded:
    """At most `limit` different values, then `other`: what keeps a label's cardinality closed."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value itself, if it is known or there is room for it."""
        if value in self._seen:
            return value
        if len(self._seen) < self._limit:
            self._seen.add(value)
            return value
        return "other"


class Histogram:
    """One histogram of the schema, under one or two names."""

    __slots__ = ("_instruments",)

    additive: Final = False

    def __init__(self, meter: Meter, spec: Metric, names: Iterable[str]) -> None:
        self._instruments = [
            meter.create_histogram(
                name, unit=spec.unit, description=spec.doc, explicit_bucket_boundaries_advisory=list(spec.buckets)
            )
            for name in names
        ]

    def record(self, value: float, labels: Labels, context: Context = NO_EXEMPLAR) -> None:
        """Record one value, soon; a `context` with the stream's span makes it an exemplar."""
        BUFFER.add(self, value, labels, context)

    def now(self, value: float, labels: Labels, context: Context) -> None:
        """Record one value."""
        for instrument in self._instruments:
            instrument.record(value, labels, context)


class Counter:
    """One counter of the schema."""

    __slots__ = ("_instrument",)

    additive: Final = True

    def __init__(self, meter: Meter, spec: Metric) -> None:
        self._instrument = meter.create_counter(spec.name, unit=spec.unit, description=spec.doc)

    def add(self, amount: int, labels: Labels, context: Context = NO_EXEMPLAR) -> None:
        """Add to the series of these labels, soon."""
        BUFFER.add(self, amount, labels, context)

    def now(self, value: float, labels: Labels, context: Context = NO_EXEMPLAR) -> None:
        """Add to the series of these labels; with an amount of zero, make it exist."""
        self._instrument.add(value, labels, context)


def is_live(counter: Counter) -> bool:
    """Whether a provider is behind an instrument. The API has no question for it before a provider is set."""
    instrument: object = counter._instrument  # noqa: SLF001 - the wrapper's own field
    while type(instrument).__name__.startswith("_Proxy"):
        instrument = getattr(instrument, "_real_instrument", None)
    return instrument is not None and not type(instrument).__name__.startswith("NoOp")


def observe(meter: Meter, spec: Metric, read: Callable[[], Iterable[tuple[float, Labels]]]) -> None:
    """An observable instrument of the schema, whose values `read` gives when metrics are collected."""

    def callback(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, labels) for value, labels in read()]

    up_down = spec.kind == "observable_updowncounter"
    create = meter.create_observable_up_down_counter if up_down else meter.create_observable_gauge
    create(spec.name, callbacks=[callback], unit=spec.unit, description=spec.doc)


def names(spec: Metric, semconv: str) -> tuple[str, ...]:
    """The names that a metric is emitted under with this `semconv` setting."""
    if not spec.latest or semconv == "released":
        return (spec.name,)
    return (spec.latest,) if semconv == "latest" else (spec.name, spec.latest)
