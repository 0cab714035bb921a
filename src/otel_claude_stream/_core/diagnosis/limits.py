"""Which known time limits an ending is consistent with. Pure arithmetic over ``limit_table``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from otel_claude_stream._core.diagnosis.limit_table import (
    KNOWN_LIMITS,
    KNOWN_PRODUCTS,
    SMALLEST_KNOWN,
    Limit,
    LimitKind,
    Product,
    Remedy,
)
from otel_claude_stream._core.durations import parse_duration

__all__ = [
    "KNOWN_LIMITS",
    "AMBIGUOUS",
    "NO_MATCH",
    "Limit",
    "LimitKind",
    "LimitMatch",
    "Remedy",
    "label_of",
    "match_limit",
    "named_products",
    "parse_limits",
    "scale_limits",
    "suspects_of",
]

AMBIGUOUS = "ambiguous"
NO_MATCH = "none"

FLOOR = 5.0
"""Shorter silences than this many seconds are ordinary thinking, whatever limit they would fit."""


@dataclass(frozen=True, slots=True)
class LimitMatch:
    """The answer of ``match_limit``: a label of the closed form, and the limits behind it, most likely first."""

    label: str = NO_MATCH
    limits: tuple[Limit, ...] = ()


def match_limit(
    limits: Sequence[Limit],
    *,
    silence: float,
    elapsed: float,
    flowed: bool,
    in_body: bool = True,
    own: bool | None = False,
    named: frozenset[str] = frozenset(),
) -> LimitMatch:
    """Compare an ending with known limits.

    ``silence`` is how long nothing came before the end and ``elapsed`` how long the request had run, both in seconds;
    before the response's headers the two are the same. ``flowed`` says that bytes came until the end, or that none
    has come at all: only then (or after a short silence) a duration limit is believed. ``in_body`` says that the
    response had begun: some limits strike only before or only after that, and some products close a body late.
    ``own`` chooses among the client's own limits (True), the others (False, as what comes over the wire is never cut by
    the client), or all (None). ``named`` are the names of products that the response itself betrays: where they fit,
    they alone decide about the kind.
    NaN, infinite and negative times match nothing.
    """
    smallest = min([limit.seconds for limit in limits], default=SMALLEST_KNOWN)
    long_silence = silence >= FLOOR * min(1.0, smallest / SMALLEST_KNOWN)
    timed = flowed or not long_silence
    fits: list[tuple[float, Limit]] = []
    for limit in limits:
        idle = limit.kind is LimitKind.IDLE
        value = silence if idle else elapsed
        if (
            limit.earliest <= value <= (limit.latest_in_body if in_body else limit.latest)
            and (long_silence if idle else timed)
            and (own is None or limit.on_client is own)
            and (limit.mid_stream if in_body else limit.before_headers) != "-"
        ):
            off = abs(value - limit.seconds)
            fits.append((min(off, abs(off - limit.late)) if in_body else off, limit))
    if not fits:
        return LimitMatch()
    fits.sort(key=_distance)
    every = [limit for _, limit in fits]
    betrayed = [limit for limit in every if limit.name in named]
    kinds = {limit.kind for limit in betrayed or every}
    if len(kinds) > 1:
        return LimitMatch(AMBIGUOUS, (*betrayed, *(limit for limit in every if limit not in betrayed)))
    alike = [limit for limit in every if limit.kind in kinds]
    ordered = (*betrayed, *(limit for limit in alike if limit not in betrayed))
    return LimitMatch(label_of(ordered[0]), ordered)


def _distance(fit: tuple[float, Limit]) -> float:
    return fit[0]


def label_of(limit: Limit) -> str:
    """``idle:60s``, ``duration:29s``, ``idle:0.5s``: at most three decimals, no trailing zeros."""
    return f"{limit.kind.value}:{round(limit.seconds, 3):g}s"


def named_products(
    headers: Mapping[str, str], wording: str, limits: Sequence[Limit], *, api_spoke: bool = False
) -> tuple[str, ...]:
    """Names of the products that the headers or the body of a response betray, in the order of the tables.

    ``api_spoke`` says that the response carries the API's own ``request-id``: products that the API itself is served
    through are then left out (api.anthropic.com is behind Cloudflare).
    """
    if not headers and not wording:
        return ()
    lowered = {name.lower(): value.lower() for name, value in headers.items()}
    body = wording.lower()
    found: dict[str, None] = {}
    for limit in limits:
        if not (limit.api_edge and api_spoke) and _betrayed(lowered, body, limit):
            found[limit.name] = None
    for product in KNOWN_PRODUCTS:
        if _betrayed(lowered, body, product):
            found[product.name] = None
    return tuple(found)


def _betrayed(headers: Mapping[str, str], body: str, row: Limit | Product) -> bool:
    for name, part in row.headers:
        if name in headers and part in headers[name]:
            return True
    if body:
        for word in row.wording:
            if word in body:
                return True
    return False


def suspects_of(match: LimitMatch, named: Sequence[str]) -> tuple[str, ...]:
    """Who the evidence is consistent with: what the response betrays first, then whose limit fits. No name twice."""
    return tuple(dict.fromkeys((*named, *(limit.name for limit in match.limits))))


def scale_limits(limits: Sequence[Limit], factor: float) -> tuple[Limit, ...]:
    """Multiply every limit, so that a test can use 2 s where the world uses 60. ValueError if not a positive number."""
    if not (math.isfinite(factor) and factor > 0.0):
        raise ValueError(f"the factor of limits must be a positive number, not {factor!r}")
    return tuple(replace(limit, seconds=limit.seconds * factor) for limit in limits)


_SCALE = re.compile(r"x\s*(\d+(?:\.\d+)?|\.\d+)\Z")
_ENTRY = re.compile(r"(idle|duration)\s*:\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m)?\s*(?:=\s*(.+))?\Z", re.ASCII)
_ALLOWED = (
    "expected 'x' and a factor ('x0.0333'), or entries like 'idle:2s=nginx,duration:3s=haproxy' "
    "(kinds idle and duration; units ms, s and m)"
)


def parse_limits(text: str, known: Sequence[Limit] = KNOWN_LIMITS) -> tuple[Limit, ...]:
    """Read the setting that scales (``x0.0333``) or replaces (``idle:2s=nginx,duration:3s=haproxy``) the known limits.

    Empty text or ``default`` leaves them as they are. A name that is known (``nginx``, ``AWS ALB``, ``alb``) brings its
    fingerprints and its remedy along; any other is taken as it is. ValueError, with what is allowed, for anything else.
    """
    text = text.strip()
    if text in ("", "default"):
        return tuple(known)
    scale = _SCALE.match(text)
    if scale:
        return _checked_scale(known, float(scale[1]), text)
    return tuple(_entry(part.strip(), known) for part in text.split(","))


def _checked_scale(known: Sequence[Limit], factor: float, text: str) -> tuple[Limit, ...]:
    try:
        return scale_limits(known, factor)
    except ValueError:
        raise ValueError(f"{text!r} is not a scale of limits: {_ALLOWED}") from None


def _entry(part: str, known: Sequence[Limit]) -> Limit:
    found = _ENTRY.match(part)
    seconds = parse_duration(f"0{found[2]}{found[3] or 's'}") if found else 0.0
    if not found or not (math.isfinite(seconds) and seconds > 0.0):
        raise ValueError(f"{part!r} is not a limit: {_ALLOWED}")
    kind, name = LimitKind(found[1]), (found[4] or "").strip()
    wanted = name.casefold()
    namesakes = [limit for limit in known if wanted and wanted in (limit.name.casefold(), limit.product.casefold())]
    remedy = Remedy.RAISE_IDLE if kind is LimitKind.IDLE else Remedy.RAISE_DURATION
    for limit in sorted(namesakes, key=lambda limit: limit.kind is not kind):
        same = limit.kind is kind
        return replace(
            limit,
            seconds=seconds,
            kind=kind,
            setting=limit.setting if same else "",
            remedy=limit.remedy if same else remedy,
            before_headers="",
            mid_stream="",
            source="configured",
        )
    return Limit(seconds, kind, "", name or "configured limit", "", remedy, source="configured")
