"""The types of the declarations in the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["string", "string[]", "int", "int[]", "double", "boolean"]
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


def text(name: str, doc: str, values: tuple[str, ...] = ()) -> Attribute:
    """Return an attribute that holds a text."""
    return Attribute(name, "string", doc, values)


def flag(name: str, doc: str) -> Attribute:
    """Return an attribute that holds a truth value."""
    return Attribute(name, "boolean", doc)


def seconds(name: str, doc: str) -> Attribute:
    """Return an attribute that holds a time in seconds."""
    return Attribute(name, "double", doc, unit="s")


def count(name: str, unit: str, doc: str) -> Attribute:
    """Return an attribute that holds a number of things."""
    return Attribute(name, "int", doc, unit=unit)


def tokens(name: str, doc: str) -> Attribute:
    """Return an attribute that holds a number of tokens."""
    return count(name, "{token}", doc)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event, recorded on a span or as a log record."""

    name: str
    doc: str
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A kind of span. Its name may contain ``{model}``."""

    name: str
    kind: Literal["CLIENT", "INTERNAL"]
    doc: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument. `latest` is its name in the unreleased GenAI conventions, if it differs from the released one."""

    name: str
    kind: Instrument
    unit: str
    doc: str
    attributes: tuple[Attribute, ...]
    buckets: tuple[float, ...] = ()
    latest: str = ""


def histogram(
    name: str, unit: str, doc: str, attributes: tuple[Attribute, ...], buckets: tuple[float, ...], *, latest: str = ""
) -> Metric:
    """Return a histogram."""
    return Metric(name, "histogram", unit, doc, attributes, buckets, latest)


def counter(name: str, unit: str, doc: str, attributes: tuple[Attribute, ...]) -> Metric:
    """Return a counter."""
    return Metric(name, "counter", unit, doc, attributes)
