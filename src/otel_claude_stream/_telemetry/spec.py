"""The forms in which the schema declares attributes, spans, events and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["string", "string[]", "int", "int[]", "double", "boolean"]
Instrument = Literal["counter", "observable_updowncounter", "histogram", "observable_gauge"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name, the type of its values, what they mean, and the closed set of them if there is one."""

    name: str
    type: Type
    doc: str
    values: tuple[str, ...] = ()
    unit: str = ""
    """Unit of a quantity, as metrics declare theirs: `s`, `By`, `{event}`. Empty for values that are no quantity."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """One event, on a span or as a log record."""

    name: str
    doc: str
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """One kind of span; `name` may hold ``{model}``."""

    name: str
    kind: Literal["CLIENT", "INTERNAL"]
    doc: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument. `latest` is the name in the newest GenAI conventions where it differs from the released one."""

    name: str
    kind: Instrument
    unit: str
    doc: str
    attributes: tuple[Attribute, ...]
    buckets: tuple[float, ...] = ()
    latest: str = ""
