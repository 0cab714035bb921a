"""The types of the declarations in the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal["string", "string[]", "int", "int[]", "double", "boolean"]
Semconv = Literal["", "1.41", "0.1"]
"""The only version of the GenAI conventions that has a name, or empty if both have it or it is a name of this package.

1.41 is a version of OpenTelemetry's semantic conventions, 0.1 the first version of the GenAI conventions alone."""
Instrument = Literal["counter", "observable_updowncounter", "histogram", "observable_gauge"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, with the closed set of its values if there is one."""

    name: str
    type: Type
    doc: str
    values: tuple[str, ...] = ()
    unit: str = ""
    """Unit of a quantity in the notation of metrics, such as `s`, `By` or `{event}`. Empty for other values."""
    semconv: Semconv = ""


def text(name: str, doc: str, values: tuple[str, ...] = (), *, semconv: Semconv = "") -> Attribute:
    """Return an attribute that holds a text."""
    return Attribute(name, "string", doc, values, semconv=semconv)


def flag(name: str, doc: str, *, semconv: Semconv = "") -> Attribute:
    """Return an attribute that holds a truth value."""
    return Attribute(name, "boolean", doc, semconv=semconv)


def seconds(name: str, doc: str) -> Attribute:
    """Return an attribute that holds a time in seconds."""
    return Attribute(name, "double", doc, unit="s")


def count(name: str, unit: str, doc: str) -> Attribute:
    """Return an attribute that holds a number of things."""
    return Attribute(name, "int", doc, unit=unit)


def tokens(name: str, doc: str, *, semconv: Semconv = "") -> Attribute:
    """Return an attribute that holds a number of tokens."""
    return Attribute(name, "int", doc, unit="{token}", semconv=semconv)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event, recorded on a span or as a log record."""

    name: str
    doc: str
    attributes: tuple[Attribute, ...] = ()
    name_0_1: str = ""
    semconv: Semconv = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A kind of span. Its name may contain ``{model}``."""

    name: str
    kind: Literal["CLIENT", "INTERNAL"]
    doc: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument. `name_0_1` is its name in version 0.1 of the GenAI conventions, if that differs."""

    name: str
    kind: Instrument
    unit: str
    doc: str
    attributes: tuple[Attribute, ...]
    buckets: tuple[float, ...] = ()
    name_0_1: str = ""
    semconv: Semconv = ""


def histogram(
    name: str,
    unit: str,
    doc: str,
    attributes: tuple[Attribute, ...],
    buckets: tuple[float, ...],
    *,
    name_0_1: str = "",
    semconv: Semconv = "",
) -> Metric:
    """Return a histogram."""
    return Metric(name, "histogram", unit, doc, attributes, buckets, name_0_1, semconv)


def counter(name: str, unit: str, doc: str, attributes: tuple[Attribute, ...], *, semconv: Semconv = "") -> Metric:
    """Return a counter."""
    return Metric(name, "counter", unit, doc, attributes, semconv=semconv)


VERSIONS: Mapping[str, tuple[Semconv, ...]] = {
    "1.41": ("", "1.41"),
    "0.1": ("", "0.1"),
    "both": ("", "1.41", "0.1"),
}
"""The versions whose names are recorded, by the value of the setting `semconv`."""


def names_under(spec: Attribute | Metric | SpanEvent, semconv: str) -> tuple[str, ...]:
    """Return the names under a value of the setting `semconv`: none, one, or two if it is `both`."""
    if spec.semconv not in VERSIONS[semconv]:
        return ()
    renamed = "" if isinstance(spec, Attribute) else spec.name_0_1
    if not renamed or semconv == "1.41":
        return (spec.name,)
    return (renamed,) if semconv == "0.1" else (spec.name, renamed)
