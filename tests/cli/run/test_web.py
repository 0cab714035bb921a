"""The server of the page: who may read it, and readers that are slow, many, or gone."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support import cli_samples as samples
from tests.support.live_pages import TITLE, Reader, connect, open_stream, serving, state
from tests.support.process_table import wait_until
from tests.support.report_pages import data_of, fleet

from otel_claude_stream.cli import loopback
from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.run import web
from otel_claude_stream.cli.run.web import PageServer
from otel_claude_stream.cli.view import feed as feed_module
from otel_claude_stream.cli.view.feed import MOST_OPEN, Feed, event
from otel_claude_stream.cli.view.report import TEXTS

VIEWS = samples.views(samples.healthy(), samples.span(samples.CUT, start=1.0, span_id="1" * 16))
GUARDED = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Connection": "close",
}


def answer(connection: socket.socket) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of the answer to a request."""
    with connection, connection.makefile("rb") as file:
        head, _, body = file.read().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body.decode()


def get(server: PageServer, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    return answer(connect(server, path, **headers))


def test_the_page_and_its_headers() -> None:
    with serving() as (server, _):
        status, headers, body = get(server)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert GUARDED.items() <= headers.items()
    assert headers["Server"] == "otel-claude-stream"
    assert not [name for name in headers if name.startswith("Access-Control")]
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; base-uri 'none'; form-action 'none'; connect-src 'self'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert "http-equiv" not in body
    assert data_of(body)[0] == {"live": "events", "title": TITLE}


@pytest.mark.parametrize("path", ["/", "/events"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "script"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "empty"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "iframe"}, 403),
    ],
)
def test_other_hosts_origins_and_sites_are_refused(path: str, headers: dict[str, str], status: int) -> None:
    """A name that resolves to 127.0.0.1, another page in the same browser, and a frame have no access."""
    with serving() as (server, feed):
        feed.publish(state(*VIEWS), TITLE)
        found, answered, body = get(server, path, **headers)
        assert found == status
        assert GUARDED.items() <= answered.items()
        assert answered["Content-Security-Policy"] == web.CLOSED_POLICY
        assert "claude-sonnet" not in body
        assert server.token not in body


def test_the_page_itself_may_read_its_events() -> None:
    with serving() as (server, feed):
        feed.publish(state(*VIEWS), TITLE, 0)
        port = server.server_port
        for host in (f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
            own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec_Fetch_Site": "same-origin"}
            status, headers, body = get(server, "/events", **own)
            assert (status, headers["Content-Type"]) == (200, "text/event-stream")
            assert body.count("event: stream\n") == 2
        assert get(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")[0] == 200, "a link to the page"


@pytest.mark.parametrize("path", ["/", "/events"])
@pytest.mark.parametrize("token", ["wrong", "", "{}x", "{0:.31}", "\xff" * 32, "%00"])
def test_a_wrong_token_is_not_found(path: str, token: str) -> None:
    """No other check runs before, so nothing is learned from the answer."""
    with serving() as (server, _):
        wrong = f"/{token.format(server.token)}{path}"
        with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
            connection.sendall(f"GET {wrong} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode("latin-1"))
            status, headers, body = answer(connection)
    assert (status, body) == (404, "not found")
    assert GUARDED.items() <= headers.items()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("POST {path}events HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("OPTIONS {path} HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("GET {path}other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET {path}../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("<script> {path} HTTP/1.1\r\n\r\n", 501),
        ("GET {path} HTTP/1.1\r\n" + "X: y\r\n" * 200 + "\r\n", 431),
        ("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n\r\n", 403),
    ],
)
def test_other_requests_are_refused(request_text: str, status: int) -> None:
    with serving() as (server, _):
        text = request_text.format(path=urlsplit(server.url).path, port=server.server_port)
        with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
            connection.sendall(text.encode())
            found, headers, body = answer(connection)
    assert found == status
    assert GUARDED.items() <= headers.items()
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Access-Control-Allow-Origin" not in headers
    assert body or status == 501


def test_a_reader_gets_all_streams_first_and_then_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PERIOD", 0.01)
    views = fleet(40)
    with serving() as (server, feed), Reader(server) as reader:
        feed.publish(state(*views), TITLE)
        rows, shown = reader.until_state()
        assert {row["texts"]["trace"] for row in rows} == {view.key for view in views}
        assert (shown["first"], shown["gone"], shown["ended"]) == (True, [], 40)
        assert shown["failed"] == sum(1 for view in views if view.outcome == "failed")
        changed = replace(views[3], model="claude-other")
        feed.publish(state(changed, *views[5:]), TITLE)
        rows, shown = reader.until_state()
        assert [(row["texts"]["trace"], row["texts"]["model"]) for row in rows] == [(changed.key, "claude-other")]
        assert (shown["first"], set(shown["gone"])) == (False, {views[n].key for n in (0, 1, 2, 4)})
        feed.publish(state(changed, *views[5:], streams=(open_stream(),)), TITLE)
        rows, shown = reader.until_state()
        assert (rows, shown["count"], shown["open"][0]["doing"]) == ([], 1, "receiving, in text")
        feed.publish(state(changed, *views[5:]), TITLE, 7)
        assert reader.until_state()[1]["code"] == 7


def test_a_state_has_the_figures_of_one_snapshot() -> None:
    """Open streams that hang come first. All of them are counted, and some are listed."""
    hang = [open_stream(n, f"silent for {n} s", hangs=float(n), area="silent", lasts=float(n)) for n in (5, 9)]
    many = [open_stream(n) for n in range(100, 100 + MOST_OPEN)]
    with serving() as (server, feed), Reader(server) as reader:
        feed.publish(state(*VIEWS, streams=(*many, *hang)), TITLE)
        rows, shown = reader.until_state()
    assert [one["name"] for one in shown["open"][:3]] == ["claude-9", "claude-5", "claude-100"]
    assert len(shown["open"]) == MOST_OPEN
    assert (shown["count"], shown["hanging"], shown["ended"], shown["failed"]) == (MOST_OPEN + 2, 2, 2, 1)
    assert len(rows) == shown["ended"]
    assert set(rows[0]["texts"]) == set(TEXTS)


def test_ten_readers_get_the_same_and_a_stream_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(feed_module, "event", lambda name, data: made.append(name) or event(name, data))
    views = fleet(30)
    with serving() as (server, feed):
        feed.publish(state(*views), TITLE)
        readers = [Reader(server) for _ in range(10)]
        found = [reader.until_state() for reader in readers]
        for reader in readers:
            reader.close()
    assert all(one == found[0] for one in found)
    assert len(found[0][0]) == 30
    assert (made.count("stream"), made.count("state")) == (30, 10)


def test_a_slow_reader_disturbs_no_other_and_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no memory, since nothing is queued for it, and no thread for longer than the deadline."""
    monkeypatch.setattr(web, "SEND_SECONDS", 2.0)
    monkeypatch.setattr(feed_module, "PERIOD", 0.01)
    large = [replace(view, note="x" * 100_000) for view in fleet(200)]
    with serving() as (server, feed), connect(server) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wait_until(lambda: free_places(server) == web.MAX_READERS - 1)
        feed.publish(state(*large), TITLE)
        with Reader(server) as reader:
            assert len(reader.until_state()[0]) == 200
            feed.publish(state(*large, streams=(open_stream(),)), TITLE)
            assert reader.until_state()[1]["count"] == 1
        wait_until(lambda: free_places(server) >= web.MAX_READERS - 1)
        feed.publish(state(*large), TITLE)
        wait_until(lambda: free_places(server) == web.MAX_READERS)


def test_a_reader_that_leaves_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_READERS", 2)
    monkeypatch.setattr(feed_module, "HEARTBEAT", 0.05)
    with serving() as (server, feed):
        feed.publish(state(*VIEWS), TITLE)
        readers = [Reader(server) for _ in range(2)]
        status, _, body = get(server, "/events")
        assert (status, body) == (503, "2 pages are connected already; close one")
        readers[0].close()
        wait_until(lambda: free_places(server) == 1)
        with Reader(server) as again:
            assert len(again.until_state()[0]) == 2
        readers[1].close()


def free_places(server: PageServer) -> int:
    """Return the number of readers for which the server has room."""
    taken = 0
    while server.readers.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        server.readers.release()
    return taken


def test_a_request_that_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "HEAD_SECONDS", 0.3)
    with serving() as (server, _), socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
        connection.sendall(b"GET /")
        assert connection.recv(100) == b""


def test_readers_get_the_last_state_before_the_server_ends() -> None:
    feed = Feed()
    with PageServer(feed, TITLE) as server:
        feed.publish(state(), TITLE)
        readers = [Reader(server) for _ in range(3)]
        for reader in readers:
            assert reader.until_state()[1]["code"] is None
        feed.publish(state(*VIEWS), TITLE, 3)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for reader in readers:
        rows, shown = reader.until_state()
        assert (len(rows), shown["code"]) == (2, 3)
        assert reader.event() == ("", None)
        reader.close()
    with pytest.raises(OSError, match="refused"):
        connect(server)


def test_rows_of_streams_that_are_dropped_are_forgotten() -> None:
    feed = Feed()
    for views in (VIEWS, VIEWS[:1], ()):
        feed.publish(state(*views), TITLE, 0)
        feed.close()
        list(feed.follow())
        assert len(feed._rows) == len(views)


def test_an_event_is_one_line_of_ascii() -> None:
    evil = "\r\n\r\nevent: state\ndata: {}\u2028\u2029\x85\x00</script>\U0001f600"
    text = event("stream", {"a": evil})
    assert text.isascii()
    assert text.count(b"\n") == 3
    assert b"\r" not in text
    assert json.loads(text.split(b"data: ", 1)[1]) == {"a": evil}


def test_a_port_that_is_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["run", "--web", "--port", str(port), "--", "python", str(tmp_path / "never.py")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (f"otel-claude-stream: --port {port} is in use; name another port, or none for a free one\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "8080"], "--port is the port of the page; add --web"),
        (["--web", "--port", "0"], "--port 0: a port is a number from 1 to 65535"),
        (["--web", "--port", "65536"], "--port 65536: a port is a number from 1 to 65535"),
        (["--web", "--port", "x"], "argument --port: invalid int value: 'x'"),
    ],
)
def test_wrong_ports(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments, "--", "true"]) == 2
    assert message in capsys.readouterr().err
