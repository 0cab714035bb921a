"""Scripts are validated, converted to and from JSON, and turned into the bytes of a body."""

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
raw = st.binary(max_size=40).map(lambda data: Send.from_bytes(data).data)
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
    event_format=st.sampled_from(["sse", "aws"]),
    request_id=st.none() | line,
    header_delay=seconds,
    close_before_headers=st.sampled_from(["no", "fin", "rst"]),
    chunking=st.sampled_from(["event", "whole", "bytes"]) | st.integers(1, 9999),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)


def decoded_events(script: Script) -> list[dict]:
    """Return the data of each event in the body of a script."""
    return [json.loads(text[6:]) for text in script.body().decode().split("\n") if text.startswith("data: ")]


def test_message_has_the_events_that_the_api_sends():
    """The first usage has a placeholder for the output tokens, the last one the final counts."""
    script = Script.message(
        "Hi there",
        thinking="Hm",
        tool=("look", {"at": "it"}),
        output_tokens=7,
        cache_read_input_tokens=3,
        message_id="msg_1",
    )
    events = decoded_events(script)
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


@given(scripts)
@settings(max_examples=150, deadline=None)
def test_json_round_trip_gives_an_equal_script(script):
    """This includes bytes that are not valid UTF-8."""
    again = Script.from_json(script.to_json())
    assert again == script
    assert again.body() == script.body()


def test_json_omits_default_values():
    """Scripts may be written by hand, so the JSON form is short."""
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
        ('{"version": 1, "framing": "none"}', "framing", "'chunked'"),
        ('{"version": 1, "event_format": []}', "event_format", "'sse'"),
        ('{"version": 1, "chunking": 0}', "chunking", "above zero"),
        ('{"version": 1, "name": 5}', "name", "text"),
        ('{"version": 1, "headers": [["a", "b\\r\\nc: d"]]}', "headers[0]", "one-line"),
        ('{"version": 1, "headers": 5}', "headers", "pairs"),
        ('{"version": 1, "steps": {}}', "steps", "a list"),
        ('{"version": 1, "steps": [5]}', "steps[0]", "'do'"),
        ('{"version": 1, "steps": [{"do": "sleep"}]}', "steps[0].do", "pause"),
        ('{"version": 1, "steps": [{"do": "pause"}]}', "steps[0].seconds", "is required"),
        ('{"version": 1, "steps": [{"do": "pause", "seconds": -1}]}', "steps[0].seconds", "zero or more"),
        ('{"version": 1, "steps": [{"do": "pause", "seconds": "1"}]}', "steps[0].seconds", "a finite number"),
        ('{"version": 1, "steps": [{"do": "ping", "times": 2}]}', "steps[0].times", "one of the keys do"),
        ('{"version": 1, "steps": [{"do": "send", "data": 5}]}', "steps[0].data", "text"),
        ('{"version": 1, "steps": [{"do": "end"}, {"do": "ping"}]}', "steps[1]", "nothing"),
    ],
)
def test_an_invalid_value_in_json_is_reported_with_its_path(text, path, allowed):
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
        lambda: Script.message().insert_pause(1, 1, ping_interval=0),
        lambda: Script.message().scaled(-1),
        lambda: Script.message().for_bedrock().buffered(),
    ],
)
def test_invalid_values_are_rejected_by_the_constructor(build):
    """The error is raised where the script is written, not later in the server."""
    with pytest.raises(ScriptError):
        build()


def test_an_event_copies_its_data():
    """A frozen step does not change with the dictionary that it was created from."""
    data = {"n": 1}
    event = Event("a", data)
    data["n"] = 2
    assert event.data == {"n": 1}


@pytest.mark.parametrize("deltas", [None, 1, 3, 12])
def test_the_deltas_of_a_message_join_to_its_text(deltas):
    text = " Hello,\n you "
    events = decoded_events(Script.message(text, deltas=deltas))
    pieces = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(pieces) == text
    assert deltas is None or len(pieces) == deltas


def test_message_pauses_before_the_first_token_and_between_deltas():
    script = Script.message(deltas=3, gap=0.5, first_token_delay=2)
    assert [step.seconds for step in script.steps if isinstance(step, Pause)] == [2, 0.5, 0.5]


def test_cut_after_keeps_the_first_events():
    """A pause after the last kept event is removed too, so the ending follows at once."""
    script = Script(steps=(Ping(), Comment("x"), Pause(1), Event("a", {}), Pause(1), Event("b", {})))
    assert script.cut_after(2).steps == (Ping(), Comment("x"), Pause(1), Event("a", {}), CutMidChunk())
    assert script.cut_after(0, Reset()).steps == (Reset(),)
    assert script.cut_after(1, Error("api_error", "x")).steps == (Ping(), Error("api_error", "x"))


def test_insert_pause_can_send_pings_during_the_pause():
    """The pings do not make the pause longer."""
    script = Script(steps=(Event("a", {}), Event("b", {})))
    assert script.insert_pause(1, 5, ping_interval=2).steps == (
        Event("a", {}),
        *(Pause(2), Ping(), Pause(2), Ping(), Pause(1)),
        Event("b", {}),
    )
    assert script.insert_pause(2, 5).steps == (Event("a", {}), Event("b", {}), Pause(5))


def test_scaled_changes_every_duration_and_nothing_else():
    """A scenario of minutes can be run in seconds."""
    script = Script(steps=(Ping(), Pause(10), Hang(20)), header_delay=30)
    assert script.scaled(0.1) == Script(steps=(Ping(), Pause(1), Hang(2)), header_delay=3)


def test_buffered_delays_bytes_until_a_block_is_full():
    """Bytes move behind pauses, as with a buffering proxy; none is lost."""
    script = Script.message(gap=0.1)
    blocks = script.buffered(500)
    assert blocks.body() == script.body()
    sizes = [len(step.raw) for step in blocks.steps if isinstance(step, Send)]
    assert set(sizes[:-1]) == {500}
    assert sum(step.seconds for step in blocks.steps if isinstance(step, Pause)) == pytest.approx(0.7)
    *_, everything, end = script.buffered().steps
    assert (everything.raw, end) == (script.body(), End())


def test_errors_carry_the_request_id_in_streams_and_in_bodies():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    stream = Script(request_id="req_1", steps=(Error(),))
    assert stream.body() == b"event: error\ndata: " + json.dumps(error, separators=(",", ":")).encode() + b"\n\n"
    assert json.loads(replace(Script.http_error(529), request_id="req_1").body()) == error


def test_nginx_error_is_the_error_page_of_nginx():
    """The page is exact, as the classifier looks for its text."""
    script = Script.nginx_error(504)
    assert script.body() == (
        b"<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
        b"<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    assert script.headers == (("content-type", "text/html"), ("server", "nginx"))
    assert script.request_id is None


def test_comments_and_pings_have_the_bytes_of_the_api():
    script = Script(steps=(Comment(), Comment("warm"), Ping(), Event("", "a\nb")))
    assert script.body() == b':\n\n: warm\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: a\ndata: b\n\n'


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"data: x", b"\n", b"\r\n", b"\r"])).map(b"".join))
@settings(deadline=None)
def test_from_sse_keeps_every_byte(body):
    """The body need not consist of valid events."""
    assert Script.from_sse(body).body() == body


@pytest.mark.recordings
def test_each_recording_is_replayed_byte_for_byte(recordings):
    """The script has one step for each event and survives the conversion to JSON."""
    for path in recordings:
        script = Script.from_sse(path)
        assert script.body() == path.read_bytes(), path.name
        assert Script.from_json(script.to_json()) == script, path.name
        assert len(script.steps) == path.read_bytes().count(b"\nevent: ") + 1, path.name
