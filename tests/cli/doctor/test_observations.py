"""The observations that the doctor makes of its test stream, with the providers of the user."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Barrier

import pytest
from tests.support.doctor_findings import HTTP, levels, problems
from tests.support.native_tracing import SDK_SCOPE, needs_native_tracing

from otel_claude_stream.cli.doctor import command, export
from otel_claude_stream.cli.doctor import stream as stream_checks
from otel_claude_stream.cli.doctor.command import file_section
from otel_claude_stream.cli.doctor.findings import Finding, Level, Section, note
from otel_claude_stream.cli.doctor.probe import Probe, probe

NOWHERE = {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "chat"}
"""Variables of a user without a running collector. The test stream is not sent to it."""

CONFIGURED = """\
file_format: "1.0"
resource: {attributes: [{name: service.name, value: chat}]}
tracer_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "http://127.0.0.1:9/v1/traces"}}}}]}
meter_provider: {readers: [{periodic: {exporter: {console: {}}}}]}
instrumentation/development:
  python:
    claude_stream: {events: log}
"""


def observed(**environ: str) -> dict[str, Section]:
    """Make the test stream in the environment of a user with these variables; return the sections by title."""
    inherited = {name: value for name, value in os.environ.items() if name != "OTEL_CLAUDE_STREAM_STRICT"}
    variables = {**inherited, **environ}
    return {section.title: section for section in stream_checks.test_stream(variables, file_section(variables))}


def found(sections: dict[str, Section]) -> list[Finding]:
    return [finding for section in sections.values() for finding in problems(section)]


@pytest.mark.slow
def test_events_that_no_exporter_of_log_records_gets() -> None:
    (lost,) = found(observed(**NOWHERE, OTEL_CLAUDE_STREAM_EVENTS="log", OTEL_LOGS_EXPORTER="none"))
    assert lost.level is Level.ERROR
    assert lost.text.startswith("events=log, but no log record of the streams reached an exporter: every event is lost")
    assert lost.hint == "OTEL_LOGS_EXPORTER=otlp, or set events to span"


@pytest.mark.slow
def test_events_that_a_configuration_file_without_logger_provider_loses(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.configuration", reason="this SDK reads no configuration files")
    path = tmp_path / "otel.yaml"
    path.write_text(CONFIGURED, encoding="utf-8")
    sections = observed(OTEL_CONFIG_FILE=str(path))
    (lost,) = found(sections)
    assert lost.text.endswith("every event is lost")
    assert lost.hint == f"add a logger_provider with an exporter to {path}, or set events to span"
    texts = list(levels(sections["Test stream"]))
    assert any(text.startswith("their metrics arrived (") for text in texts), "by the exporter of the file, console"

    path.write_text(
        CONFIGURED + "logger_provider: {processors: [{batch: {exporter: {console: {}}}}]}\n", encoding="utf-8"
    )
    sections = observed(OTEL_CONFIG_FILE=str(path))
    assert found(sections) == []
    assert levels(sections["Test stream"])["their events arrived as log records"] is Level.OK


@pytest.mark.slow
def test_the_sampler_of_a_configuration_file(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.configuration", reason="this SDK reads no configuration files")
    path = tmp_path / "otel.yaml"
    sampler = "tracer_provider: {sampler: {parent_based: {root: {always_off: {}}}}, "
    path.write_text(CONFIGURED.replace("tracer_provider: {", sampler).replace("log}", "span}"), encoding="utf-8")
    (unsampled,) = found(observed(OTEL_CONFIG_FILE=str(path)))
    assert unsampled.level is Level.WARNING
    assert unsampled.text.startswith("0 of 2 streams have a span, by the sampler ParentBased{root:AlwaysOffSampler,")


@pytest.mark.slow
@needs_native_tracing
def test_two_chat_spans_for_each_call() -> None:
    (twice,) = found(observed(**NOWHERE, OTEL_CLAUDE_STREAM_SPAN="always"))
    assert twice.level is Level.WARNING
    assert twice.text.startswith(f"each call has 2 chat spans with tokens, by {SDK_SCOPE} and otel_claude_stream")
    assert "ANTHROPIC_OPEN_TELEMETRY=false" in twice.hint

    sections = observed(**NOWHERE, OTEL_CLAUDE_STREAM_SPAN="always", ANTHROPIC_OPEN_TELEMETRY="false")
    assert found(sections) == []
    assert next(iter(levels(sections["Chat span"]))).endswith("the stream's span (recorded by otel_claude_stream)")


@pytest.mark.slow
def test_no_exporters_no_events_and_no_service_name() -> None:
    environ = {**NOWHERE, "OTEL_SERVICE_NAME": "", "OTEL_SPAN_EVENT_COUNT_LIMIT": "0"}
    sections = observed(**environ, OTEL_METRICS_EXPORTER="none")
    lost, unknown = found(sections)
    assert lost.text == "events=span, but the spans arrived without events"
    assert unknown.text.startswith("service.name is not set: telemetry is recorded as unknown_service")
    assert unknown.hint == "OTEL_SERVICE_NAME=your-service"
    expected = "no metric reached an exporter, since OTEL_METRICS_EXPORTER=none"
    assert levels(sections["Test stream"])[expected] is Level.NOTE


@pytest.mark.slow
def test_metrics_of_a_pull_reader() -> None:
    pytest.importorskip("opentelemetry.exporter.prometheus")
    sections = observed(**NOWHERE, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT="0")
    assert found(sections) == []
    assert any(text.startswith("their metrics arrived (") for text in levels(sections["Test stream"]))


LOCKED = """\
from threading import Lock

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class Exporter(SpanExporter):
    def __init__(self):
        self.lock = Lock()

    def export(self, spans):
        return SpanExportResult.SUCCESS
"""


@pytest.mark.slow
def test_an_exporter_whose_lock_a_forked_child_does_not_release(tmp_path: Path) -> None:
    """A note, since it matters only if the application forks while it streams."""
    (tmp_path / "vendor.py").write_text(LOCKED, encoding="utf-8")
    info = tmp_path / "vendor-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor\nVersion: 1\n", encoding="utf-8")
    entry_point = "[opentelemetry_traces_exporter]\nvendor = vendor:Exporter\n"
    (info / "entry_points.txt").write_text(entry_point, encoding="utf-8")
    sections = observed(**NOWHERE, OTEL_TRACES_EXPORTER="vendor", PYTHONPATH=str(tmp_path))
    assert found(sections) == []
    expected = "a child that is forked while a thread holds a lock of vendor.Exporter records nothing"
    assert levels(sections["Test stream"])[expected] is Level.NOTE

    sections = observed(**NOWHERE, OTEL_TRACES_EXPORTER="otlp")
    assert not [text for text in levels(sections["Test stream"]) if "forked" in text]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}, None),
        ({"OTEL_CONFIG_FILE": "otel.yaml"}, None),
    ],
    ids=["default", "chosen", "no OTLP", "file"],
)
def test_the_stream_has_an_exporter_where_the_default_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str | None
) -> None:
    """The section of exporters reports the missing package; the rest of the pipeline is observed nevertheless."""
    variables: dict[str, str] = {}
    monkeypatch.setattr(export, "importable", lambda module: not module.endswith("grpc"))
    monkeypatch.setattr(stream_checks, "probe", lambda env, *_: variables.update(env) or Probe())
    sections = stream_checks.test_stream(environ, {})
    assert variables.get("OTEL_EXPORTER_OTLP_PROTOCOL") == expected
    notes = [one.text for one in sections[-1].findings if one.text.startswith("made with OTEL_EXPORTER_OTLP_PROTOCOL=")]
    assert len(notes) == (not environ)


@pytest.mark.parametrize(
    ("environ", "version", "reason"),
    [
        ({}, "0.49.0", "not made, since anthropic 0.49.0 is not supported"),
        ({"OTEL_SDK_DISABLED": "true"}, "2.14.0", "not made, since OTEL_SDK_DISABLED=true"),
        ({"OTEL_CLAUDE_STREAM_ENABLED": "no"}, "2.14.0", "not made, since the instrumentation is not enabled"),
    ],
)
def test_what_another_section_reports_is_not_reported_again(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], version: str, reason: str
) -> None:
    monkeypatch.setattr(stream_checks, "version_of", lambda name: version)
    assert stream_checks.test_stream(environ, {}) == [Section("Test stream", (note(reason),))]


def test_the_probe_of_the_providers_does_not_import_the_sdk(tmp_path: Path) -> None:
    (tmp_path / "anthropic.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    result = probe({**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (result.failure, result.active) == ("", False)
    assert result.tracer_provider.endswith("ProxyTracerProvider")


def test_the_two_probes_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has no streams. The other makes both, since the import of the SDK takes most of the time."""
    started: list[int] = []
    both = Barrier(2, timeout=10)

    def meet(environ: object, urls: tuple[str, ...] = (), launcher: object = ()) -> Probe:
        started.append(len(urls))
        both.wait()
        return Probe()

    monkeypatch.setattr(command, "probe", meet)
    monkeypatch.setattr(stream_checks, "probe", meet)
    assert command.check_everything(os.environ, offline=True, stream=True)[0].title == "Versions"
    assert sorted(started) == [0, 3]
