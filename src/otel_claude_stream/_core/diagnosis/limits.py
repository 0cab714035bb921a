"""Match the times of an ending with the known time limits of ``limit_table``."""

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
    "parse_limits",
    "products_in_response",
    "scale_limits",
    "suspects_of",
]

AMBIGUOUS = "ambiguous"
NO_MATCH = "none"

MIN_SILENCE = 5.0
"""Seconds. A shorter silence is ordinary thinking, whatever limit it would fit."""


@dataclass(frozen=True, slots=True)
class LimitMatch:
    """The result of ``match_limit``, a label and the limits behind it, the likeliest first."""

    label: str = NO_MATCH
    limits: tuple[Limit, ...] = ()


def match_limit(
    limits: Sequence[Limit],
    *,
    silence: float,
    elapsed: float,
    bytes_until_end: bool,
    in_body: bool = True,
    of_client: bool | None = False,
    products: frozenset[str] = frozenset(),
) -> LimitMatch:
    """Return the known limits that an ending is consistent with.

    NaN, infinite and negative times match nothing.

    Args:
        limits: The candidates.
        silence: Seconds without a byte before the end. Before the response headers it is equal to `elapsed`.
        elapsed: Seconds since the request was sent.
        bytes_until_end: Bytes arrived until the end, or none at all arrived. Without it, a duration limit matches only
            after a short silence.
        in_body: The response had begun. Some limits strike only before that or only after it, and some products close
            a body late.
        of_client: True for the client's limits only, False for the others, None for all. The client's limits never
            cause a cut that arrives over the network.
        products: Products that the response names. Where their limits match, they alone decide the kind.
    """
    smallest = min([limit.seconds for limit in limits], default=SMALLEST_KNOWN)
    long_silence = silence >= MIN_SILENCE * min(1.0, smallest / SMALLEST_KNOWN)
    duration_counts = bytes_until_end or not long_silence
    fits: list[tuple[float, Limit]] = []
    for limit in limits:
        idle = limit.kind is LimitKind.IDLE
        value = silence if idle else elapsed
        if (
            limit.earliest <= value <= (limit.latest_in_body if in_body else limit.latest)
            and (long_silence if idle else duration_counts)
            and (of_client is None or limit.of_client is of_client)
            and (limit.mid_stream if in_body else limit.before_headers) != "-"
        ):
            off = abs(value - limit.seconds)
            fits.append((min(off, abs(off - limit.close_delay)) if in_body else off, limit))
    if not fits:
        return LimitMatch()
    fits.sort(key=_distance)
    matches = [limit for _, limit in fits]
    named = [limit for limit in matches if limit.name in products]
    kinds = {limit.kind for limit in named or matches}
    if len(kinds) > 1:
        return LimitMatch(AMBIGUOUS, (*named, *(limit for limit in matches if limit not in named)))
    of_kind = [limit for limit in matches if limit.kind in kinds]
    ordered = (*named, *(limit for limit in of_kind if limit not in named))
    label = label_of(ordered[0])
    return LimitMatch(label, tuple(limit for limit in ordered if label_of(limit) == label))


def _distance(fit: tuple[float, Limit]) -> float:
    return fit[0]


def label_of(limit: Limit) -> str:
    """Return ``idle:60s``, ``duration:29s``, ``idle:0.5s``: at most three decimals, without trailing zeros."""
    return f"{limit.kind.value}:{round(limit.seconds, 3):g}s"


def products_in_response(
    headers: Mapping[str, str], wording: str, limits: Sequence[Limit], *, from_api: bool = False
) -> tuple[str, ...]:
    """Return the products that the headers or the body of a response identify, in the order of the tables.

    `from_api` means that the API sent the response. Products that serve the API itself are then left out
    (api.anthropic.com is behind Cloudflare).
    """
    if not headers and not wording:
        return ()
    lowered = {name.lower(): value.lower() for name, value in headers.items()}
    body = wording.lower()
    found: dict[str, None] = {}
    for limit in limits:
        if not (limit.api_edge and from_api) and _has_fingerprint(lowered, body, limit):
            found[limit.name] = None
    for product in KNOWN_PRODUCTS:
        if _has_fingerprint(lowered, body, product):
            found[product.name] = None
    return tuple(found)


def _has_fingerprint(headers: Mapping[str, str], body: str, product: Limit | Product) -> bool:
    for name, part in product.headers:
        if name in headers and part in headers[name]:
            return True
    if body:
        for word in product.wording:
            if word in body:
                return True
    return False


def suspects_of(match: LimitMatch, products: Sequence[str]) -> tuple[str, ...]:
    """Return the products that the response names, then those whose limit matches, without repetition."""
    return tuple(dict.fromkeys((*products, *(limit.name for limit in match.limits))))


def scale_limits(limits: Sequence[Limit], factor: float) -> tuple[Limit, ...]:
    """Multiply every limit, so that a test can use 2 s in place of the usual 60 s.

    Raises:
        ValueError: The factor is not a positive number.
    """
    if not (math.isfinite(factor) and factor > 0.0):
        raise ValueError(f"the factor for limits must be a positive number, not {factor!r}")
    return tuple(replace(limit, seconds=limit.seconds * factor) for limit in limits)


_SCALE = re.compile(r"x\s*(\d+(?:\.\d+)?|\.\d+)\Z")
_ENTRY = re.compile(r"(idle|duration)\s*:\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m)?\s*(?:=\s*(.+))?\Z", re.ASCII)
_ALLOWED = (
    "expected 'x' and a factor ('x0.0333'), or entries like 'idle:2s=nginx,duration:3s=haproxy' "
    "(kinds idle and duration; units ms, s and m)"
)


def parse_limits(text: str, known: Sequence[Limit] = KNOWN_LIMITS) -> tuple[Limit, ...]:
    """Parse the setting that scales (``x0.0333``) or replaces (``idle:2s=nginx,duration:3s=haproxy``) the known limits.

    An empty text or ``default`` keeps them unchanged. A known name (``nginx``, ``AWS ALB``, ``alb``) keeps its
    fingerprints and its remedy. An unknown name is used unchanged.

    Raises:
        ValueError: The text is anything else. The message lists the accepted forms.
    """
    text = text.strip()
    if text in ("", "default"):
        return tuple(known)
    scale = _SCALE.match(text)
    if scale:
        return _scaled(known, float(scale[1]), text)
    return tuple(_parsed_limit(part.strip(), known) for part in text.split(","))


def _scaled(known: Sequence[Limit], factor: float, text: str) -> tuple[Limit, ...]:
    try:
        return scale_limits(known, factor)
    except ValueError:
        raise ValueError(f"{text!r} is not a factor for limits: {_ALLOWED}") from None


def _parsed_limit(part: str, known: Sequence[Limit]) -> Limit:
    found = _ENTRY.match(part)
    seconds = parse_duration(f"0{found[2]}{found[3] or 's'}") if found else 0.0
    if not found or not (math.isfinite(seconds) and seconds > 0.0):
        raise ValueError(f"{part!r} is not a limit: {_ALLOWED}")
    kind, name = LimitKind(found[1]), (found[4] or "").strip()
    folded = name.casefold()
    same_name = [limit for limit in known if folded and folded in (limit.name.casefold(), limit.product.casefold())]
    remedy = Remedy.RAISE_IDLE if kind is LimitKind.IDLE else Remedy.RAISE_DURATION
    for limit in sorted(same_name, key=lambda limit: limit.kind is not kind):
        same_kind = limit.kind is kind
        return replace(
            limit,
            seconds=seconds,
            kind=kind,
            setting=limit.setting if same_kind else "",
            remedy=limit.remedy if same_kind else remedy,
            before_headers="",
            mid_stream="",
            source="configured",
        )
    return Limit(seconds, kind, "", name or "configured limit", "", remedy, source="configured")
