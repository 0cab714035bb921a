"""The checks of exporters and their endpoints."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.support.doctor_findings import HTTP, levels, problems
from tests.support.http_server import serving

from otel_claude_stream.cli.doctor import export
from otel_claude_stream.cli.doctor.export import exporters
from otel_claude_stream.cli.doctor.findings import Level
from otel_claude_stream.cli.doctor.targets import declared_exporters, target_of


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(int(self.path.split("/")[1]))

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    """Run a server that answers with the status in its path; yield its URL."""
    with serving(_Answers) as url:
        yield url


def test_a_user_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "importable", lambda module: not module.endswith("grpc"))
    found = exporters({}, offline=True)
    (one,) = problems(found)
    assert one.level is Level.WARNING
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is not set, so opentelemetry-instrument uses grpc" in one.text
    assert "traces, metrics, logs: grpc to http://localhost:4317, not checked" in levels(found)


@pytest.mark.parametrize("chosen", [{}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}])
def test_an_exporter_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str]) -> None:
    monkeypatch.setattr(export, "importable", lambda module: not module.endswith("grpc"))
    (found,) = problems(exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", **chosen}, offline=True))
    assert found.level is Level.ERROR
    assert "opentelemetry-exporter-otlp-proto-grpc" in found.hint


def test_a_separate_target_for_one_signal() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318/base/",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/in",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=x%20y",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "c=2",
        **HTTP,
    }
    assert target_of("TRACES", "otlp", environ).url == "http://b/in"
    assert target_of("METRICS", "otlp", environ).url == "http://a:4318/base/v1/metrics"
    assert target_of("TRACES", "otlp", environ).headers == {"a": "1", "b": "x y"}
    assert target_of("METRICS", "otlp", environ).headers == {"c": "2"}
    assert target_of("LOGS", "otlp_proto_grpc", environ).protocol == "grpc"


@pytest.mark.parametrize(
    ("status", "fault", "hint"),
    [
        (401, "it answers 401 Unauthorized", "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "it answers 404 Not Found", "without /v1/traces"),
        (500, "it answers 500 Internal Server Error", "see the collector's log"),
    ],
)
def test_endpoints_that_answer_with_an_error(answering: str, status: int, fault: str, hint: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{answering}/{status}", **HTTP}
    (found,) = problems(exporters(environ))
    assert found.level is Level.ERROR
    assert found.text == f"traces, metrics, logs: http/protobuf to {answering}/{status}: {fault}"
    assert hint in found.hint


def test_an_endpoint_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (found,) = problems(
            exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", **HTTP})
        )
    assert "timed out" in found.text


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_tls_to_a_plain_port(answering: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "importable", lambda module: True)
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": answering.replace("http://", "https://"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    (found,) = problems(exporters(environ))
    assert found.level is Level.ERROR
    assert ": it does not speak TLS (" in found.text
    assert found.hint == "if the port is not encrypted, use http:// in OTEL_EXPORTER_OTLP_ENDPOINT"


def test_a_certificate_that_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = ssl.SSLCertVerificationError(1, "certificate verify failed")
    failure.verify_message = "self-signed certificate"

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError(failure)

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    (found,) = problems(exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a:4318", **HTTP}))
    assert found.text.endswith(": its certificate is not trusted: self-signed certificate")
    assert found.hint.startswith("OTEL_EXPORTER_OTLP_CERTIFICATE=")


def test_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "importable", lambda module: True)
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "console",
    }
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = f"127.0.0.1:{listening.getsockname()[1]}"
        found = exporters({**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": where})
    assert levels(found) == {
        f"traces: grpc to {where}, which answers": Level.OK,
        "metrics: console": Level.OK,
        "logs: none": Level.OK,
    }
    (found_bad,) = problems(exporters({**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": where}))
    assert "Connection refused" in found_bad.text


@pytest.mark.parametrize(
    ("environ", "level", "message"),
    [
        ({"OTEL_CONFIG_FILE": "otel.yaml"}, Level.NOTE, "the file otel.yaml configures OpenTelemetry"),
        ({"OTEL_TRACES_EXPORTER": "none"}, Level.WARNING, "traces: none"),
        ({"OTEL_TRACES_SAMPLER": "always_off", **HTTP}, Level.WARNING, "no span is recorded"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", **HTTP}, Level.NOTE, "only a part of the streams"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, Level.ERROR, "http/json is not a protocol"),
    ],
)
def test_other_findings(environ: dict[str, str], level: Level, message: str) -> None:
    assert level in [one.level for one in exporters(environ, offline=True).findings if message in one.text]


def test_an_endpoint_that_is_not_a_url() -> None:
    (found,) = problems(exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", **HTTP}))
    assert "not a URL" in found.text


CONFIGURED = """\
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {exporter: {otlp_http: {endpoint: "%s/503/v1/traces", headers: [{name: a, value: b}]}}}
    - simple: {exporter: {console: {}}}
meter_provider:
  readers:
    - periodic: {exporter: {otlp_grpc: {}}}
"""


def configured(tmp_path: Path, text: str) -> dict[str, str]:
    """Return the environment of a process with this configuration file."""
    pytest.importorskip("opentelemetry.configuration", reason="this SDK reads no configuration files")
    path = tmp_path / "otel.yaml"
    path.write_text(text, encoding="utf-8")
    return {"OTEL_CONFIG_FILE": str(path)}


def test_the_exporters_of_a_configuration_file(tmp_path: Path, answering: str) -> None:
    """The exporters of the file are reported, with the answers of their endpoints."""
    found = exporters(configured(tmp_path, CONFIGURED % answering))
    texts = levels(found)
    assert texts["traces: console"] is Level.OK
    assert texts[f"traces: http/protobuf to {answering}/503: it answers 503 Service Unavailable"] is Level.ERROR
    assert any(
        text.startswith("metrics: grpc to http://localhost:4317, OpenTelemetry's default endpoint") for text in texts
    )


def test_a_target_of_a_configuration_file(tmp_path: Path) -> None:
    environ = configured(
        tmp_path,
        CONFIGURED.replace("{otlp_grpc: {}}", '{otlp_http: {headers_list: "c=x%%20y,d"}}') % "http://a",
    )
    targets, _ = declared_exporters(environ["OTEL_CONFIG_FILE"])
    assert [(one.signal, one.url, dict(one.headers), one.explicit) for one in targets] == [
        ("TRACES", "http://a/503/v1/traces", {"a": "b"}, True),
        ("METRICS", "http://localhost:4318/v1/metrics", {"c": "x y"}, False),
    ]


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("nonsense: [", Level.ERROR, "is not valid"),
        ('file_format: "1.0"\ndisabled: true', Level.WARNING, "no telemetry is recorded"),
        ('file_format: "1.0"\ntracer_provider: {processors: [{batch: {exporter: {console: {}}}}]}', Level.WARNING,
         "metrics: "),
    ],
    ids=["broken", "disabled", "no metrics"],
)  # fmt: skip
def test_a_configuration_file_without_exporters(tmp_path: Path, text: str, level: Level, message: str) -> None:
    (found,) = problems(exporters(configured(tmp_path, text), offline=True))
    assert found.level is level
    assert message in found.text
