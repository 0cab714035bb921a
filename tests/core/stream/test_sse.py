from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_claude_stream._core.stream import sse
from otel_claude_stream._core.stream.sse import Frame, SseScanner


def scanned(*chunks: bytes) -> list[Frame]:
    scanner = SseScanner()
    return [frame for chunk in chunks for frame in scanner.feed(chunk)]


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"event: ping\ndata: {}\n\n", [Frame("ping", "{}")]),
        (b"event: ping\r\ndata: {}\r\n\r\n", [Frame("ping", "{}")]),
        (b"event: ping\rdata: {}\r\r", [Frame("ping", "{}")]),
        (b"event: ping\r\ndata: {}\r\r\n", [Frame("ping", "{}")]),
        (b"\xef\xbb\xbfevent: ping\n\n", [Frame("ping", "")]),
        (b"event: ping\n\n\xef\xbb\xbfevent: ping\n\n", [Frame("ping", "")]),
        (b"data: 1\ndata: 2\n\n", [Frame("", "1\n2")]),
        (b"data:1\ndata:  2\ndata\n\n", [Frame("", "1\n 2\n")]),
        (b": keep-alive\n\nevent: a\n: no\nid: 7\nretry: 9\ndata: x\n\n", [Frame("a", "x")]),
        (b"event: a\nevent: b\ndata: x:y\n\n", [Frame("b", "x:y")]),
        (b"event: a\ndata: \xff\n\n", [Frame("a", "\ufffd")]),
        ("event: a\ndata: \u2028\x0b\x85\n\n".encode(), [Frame("a", "\u2028\x0b\x85")]),
        (b"event: a\ndata: x\n\ndata: y\n\n", [Frame("a", "x"), Frame("", "y")]),
        (b"event: message_stop\ndata: {}\n", []),
        (b"event: message_stop\ndata: {}", []),
    ],
)
def test_each_form_of_an_event(body, frames):
    """The format's line ends, comments, fields and blanks, whole and byte by byte."""
    assert scanned(body) == frames
    assert scanned(*(bytes([byte]) for byte in body)) == frames


BODIES = st.lists(
    st.sampled_from(
        [
            b"event: a",
            b"event:b",
            b"data: x",
            b"data:",
            b"data: y\xc3\xa9",
            b": c",
            b"\n",
            b"\r",
            b"\r\n",
            b"",
            b"\xef\xbb\xbf",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(BODIES, st.lists(st.integers(0, 200), max_size=8))
@example(b"event: a\r\ndata: x\r\n\r\n", [9, 18, 19])
def test_any_division_into_chunks_gives_the_same_events(body, cuts):
    """The division into chunks makes no difference."""
    places = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(places)]
    assert scanned(*chunks) == scanned(body)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(body):
    """Whatever a server sends, the caller reads on."""
    assert len(scanned(body)) <= len(body)


@pytest.mark.parametrize("step", [7, 4096])
def test_data_that_is_too_long_is_dropped_and_its_event_reported(monkeypatch, step):
    """An event of a megabyte is counted and not kept, in one line or in many. The next one is read again."""
    monkeypatch.setattr(sse, "MAX_DATA", 64)
    long_line = b"event: a\ndata: " + b"x" * 100 + b"\n\n"
    many_lines = b"event: b\n" + b"data: 0123456789\n" * 10 + b"\n"
    body = long_line + many_lines + b"event: c\ndata: " + b"x" * 50 + b"\n\n" + b"event: " + b"n" * 100 + b"\n\n"
    frames = scanned(*(body[at : at + step] for at in range(0, len(body), step)))
    assert frames == [Frame("a", None), Frame("b", None), Frame("c", "x" * 50), Frame("n" * 58, "")]


def test_what_is_kept_of_an_endless_line_is_bounded():
    """A server that never ends its line costs no more than the limit."""
    scanner = SseScanner()
    for _ in range(300):
        assert scanner.feed(b"x" * 8192) == []
    assert len(scanner._line) == sse.MAX_DATA + 1
