"""Bounds of the names and numbers that are recorded as they come from the network or the caller.

An exporter rejects an integer of more than 64 bits and half of a surrogate pair, and loses all spans of its batch.
"""

from __future__ import annotations

NAME = 128
"""Characters of a model, an id, a host, an error type, a stop reason or a response header. The rest is cut off."""
EVENT_TYPE = 64
"""Characters of an event type, which becomes a part of an event's name."""
PRODUCT = 64
"""Characters of `server` or `via` as the name of an intermediary."""
WORDING = 2000
"""Characters of an error body that is searched for known products. They are not recorded."""
LISTED = 16
"""Stop sequences of a request that are recorded."""
LABELS = 8
"""Different labels of callers on the metrics of a process."""
SPAN_LABELS = 32
"""Labels of one call, which its span has. A span has at most 128 attributes by default."""
COUNT = 10**12
"""Largest count of tokens, index or parameter. A larger or negative one counts as unknown."""


def text(value: object, limit: int = NAME) -> str | None:
    """Return a text within its bound; None for anything else."""
    if not isinstance(value, str):
        return None
    cut = value[:limit]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def count(value: object) -> int | None:
    """Return an integer from 0 to `COUNT`; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT else None


def number(value: object) -> float | None:
    """Return a finite number of at most `COUNT` in either direction; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if -COUNT <= value <= COUNT else None
