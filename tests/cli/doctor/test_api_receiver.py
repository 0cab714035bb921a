"""The check of a receiver of the API's spans, against a server that answers as the receiver does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from tests.support.doctor_findings import levels, problems
from tests.support.http_server import serving

from otel_claude_stream.cli.doctor.api_receiver import api_receiver
from otel_claude_stream.cli.doctor.findings import Level
from otel_claude_stream.cli.main import main

GOOD = {"OTELCOL_API_TOKEN": "good"}


class _Receiver(BaseHTTPRequestHandler):
    """Answers by its token, or with the status in the first part of the path."""

    requests: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        token = self.headers["authorization"].removeprefix("Bearer ")
        self.requests.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        status, _, rest = self.path[1:].partition("/")
        if status == "any":
            return self.answer(200)
        if status.isdigit():
            return self.answer(int(status), location=f"/{rest}")
        return self.answer(200 if token == "good" else 401)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    """Run the receiver; yield its URL."""
    _Receiver.requests = []
    with serving(_Receiver) as url:
        yield url


@pytest.mark.parametrize("given", ["", "/", "/v1/traces"])
def test_a_receiver_that_accepts_its_token_and_no_other(receiver: str, given: str) -> None:
    found = levels(api_receiver(f"{receiver}{given}", GOOD))
    assert list(found.values()) == [Level.NOTE, Level.OK, Level.OK, Level.NOTE]
    assert f"{receiver} accepts the token of OTELCOL_API_TOKEN" in found
    assert f"{receiver} refuses another token with 401" in found
    assert _Receiver.requests == [("/v1/traces", b"")] * 2


def test_a_wrong_token_is_named_with_its_variable_and_remedy(receiver: str) -> None:
    section = api_receiver(receiver, {"CONSOLE_TOKEN": "other-secret"}, "CONSOLE_TOKEN")
    (found,) = problems(section)
    assert found.level is Level.ERROR
    assert f"{receiver} refuses the token of CONSOLE_TOKEN with 401, so no span of the API arrives" in found.text
    assert "the same CONSOLE_TOKEN" in found.hint
    assert "other-secret" not in str(section)


@pytest.mark.parametrize(
    ("path", "text", "hint"),
    [
        ("/any", "accepts any token, so strangers can send spans", "not OTELCOL_OTLP_HTTP"),
        ("/403", "refuses the token of OTELCOL_API_TOKEN with 403", "proxy"),
        ("/404", ": it answers 404 Not Found, so no span of the API arrives", "api-spans.yaml"),
        ("/503", ": it answers 503 Service Unavailable", "log of the Collector"),
        ("/307", ": it redirects with 307", "the API disables such a destination"),
    ],
)
def test_other_answers_are_errors(receiver: str, path: str, text: str, hint: str) -> None:
    (found,) = problems(api_receiver(f"{receiver}{path}", GOOD))
    assert found.level is Level.ERROR
    assert text in found.text
    assert hint in found.hint


def test_a_receiver_without_tls_is_named(receiver: str) -> None:
    (found,) = problems(api_receiver(receiver.replace("http:", "https:"), GOOD))
    assert "it does not speak TLS" in found.text
    assert "OTELCOL_API_TLS=true" in found.hint


def test_an_address_without_a_receiver_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (found,) = problems(api_receiver(f"http://127.0.0.1:{port}", GOOD))
    assert "Connection refused" in found.text
    assert "OTELCOL_API_SPANS" in found.hint


@pytest.mark.parametrize(
    ("url", "environ", "text"),
    [
        ("otel.example.com", GOOD, "otel.example.com is not a URL"),
        ("https://", GOOD, "https: is not a URL"),
        ("https://[", GOOD, "https://[ is not a URL"),
        ("https://a", {}, "OTELCOL_API_TOKEN is not set"),
        ("https://a", {"OTELCOL_API_TOKEN": "secret\n"}, "OTELCOL_API_TOKEN has a character that no header may have"),
    ],
)
def test_without_a_url_and_a_token_nothing_is_sent(url: str, environ: dict[str, str], text: str) -> None:
    (found,) = api_receiver(url, environ).findings
    assert found.level is Level.ERROR
    assert found.text.startswith(text)
    assert "secret" not in str(found)


def test_the_command_checks_a_receiver_and_nothing_else(
    receiver: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", "wrong")
    assert main(["doctor", "--api-spans", receiver, "--token-from", "CONSOLE_TOKEN"]) == 2
    shown = capsys.readouterr().out
    assert "refuses the token of CONSOLE_TOKEN with 401" in shown
    assert "Versions" not in shown
    monkeypatch.setenv("OTELCOL_API_TOKEN", "good")
    assert main(["doctor", "--api-spans", receiver]) == 0
