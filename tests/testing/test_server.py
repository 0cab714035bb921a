"""The bytes that the fake API sends, and its handling of connections, tested with plain sockets."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
import zlib
from dataclasses import replace

import pytest

from otel_claude_stream.testing import (
    CutMidChunk,
    End,
    Error,
    Event,
    FakeAPI,
    Hang,
    Pause,
    Ping,
    Reset,
    Script,
    Send,
)

POST = "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n{more}\r\n{{}}"
SHORT = Script(steps=(Send("one"), Send("two")))


@pytest.fixture(autouse=True)
def _no_thread_is_left_running():
    """Assert that a test leaves no thread of the server behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def connect(api: FakeAPI) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=5)


def send_request(sock: socket.socket, path: str = "/v1/messages", more: str = "") -> None:
    sock.sendall(POST.format(path=path, more=more).encode())


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        piece = sock.recv(1)
        assert piece, data
        data += piece
    return data


def fetch(script: Script) -> tuple[bytes, bytes]:
    """Return the head and the body of one response, read until the connection closes."""
    with FakeAPI(script) as api, connect(api) as sock:
        send_request(sock, more="connection: close\r\n")
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
        return head, body


def test_a_chunked_response_has_one_chunk_for_each_step():
    """The generated request id is the same in every run."""
    head, body = fetch(SHORT)
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[1] == b"content-type: text/event-stream; charset=utf-8"
    assert lines[2].startswith(b"request-id: req_011C")
    assert lines[3:] == [b"transfer-encoding: chunked"]
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("chunking", "sizes"), [("event", [3, 3]), ("whole", [6]), ("bytes", [1] * 6), (4, [4, 2]), (99, [6])]
)
def test_chunking_sets_the_size_of_each_write(chunking, sizes):
    _, body = fetch(replace(SHORT, chunking=chunking))
    lines = body.split(b"\r\n")
    assert [int(size, 16) for size in lines[:-3:2]] == sizes
    assert b"".join(lines[1:-3:2]) == b"onetwo"


def test_framing_by_length_sends_a_content_length():
    head, body = fetch(replace(SHORT, framing="length"))
    assert b"content-length: 6" in head
    assert body == b"onetwo"


def test_framing_by_close_ends_the_body_with_the_connection():
    """The server closes the connection although the client requested keep-alive."""
    with FakeAPI(replace(SHORT, framing="close")) as api, connect(api) as sock:
        send_request(sock)
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-length" not in head
    assert body == b"onetwo"


def test_gzip_is_flushed_after_every_step():
    """A client can therefore decompress each event when it arrives."""
    script = replace(SHORT, encoding="gzip", framing="close", steps=(Send("one"), Pause(30)))
    with FakeAPI(script) as api, connect(api) as sock:
        send_request(sock)
        assert b"content-encoding: gzip" in read_until(sock, b"\r\n\r\n")
        assert zlib.decompressobj(wbits=31).decompress(sock.recv(100)) == b"one"
    assert gzip.decompress(fetch(replace(SHORT, encoding="gzip", framing="length"))[1]) == b"onetwo"


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_newline_changes_every_line_end_of_the_body(newline):
    script = Script.message()
    _, body = fetch(replace(script, newline=newline, framing="length"))
    generated = body.replace(newline.encode(), b"\n")
    assert generated == script.body()
    assert generated != body


def test_cut_mid_chunk_leaves_a_chunk_open():
    """The connection is closed by FIN within the chunk, after the partial bytes."""
    _, body = fetch(replace(SHORT, steps=(Send("one"), CutMidChunk("data: {"))))
    assert body == b"3\r\none\r\n1000\r\ndata: {"


def test_a_cut_body_is_shorter_than_its_content_length():
    head, body = fetch(replace(SHORT, framing="length").cut_after(1))
    assert b"content-length: 67" in head
    assert body == b"one"


def test_a_reset_follows_the_bytes_sent_before_it():
    """The client reads all sent bytes, then gets ECONNRESET."""
    with FakeAPI(SHORT.cut_after(1, Reset())) as api, connect(api) as sock:
        send_request(sock)
        assert read_until(sock, b"one\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_no_response_closes_the_connection_without_a_byte():
    with FakeAPI({"fin": Script.no_response(), "rst": Script.no_response("rst", delay=0.01)}) as api:
        with connect(api) as sock:
            send_request(sock, "/s/fin/v1/messages")
            assert sock.recv(1) == b""
        with connect(api) as sock:
            send_request(sock, "/s/rst/v1/messages")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_hang_sends_nothing_and_then_closes():
    """Its duration is limited, so that a forgotten test ends."""
    started = time.monotonic()
    _, body = fetch(SHORT.cut_after(1, Hang(0.1)))
    assert body == b"3\r\none\r\n"
    assert time.monotonic() - started >= 0.1


def test_header_delay_and_pauses_delay_the_bytes_after_them():
    with FakeAPI(Script(header_delay=0.1, steps=(Pause(0.1), Send("x")))) as api, connect(api) as sock:
        started = time.monotonic()
        send_request(sock)
        read_until(sock, b"\r\n\r\n")
        head_at = time.monotonic() - started
        read_until(sock, b"x")
        assert 0.1 <= head_at < 0.19
        assert time.monotonic() - started >= 0.2


def test_each_request_takes_the_next_script_of_a_list():
    """The last script repeats. `requests` records the script and the connection, which a clean end keeps open."""
    first, second = replace(SHORT, name="first"), replace(SHORT, name="second", framing="length")
    with FakeAPI({"r": [first, second]}) as api, connect(api) as sock:
        for _ in range(3):
            send_request(sock, "/s/r/v1/messages?beta=true")
            read_until(sock, b"two")
            read_until(sock, b"0\r\n\r\n") if len(api.requests) == 1 else None
        received = api.requests_for("r")
    assert [(request.attempt, request.script_name, request.connection) for request in received] == [
        (1, "first", 1),
        (2, "second", 1),
        (3, "second", 1),
    ]
    assert (received[0].method, received[0].path, received[0].json) == ("POST", "/s/r/v1/messages?beta=true", {})
    assert received[0].headers["content-length"] == "2"


def test_a_chunked_request_body_is_read():
    """Trailers and chunk extensions are skipped, so that the next request is read correctly."""
    with FakeAPI(SHORT) as api, connect(api) as sock:
        sock.sendall(
            b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\n[1,\r\n2\r\n2]\r\n0\r\nt: u\r\n\r\n"
        )
        read_until(sock, b"0\r\n\r\n")
        send_request(sock, "/b")
        read_until(sock, b"0\r\n\r\n")
        assert [(request.path, request.json) for request in api.requests] == [("/a", [1, 2]), ("/b", {})]


def test_a_route_is_chosen_by_path_then_header_then_default():
    """Names may contain any character, and the paths of Bedrock and Vertex work too."""
    routes = {
        "a b/c": Script.plain_response(200, "path"),
        "h": Script.plain_response(200, "header"),
        "default": Script.plain_response(200, "rest"),
    }
    with FakeAPI(routes) as api, connect(api) as sock:
        for path, more, body in (
            (api.url_for("a b/c").removeprefix(api.url) + "/model/m:0/invoke-with-response-stream", "", b"path"),
            (api.url_for("a b/c").removeprefix(api.url) + "/models/m:streamRawPredict", "x-script: h\r\n", b"path"),
            ("/v1/messages", "x-script: h\r\n", b"header"),
            ("/v1/messages", "", b"rest"),
        ):
            send_request(sock, path, more)
            read_until(sock, body)


def test_an_unknown_route_gets_a_404_that_lists_the_known_routes():
    """The body is an API error. `url_for()` raises for such a route."""
    with FakeAPI({"a": SHORT, "b": SHORT}) as api:
        with connect(api) as sock:
            send_request(sock, "/s/c/v1/messages", "connection: close\r\n")
            head, _, body = read_all(sock).partition(b"\r\n\r\n")
        with pytest.raises(KeyError, match="known: a, b"):
            api.url_for("c")
    assert head.startswith(b"HTTP/1.1 404 Not Found")
    assert json.loads(body)["error"] == {
        "type": "not_found_error",
        "message": "the fake API has no route 'c'; known: a, b",
    }


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nx\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_invalid_request_gets_a_400(request_bytes):
    """The server then closes the connection."""
    with FakeAPI(SHORT) as api, connect(api) as sock:
        sock.sendall(request_bytes)
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request")
        assert api.requests == []


@pytest.mark.parametrize("script", [SHORT.cut_after(1, Hang(30)), replace(SHORT, header_delay=30)])
def test_a_disconnect_of_the_client_is_recorded(script):
    """It is noticed while the server sends nothing, before or after the headers."""
    with FakeAPI(script) as api:
        with connect(api) as sock:
            send_request(sock)
            [request] = api.wait_for_requests(1)
            assert (request.client_disconnected, request.completed) == (False, False)
        api.wait_until(lambda requests: requests[0].client_disconnected)
        assert not api.requests[0].completed


def test_waiting_for_a_missing_request_times_out():
    with FakeAPI(SHORT) as api, pytest.raises(TimeoutError, match="requests"):
        api.wait_for_requests(1, timeout=0.01)


def test_stop_ends_open_streams_at_once():
    """This includes a stream that hangs, pauses, or is blocked by a client that does not read."""
    routes = {
        "hang": Script(steps=(Hang(60),)),
        "pause": Script(steps=(Pause(60),)),
        "flood": Script(steps=(Send("x" * 50_000_000),)),
        "idle": SHORT,
    }
    api = FakeAPI(routes)
    api.start()
    socks = [connect(api) for _ in routes]
    for sock, name in zip(socks, routes, strict=True):
        send_request(sock, f"/s/{name}/v1/messages")
    api.wait_for_requests(len(routes))
    started = time.monotonic()
    api.stop()
    api.stop()
    assert time.monotonic() - started < 1
    for sock in socks:
        sock.close()
    with pytest.raises(ConnectionRefusedError):
        connect(api)


def test_a_route_can_be_added_while_the_server_runs():
    with FakeAPI(SHORT) as api, connect(api) as sock:
        url = api.set_route("late", Script.plain_response(200, "new"))
        send_request(sock, url.removeprefix(api.url))
        read_until(sock, b"new")


def test_a_second_start_and_an_empty_route_are_errors():
    with FakeAPI(SHORT) as api, pytest.raises(RuntimeError, match="running"):
        api.start()
    with pytest.raises(TypeError, match="route 'a'"):
        FakeAPI({"a": []})


def test_thousands_of_events_and_100_clients_are_served_within_seconds():
    """5,000 events are sent in one response, then 100 connections are open at once."""
    started = time.monotonic()
    big = replace(Script.message(deltas=5000), framing="close")
    assert fetch(big)[1] == big.body()
    with FakeAPI(Script(steps=(Ping(), Pause(0.2), Ping()))) as api:
        socks = [connect(api) for _ in range(100)]
        for sock in socks:
            send_request(sock, more="connection: close\r\n")
        assert all(read_all(sock).endswith(b"0\r\n\r\n") for sock in socks)
        for sock in socks:
            sock.close()
    assert time.monotonic() - started < 4


def test_botocore_decodes_the_event_stream_of_aws():
    """Chunks, exceptions and checksums are decoded, however the bytes are chunked."""
    eventstream = pytest.importorskip(
        "botocore.eventstream", reason="botocore decodes Bedrock's framing; not installed"
    )
    script = Script(
        steps=(Event("a", {"type": "a", "t": "ü"}), Ping(), Error("throttlingException", "slow down"), End())
    )
    head, body = fetch(replace(script, framing="length", chunking=7).for_bedrock())
    assert b"content-type: application/vnd.amazon.eventstream" in head
    assert b"x-amzn-RequestId: " in head
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(body)
    chunk, ping, error = list(buffer)
    assert chunk.headers == {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    assert json.loads(chunk.payload) == {"bytes": "eyJ0eXBlIjoiYSIsInQiOiLDvCJ9"}
    assert ping.headers[":event-type"] == "chunk"
    assert error.headers[":exception-type"] == "throttlingException"
    assert json.loads(error.payload) == {"message": "slow down"}


def test_for_bedrock_converts_recorded_text():
    """Text that contains no events is not changed."""
    script = Script.from_sse(b'event: a\ndata: {"x":1}\n\n: c\n\nevent: b\r\ndata: 1\r\ndata: 2\r\n\r\n').for_bedrock()
    assert script.steps == (Event("a", '{"x":1}'), Send(": c\n\n"), Event("b", "1\n2"))


def test_responses_are_served_and_cut_over_tls(tmp_path):
    """With an `ssl_context` the server speaks HTTPS; connections are closed as TLS requires."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate, is not installed")
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=cert)
    server.load_cert_chain(cert, key)
    client.check_hostname = False
    with FakeAPI(
        {"ok": SHORT, "cut": SHORT.cut_after(1), "hang": Script(steps=(Hang(30),))}, ssl_context=server
    ) as api:
        assert api.url.startswith("https://")
        for name, ending in (("ok", b"0\r\n\r\n"), ("cut", b"1000\r\n")):
            with client.wrap_socket(connect(api)) as sock:
                send_request(sock, f"/s/{name}/", "connection: close\r\n")
                assert read_all(sock).endswith(ending)
        with client.wrap_socket(connect(api)) as sock:
            send_request(sock, "/s/hang/")
            api.wait_for_requests(3)
        api.wait_until(lambda requests: requests[2].client_disconnected)
