"""The endpoints to which each signal is exported by OTLP, from environment variables or from ``OTEL_CONFIG_FILE``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from otel_claude_stream.cli.doctor.findings import Finding, error, ok, warning
from otel_claude_stream.cli.otlp.endpoint import parse_headers

GRPC, HTTP = "grpc", "http/protobuf"
PORTS: Final = {GRPC: 4317, HTTP: 4318}
PREFIX: Final = "OTEL_EXPORTER_OTLP_"
CONFIG_FILES: Final = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
PROVIDERS: Final = (("TRACES", "tracer_provider"), ("METRICS", "meter_provider"), ("LOGS", "logger_provider"))
PARTS: Final = ("processors", "readers")
"""Parts of a provider in the file that have exporters: span and log processors, metric readers."""
PROTOCOLS: Final = {"otlp_http": HTTP, "otlp_grpc": GRPC}


@dataclass(frozen=True, slots=True)
class Target:
    """The OTLP endpoint of one signal. It is ``explicit`` if configured, rather than OpenTelemetry's default."""

    signal: str
    protocol: str
    url: str
    headers: Mapping[str, str]
    explicit: bool


def target_of(signal: str, exporter: str, environ: Mapping[str, str]) -> Target:
    """Return the target of an OTLP exporter by the environment variables of the OpenTelemetry specification."""

    def value(name: str) -> str:
        return (environ.get(f"{PREFIX}{signal}_{name}") or environ.get(PREFIX + name) or "").strip()

    protocol = {"otlp_proto_grpc": GRPC, "otlp_proto_http": HTTP}.get(exporter) or value("PROTOCOL") or GRPC
    whole = (environ.get(f"{PREFIX}{signal}_ENDPOINT") or "").strip()
    base = (environ.get(PREFIX + "ENDPOINT") or "").strip()
    url = whole or base or f"http://localhost:{PORTS.get(protocol, 4318)}"
    if protocol != GRPC and not whole:
        url = f"{url.rstrip('/')}/v1/{signal.lower()}"
    return Target(signal, protocol, url, parse_headers(value("HEADERS")), bool(whole or base))


def declared_exporters(path: str) -> tuple[list[Target], list[Finding]]:
    """Return the OTLP targets of a declarative configuration file, and findings about the file."""
    try:
        from opentelemetry.configuration import load_config_file

        found = load_config_file(path)
    except ImportError as failure:
        return [], [
            error(f"OTEL_CONFIG_FILE cannot be read: {failure}", "pip install 'opentelemetry-sdk[file-configuration]'")
        ]
    except Exception as failure:  # noqa: BLE001 - any fault of the file is a finding
        return [], [
            error(
                f"{path} is not valid, so OpenTelemetry would configure nothing: {_first_line(failure)}", "correct it"
            )
        ]
    if getattr(found, "disabled", None):
        return [], [warning(f"{path} sets disabled: true, so no telemetry is recorded", "remove that line")]
    targets: list[Target] = []
    findings: list[Finding] = []
    for signal, provider in PROVIDERS:
        exporters = list(_exporters(getattr(found, provider, None)))
        for name, settings in exporters:
            if name in PROTOCOLS:
                targets.append(_target_of_file(signal, PROTOCOLS[name], settings))
            else:
                findings.append(ok(f"{signal.lower()}: {name.replace('_development', '')}"))
        if not exporters and signal != "LOGS":
            findings.append(warning(f"{signal.lower()}: {path} has no exporter", f"add one to {provider}"))
    return targets, findings


def _exporters(provider: Any) -> Iterator[tuple[str, Any]]:
    """Yield every exporter of a provider, with its name in the file."""
    for part in PARTS:
        for entry in getattr(provider, part, None) or ():
            for _, kind in _values(entry):
                exporter = getattr(kind, "exporter", None)
                yield from _values(exporter)


def _values(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a part of the file that have a value."""
    for field in fields(part) if is_dataclass(part) else ():
        value = getattr(part, field.name)
        if value is not None:
            yield field.name, value


def _target_of_file(signal: str, protocol: str, settings: Any) -> Target:
    endpoint = getattr(settings, "endpoint", None)
    path = f"/v1/{signal.lower()}" if protocol == HTTP else ""
    headers = parse_headers(getattr(settings, "headers_list", None) or "")
    headers |= {pair.name: str(pair.value or "") for pair in getattr(settings, "headers", None) or ()}
    return Target(
        signal, protocol, endpoint or f"http://localhost:{PORTS[protocol]}{path}", headers, endpoint is not None
    )


def _first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0][:300]
