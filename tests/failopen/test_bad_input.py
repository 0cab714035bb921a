"""Input that no API should send. The caller sees no difference, and the memory of this package stays bounded."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace

import pytest
from tests.support.rig import API, WAYS, by, instrumented, read, shown
from tests.support.scenes import MESSAGE, after

from otel_claude_stream._instrumentor import _streams
from otel_claude_stream.testing import Event, Script, Send

START = MESSAGE.steps[0]


def event(type, **fields):
    return Event(type, {"type": type, **fields})


def delta(**fields):
    return event("content_block_delta", index=0, delta=fields)


END = MESSAGE.steps[-3:]
USAGE = {"output_tokens": 15}
BAD_INPUT = {
    "unknown event types": [event("new_thing", new=1), event("", new=2), event("x" * 10_000)],
    "an unknown block type": [event("content_block_start", index=1, content_block={"type": "new", "new": {}})],
    "an unknown delta type": [delta(type="new_delta", new=[1, 2])],
    "a delta without a type": [delta(text="a")],
    "a delta that is null": [event("content_block_delta", index=0, delta=None)],
    "a text that is null": [delta(type="text_delta", text=None)],
    "a text that is a number": [delta(type="text_delta", text=7)],
    "an index that is text": [event("content_block_delta", index="0", delta={"type": "text_delta", "text": "a"})],
    "no index": [event("content_block_delta", delta={"type": "text_delta", "text": "a"})],
    "a block that is null": [event("content_block_start", index=1, content_block=None)],
    "a type that is a number": [Event("content_block_delta", {"type": 7})],
    "data that is a list": [Event("content_block_delta", [1, 2])],
    "data that is null": [Event("content_block_delta", None)],
    "data that is text": [Event("content_block_delta", '"text"')],
    "no data": [Event("content_block_delta", "")],
    "a message that is null": [event("message_start", message=None)],
    "no usage": [event("message_start", message={"id": "m", "model": "c"}), event("message_delta", delta={})],
    "usage that is null": [event("message_delta", delta={"stop_reason": None}, usage=None)],
    "usage that is text": [event("message_delta", delta={}, usage={"output_tokens": "many", "input_tokens": True})],
    "a delta of the message that is null": [event("message_delta", delta=None, usage=USAGE)],
    "everything twice": [*MESSAGE.steps[:1], *MESSAGE.steps[2:]],
    "everything backwards": [step for step in reversed(MESSAGE.steps) if isinstance(step, Event)],
    "a megabyte in one event": [delta(type="text_delta", text="x" * 1_000_000)],
    "an error without a type": [event("error", error={})],
    "an error that is a list": [Event("error", [])],
    "an error without JSON": [Event("error", "overloaded")],
    "invalid UTF-8": [Send.from_bytes(b"event: ping\ndata: \xff\xfe\n\n")],
    "a part of a character": [Send.from_bytes(b'event: content_block_delta\ndata: {"a": "\xe2\x82"}\n\n')],
    "no SSE at all": [Send("<html>\n\n</html>\n\n")],
    "nothing but line ends": [Send("\n" * 1000)],
    "a byte order mark": [Send("\ufeff")],
}


def scripts(name):
    """Return two scripts with this input, at the start and in the middle of a message."""
    first = Script(steps=tuple(BAD_INPUT[name]))
    middle = replace(MESSAGE, steps=(*after(MESSAGE, 4).steps, *BAD_INPUT[name], *END))
    return first, middle


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_reaches_the_caller_unchanged(monkeypatch, name, way):
    """Events and exception are the same as without this package, and the span ends once.

    The tests run in strict mode, so a failure of this package would reach the caller.
    """
    for script in scripts(name):
        api = API(script)
        with by(api.clock, monkeypatch):
            bare = read(api, way)
        api = API(script)
        with instrumented(monkeypatch, api.clock, events="both") as capture:
            assert read(api, way) == bare
            (span,) = [shown(span) for span in capture.spans()]
        assert span["attributes"][".outcome"] in {"completed", "failed", "closed"}
        assert len(_streams) == 0


def size_of(root):
    """Return the size in bytes of the objects that `root` references, without classes, modules and functions."""
    seen, total, todo = set(), 0, [root]
    while todo:
        thing = todo.pop()
        name = type(thing).__module__
        if id(thing) in seen or isinstance(thing, type) or callable(thing) or name.startswith(("opentelemetry", "thr")):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        todo += gc.get_referents(thing)
    return total


def session_size(monkeypatch, script, **settings):
    """Return the size of the session just before the end of the stream."""
    api = API(script)
    found = []

    def measure(event):
        if event.type == "message_delta":
            (session,) = _streams._sessions.values()
            found.append(
                sum(size_of(getattr(session.state, name)) for name in ("message", "attempts", "timing", "hot"))
            )

    with instrumented(monkeypatch, api.clock, **settings):
        assert read(api, each=measure).error == []
    return found[0]


def blocks(count):
    """Return a message of `count` blocks, each followed by an event of a new type."""
    steps = [START]
    for index in range(count):
        steps += [
            event("content_block_start", index=index, content_block={"type": "text", "text": ""}),
            event("content_block_delta", index=index, delta={"type": "text_delta", "text": "word"}),
            event(f"new_{index}"),
            event("content_block_stop", index=index),
        ]
    return Script(steps=(*steps, *END[-2:]))


@pytest.mark.parametrize("deltas", ["coalesce", "all"])
def test_the_size_of_a_session_is_bounded(monkeypatch, deltas):
    """Three thousand blocks, with as many event types, need no more memory than a hundred."""
    few = session_size(monkeypatch, blocks(100), deltas=deltas)
    many = session_size(monkeypatch, blocks(3_000), deltas=deltas)
    assert many < few * 1.1
    assert many < 64 * 1024


def test_a_megabyte_in_one_event_is_not_kept(monkeypatch):
    large = replace(MESSAGE, steps=(*after(MESSAGE, 4).steps, delta(type="text_delta", text="x" * 1_000_000), *END))
    assert session_size(monkeypatch, large) < 16 * 1024


@pytest.mark.parametrize("way", ["create", "async create"])
def test_a_clock_that_goes_back_does_not_disturb_the_stream(monkeypatch, way):
    """The span ends, and only plain differences of two readings are negative."""
    api = API(MESSAGE)
    readings = iter([*range(50_000_000_000, 0, -900_000_000)])

    def backwards():
        return next(readings, 7)

    with by(api.clock, monkeypatch):
        bare = read(api, way)
    api = API(MESSAGE)
    monkeypatch.setattr(type(api.clock), "monotonic_ns", lambda _: backwards())
    with instrumented(monkeypatch, api.clock) as capture:
        assert read(api, way) == bare
        (span,) = capture.spans()
    assert span["attributes"]["claude.stream.outcome"] == "completed"
    durations = {name: value for name, value in span["attributes"].items() if isinstance(value, float)}
    assert {name for name, value in durations.items() if value < 0} == NEGATIVE_IF_BACKWARDS


NEGATIVE_IF_BACKWARDS = {"claude.stream.time_to_headers", "claude.stream.time_to_first_token",
                      "gen_ai.response.time_to_first_chunk"}  # fmt: skip
"""Differences of two readings, which stay negative so that such a clock is visible."""


def test_empty_reads_change_only_the_number_of_reads(monkeypatch):
    """The body contains empty chunks between the others."""

    def padded(chunks):
        return [part for chunk in chunks for part in (b"", chunk, b"")]

    spans = []
    for chunks in (list, padded):
        api = API(MESSAGE)
        api.chunks = chunks
        with instrumented(monkeypatch, api.clock) as capture:
            read(api)
            (span,) = [shown(span) for span in capture.spans()]
        assert span["attributes"].pop(".read.count") == len(chunks([b"x"])) * 10
        span["attributes"].pop(".read.events")
        spans.append(span)
    assert spans[0] == spans[1]
