"""The incremental parser of SSE frames."""

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
def test_each_form_of_a_frame(body, frames):
    """Line ends, comments, fields and blanks are parsed alike in one chunk and byte by byte."""
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
def test_the_division_into_chunks_does_not_change_the_frames(body, cuts):
    """A chunk may end at any byte, even between a carriage return and its line feed."""
    places = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(places)]
    assert scanned(*chunks) == scanned(body)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(body):
    """An error would cost the telemetry of the stream."""
    assert len(scanned(body)) <= len(body)


@pytest.mark.parametrize("step", [7, 4096])
def test_data_that_is_too_long_is_dropped_and_its_frame_reported(monkeypatch, step):
    """The data may be in one line or in many. The next frame is parsed as usual."""
    monkeypatch.setattr(sse, "MAX_DATA", 64)
    long_line = b"event: a\ndata: " + b"x" * 100 + b"\n\n"
    many_lines = b"event: b\n" + b"data: 0123456789\n" * 10 + b"\n"
    body = long_line + many_lines + b"event: c\ndata: " + b"x" * 50 + b"\n\n" + b"event: " + b"n" * 100 + b"\n\n"
    frames = scanned(*(body[at : at + step] for at in range(0, len(body), step)))
    assert frames == [Frame("a", None), Frame("b", None), Frame("c", "x" * 50), Frame("n" * 58, "")]


def test_an_endless_line_needs_bounded_memory():
    """The parser keeps at most `MAX_DATA` bytes and one."""
    scanner = SseScanner()
    for _ in range(300):
        assert scanner.feed(b"x" * 8192) == []
    assert len(scanner._line) == sse.MAX_DATA + 1
