"""The exporters that a declarative configuration file (`OTEL_CONFIG_FILE`) names, as the doctor looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final
from urllib.parse import unquote

from otel_claude_stream.cli.doctor.findings import Finding, error, ok, warning
from otel_claude_stream.cli.doctor.target import GRPC, HTTP, PORTS, Target

PROVIDERS: Final = (("TRACES", "tracer_provider"), ("METRICS", "meter_provider"), ("LOGS", "logger_provider"))
PARTS: Final = ("processors", "readers")
"""Where the exporters of a provider stand: in span and log processors, in metric readers."""
PROTOCOLS: Final = {"otlp_http": HTTP, "otlp_grpc": GRPC}


def declared_exporters(path: str) -> tuple[list[Target], list[Finding]]:
    """Where each signal goes by OTLP, and what else there is to say of the file."""
    try:
        from opentelemetry.configuration import load_config_file

        found = load_config_file(path)
    except ImportError as failure:
        return [], [
            error(f"OTEL_CONFIG_FILE cannot be read: {failure}", "pip install 'opentelemetry-sdk[file-configuration]'")
        ]
    except Exception as failure:  # noqa: BLE001 - whatever is wrong with it, it is what the doctor is asked for
        return [], [error(f"{path} is not valid: {_first_line(failure)}", "OpenTelemetry would set up nothing")]
    if getattr(found, "disabled", None):
        return [], [warning(f"{path} says disabled: true: there is no telemetry", "")]
    targets: list[Target] = []
    findings: list[Finding] = []
    for signal, provider in PROVIDERS:
        exporters = list(_exporters(getattr(found, provider, None)))
        for name, settings in exporters:
            if name in PROTOCOLS:
                targets.append(_target(signal, PROTOCOLS[name], settings))
            else:
                findings.append(ok(f"{signal.lower()}: {name.replace('_development', '')}"))
        if not exporters and signal != "LOGS":
            findings.append(warning(f"{signal.lower()}: {path} names no exporter", f"see {provider} in it"))
    return targets, findings


def _exporters(provider: Any) -> Iterator[tuple[str, Any]]:
    """Every exporter of a provider, by its name in the file."""
    for part in PARTS:
        for entry in getattr(provider, part, None) or ():
            for _, kind in _said(entry):
                exporter = getattr(kind, "exporter", None)
                yield from _said(exporter)


def _said(choice: Any) -> Iterator[tuple[str, Any]]:
    """What was chosen among the fields of a part of the file."""
    for field in fields(choice) if is_dataclass(choice) else ():
        value = getattr(choice, field.name)
        if value is not None:
            yield field.name, value


def _target(signal: str, protocol: str, settings: Any) -> Target:
    endpoint = getattr(settings, "endpoint", None)
    path = f"/v1/{signal.lower()}" if protocol == HTTP else ""
    headers = {pair.name: str(pair.value or "") for pair in getattr(settings, "headers", None) or ()}
    for pair in (getattr(settings, "headers_list", None) or "").split(","):
        name, equals, value = pair.partition("=")
        if equals:
            headers.setdefault(name.strip(), unquote(value.strip()))
    return Target(
        signal, protocol, endpoint or f"http://localhost:{PORTS[protocol]}{path}", headers, endpoint is not None
    )


def _first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0][:300]
