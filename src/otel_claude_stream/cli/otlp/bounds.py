"""Limits of a request, checked on its bytes before a decoder builds objects from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST_MESSAGES: Final = 300_000
"""Nested messages of a request: spans, events, attributes and their values. Each costs some 300 bytes of memory."""
MOST_VALUES: Final = 1_000_000
"""Fields of all messages of a request together."""
REMEDY: Final = "; send less in one export, such as with OTEL_BSP_MAX_EXPORT_BATCH_SIZE=64"
VARINT: Final = 0
LENGTH: Final = 2
FIXED: Final[Mapping[int, int]] = {1: 8, 5: 4}
"""Wire types of protobuf: an integer, a length with content, and numbers of 8 and 4 bytes."""
LONGEST_VARINT: Final = 10  # bytes
WIDTHS: Final[Mapping[int, int]] = {1: 8, 6: 8, 16: 8, 2: 4, 7: 4, 15: 4}
"""Bytes of one packed value, by the type of its field; integers of variable length have at least one."""
STRINGS: Final = (9, 12)
"""The field types string and bytes, which are never packed."""


class TooLarge(ValueError):
    """A request with more elements than the receiver accepts."""


class Malformed(ValueError):
    """Bytes that are not protobuf."""


def check_protobuf(body: bytes, descriptor: Any) -> None:
    """Count the messages and fields of ``body``, a message of ``descriptor``, without decoding it.

    Raises ``TooLarge`` beyond the limits, and ``Malformed``.
    """
    messages = values = 0
    known: dict[str, dict[int, Any]] = {}
    parts = [(descriptor, 0, len(body))]
    while parts:
        kind, at, end = parts.pop()
        messages += 1
        inner = known.get(kind.full_name)
        if inner is None:
            inner = known[kind.full_name] = _length_delimited(kind)
        for number, start, stop in _fields(body, at, end):
            values += 1
            found = inner.get(number)
            if isinstance(found, int):
                values += (stop - start) // found
            elif found is not None:
                parts.append((found, start, stop))
            if values > MOST_VALUES or messages + len(parts) > MOST_MESSAGES:
                _refuse()


def check_json(body: bytes) -> None:
    """Estimate the number of objects and values of ``body`` from its punctuation. Raises ``TooLarge``."""
    if body.count(b"{") > MOST_MESSAGES or body.count(b"[") + body.count(b",") > MOST_VALUES:
        _refuse()


def _refuse() -> None:
    raise TooLarge(f"it has more than {MOST_MESSAGES} messages or {MOST_VALUES} fields{REMEDY}")


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field that has a length, else -1, and where its content starts and stops.

    Raises ``Malformed``.
    """
    try:
        while at < end:
            tag, at = _varint(body, at)
            start, wire = at, tag & 7
            if wire == LENGTH:
                length, start = _varint(body, at)
                at = start + length
            elif wire == VARINT:
                _, at = _varint(body, at)
            elif wire in FIXED:
                at += FIXED[wire]
            else:
                raise Malformed(f"wire type {wire} is not used in OTLP")
            if at > end:
                raise Malformed("it is cut short")
            yield (tag >> 3 if wire == LENGTH else -1), start, at
    except IndexError as error:
        raise Malformed("it is cut short") from error


def _length_delimited(kind: Any) -> dict[int, Any]:
    """Return the fields of a message that contain others: a descriptor, or the width of packed values."""
    found: dict[int, Any] = {}
    for field in kind.fields:
        if field.message_type is not None:
            found[field.number] = field.message_type
        elif field.type not in STRINGS:
            found[field.number] = WIDTHS.get(field.type, 1)
    return found


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a position and the position after it. Raises ``IndexError`` at the end of the body."""
    byte = body[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    for place in range(at + 1, at + LONGEST_VARINT):
        byte = body[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise Malformed("an integer is longer than ten bytes")
