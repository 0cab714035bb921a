"""Scripts as data: what they accept, how they read and write, what they come to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_claude_stream.testing import (
    Comment,
    CutMidChunk,
    End,
    Error,
    Event,
    Hang,
    Pause,
    Ping,
    Reset,
    Script,
    ScriptError,
    Send,
)

seconds = st.floats(0, 1e6, allow_nan=False)
raw = st.binary(max_size=40).map(lambda data: Send.of(data).data)
line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | line,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(line, inner, max_size=3),
    max_leaves=8,
)
steps = st.one_of(
    raw.map(Send),
    st.builds(Event, line, values | raw),
    st.just(Ping()),
    line.map(Comment),
    seconds.map(Pause),
    st.builds(Error, line, raw),
)
endings = st.one_of(st.just(End()), raw.map(CutMidChunk), st.just(Reset()), seconds.map(Hang))
scripts = st.builds(
    Script,
    name=line,
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(st.from_regex(r"\A[a-z-]{1,9}\Z"), st.from_regex(r"\A[a-z =/]{0,9}\Z"))).map(tuple),
    steps=st.builds(lambda some, last: (*some, *last), st.lists(steps, max_size=6), st.lists(endings, max_size=1)),
    framing=st.sampled_from(["chunked", "length", "close"]),
    encoding=st.sampled_from(["identity", "gzip"]),
    wire=st.sampled_from(["sse", "aws"]),
    request_id=st.none() | line,
    before_headers=seconds,
    refuse=st.sampled_from(["no", "fin", "rst"]),
    chunking=st.sampled_from(["event", "whole", "bytes"]) | st.integers(1, 9999),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)


@given(scripts)
@settings(max_examples=150, deadline=None)
def test_json_round_trip_gives_an_equal_script(script):
    """Whatever can be built can be written and read again, bytes beyond UTF-8 included."""
    again = Script.from_json(script.to_json())
    assert again == script
    assert again.body() == script.body()


def test_json_form_is_versioned_and_short():
    """The text is meant to be written by hand too: only what differs from the defaults stands in it."""
    script = Script(name="two", steps=(Event("ping", {"a": [1]}), Pause(0.5), Reset()))
    assert json.loads(script.to_json()) == {
        "version": 1,
        "name": "two",
        "steps": [
            {"do": "event", "type": "ping", "data": {"a": [1]}},
            {"do": "pause", "seconds": 0.5},
            {"do": "reset"},
        ],
    }


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("nonsense", "script", "JSON text"),
        ("[]", "script", "an object"),
        ("{}", "version", "1"),
        ('{"version": 2}', "version", "1"),
        ('{"version": 1, "stat": 200}', "script.stat", "status"),
        ('{"version": 1, "status": 99}', "status", "200 to 599"),
        ('{"version": 1, "framing": "odd"}', "framing", "'chunked'"),
        ('{"version": 1, "wire": []}', "wire", "'sse'"),
        ('{"version": 1, "chunking": 0}', "chunking", "above zero"),
        ('{"version": 1, "name": 5}', "name", "text"),
        ('{"version": 1, "headers": [["a", "b\\r\\nc: d"]]}', "headers[0]", "one-line"),
        ('{"version": 1, "headers": 5}', "headers", "pairs"),
        ('{"version": 1, "steps": {}}', "steps", "a list"),
        ('{"version": 1, "steps": [5]}', "steps[0]", "'do'"),
        ('{"version": 1, "steps": [{"do": "sleep"}]}', "steps[0].do", "pause"),
        ('{"version": 1, "steps": [{"do": "pause"}]}', "steps[0].seconds", "needs it"),
        ('{"version": 1, "steps": [{"do": "pause", "seconds": -1}]}', "steps[0].seconds", "zero or more"),
        ('{"version": 1, "steps": [{"do": "pause", "seconds": "1"}]}', "steps[0].seconds", "a finite number"),
        ('{"version": 1, "steps": [{"do": "ping", "times": 2}]}', "steps[0].times", "one of the keys do"),
        ('{"version": 1, "steps": [{"do": "send", "data": 5}]}', "steps[0].data", "text"),
        ('{"version": 1, "steps": [{"do": "end"}, {"do": "ping"}]}', "steps[1]", "nothing"),
    ],
)
def test_what_is_wrong_in_json_is_named_with_its_place(text, path, allowed):
    """A misspelt script must not silently test something else."""
    with pytest.raises(ScriptError) as caught:
        Script.from_json(text)
    assert caught.value.path == path
    assert allowed in caught.value.allowed
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Send("\ud83d"),
        lambda: Event("a\nb", {}),
        lambda: Event("a", {"x": float("nan")}),
        lambda: Event("a", object()),
        lambda: Pause(float("inf")),
        lambda: Script(steps=("ping",)),
        lambda: Script(steps="ping"),
        lambda: Script.message("abc", deltas=4),
        lambda: Script.message(deltas=-1),
        lambda: Script.message(input_tokens=-1),
        lambda: Script.message().cut_after(99),
        lambda: Script.message().insert_pause(1, 1, pings_every=0),
        lambda: Script.message().scaled(-1),
        lambda: Script.message().on_aws().buffered(),
    ],
)
def test_unusable_values_are_refused_when_built(build):
    """Errors show where a script is written, not where it is played."""
    with pytest.raises(ScriptError):
        build()


def test_an_event_keeps_its_own_copy_of_the_data():
    """A frozen step must not change with the caller's dictionary."""
    data = {"n": 1}
    event = Event("a", data)
    data["n"] = 2
    assert event.data == {"n": 1}


def parsed(script: Script) -> list[dict]:
    return [json.loads(text[6:]) for text in script.body().decode().split("\n") if text.startswith("data: ")]


def test_message_is_the_sequence_the_api_sends():
    """All events, in order, with the placeholder and the final usage."""
    script = Script.message(
        "Hi there", thinking="Hm", tool=("look", {"at": "it"}), output_tokens=7, cache_read=3, message_id="msg_1"
    )
    events = parsed(script)
    assert [event["type"] for event in events] == [
        "message_start",
        *("content_block_start", "ping", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"] == {
        "input_tokens": 25,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3,
        "output_tokens": 7,
    }


@pytest.mark.parametrize("deltas", [None, 1, 3, 12])
def test_message_deltas_join_to_the_text(deltas):
    """However the text is cut, it is the text."""
    text = " Hello,\n you "
    events = parsed(Script.message(text, deltas=deltas))
    pieces = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(pieces) == text
    assert deltas is None or len(pieces) == deltas


def test_message_pauses_before_the_first_token_and_between_deltas():
    """Time to first token and gap are separate."""
    script = Script.message(deltas=3, gap=0.5, first_token_after=2)
    assert [step.seconds for step in script.steps if isinstance(step, Pause)] == [2, 0.5, 0.5]


def test_cut_after_counts_events_and_drops_the_rest():
    """The pause behind the last kept event goes too: the cut follows at once."""
    script = Script(steps=(Ping(), Comment("x"), Pause(1), Event("a", {}), Pause(1), Event("b", {})))
    assert script.cut_after(2).steps == (Ping(), Comment("x"), Pause(1), Event("a", {}), CutMidChunk())
    assert script.cut_after(0, Reset()).steps == (Reset(),)
    assert script.cut_after(1, Error("api_error", "x")).steps == (Ping(), Error("api_error", "x"))


def test_insert_pause_may_carry_pings():
    """The pings stand within the pause; its length stays."""
    script = Script(steps=(Event("a", {}), Event("b", {})))
    assert script.insert_pause(1, 5, pings_every=2).steps == (
        Event("a", {}),
        *(Pause(2), Ping(), Pause(2), Ping(), Pause(1)),
        Event("b", {}),
    )
    assert script.insert_pause(2, 5).steps == (Event("a", {}), Event("b", {}), Pause(5))


def test_scaled_changes_every_duration_and_nothing_else():
    """For running a scenario of minutes in a second."""
    script = Script(steps=(Ping(), Pause(10), Hang(20)), before_headers=30)
    assert script.scaled(0.1) == Script(steps=(Ping(), Pause(1), Hang(2)), before_headers=3)


def test_buffered_sends_the_same_bytes_in_full_blocks_later():
    """As a proxy with a block buffer does: bytes move behind pauses, none is lost."""
    script = Script.message(gap=0.1)
    blocks = script.buffered(500)
    assert blocks.body() == script.body()
    sizes = [len(step.raw) for step in blocks.steps if isinstance(step, Send)]
    assert set(sizes[:-1]) == {500}
    assert sum(step.seconds for step in blocks.steps if isinstance(step, Pause)) == pytest.approx(0.7)
    *_, held, end = script.buffered().steps
    assert (held.raw, end) == (script.body(), End())


def test_errors_carry_the_request_id_in_streams_and_in_bodies():
    """As the API writes them."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    stream = Script(request_id="req_1", steps=(Error(),))
    assert stream.body() == b"event: error\ndata: " + json.dumps(error, separators=(",", ":")).encode() + b"\n\n"
    assert json.loads(replace(Script.http_error(529), request_id="req_1").body()) == error


def test_nginx_page_is_nginx_s():
    """Word for word, as `classify` rules read it."""
    script = Script.nginx(504)
    assert script.body() == (
        b"<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
        b"<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    assert script.headers == (("content-type", "text/html"), ("server", "nginx"))
    assert script.request_id is None


def test_comments_and_pings_look_as_on_the_wire():
    """Known bytes, because proxies and parsers look at bytes."""
    script = Script(steps=(Comment(), Comment("warm"), Ping(), Event("", "a\nb")))
    assert script.body() == b':\n\n: warm\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: a\ndata: b\n\n'


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"data: x", b"\n", b"\r\n", b"\r"])).map(b"".join))
@settings(deadline=None)
def test_from_sse_loses_no_byte(body):
    """Recorded, broken or not: what goes in comes out."""
    assert Script.from_sse(body).body() == body


@pytest.mark.recordings
def test_each_recording_is_replayed_byte_for_byte(recordings):
    """From the file, one step an event, through JSON and back."""
    for path in recordings:
        script = Script.from_sse(path)
        assert script.body() == path.read_bytes(), path.name
        assert Script.from_json(script.to_json()) == script, path.name
        assert len(script.steps) == path.read_bytes().count(b"\nevent: ") + 1, path.name
