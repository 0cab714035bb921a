"""The environment of an application whose telemetry goes to the receiver: the user's, with changes to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from otel_claude_stream.cli.otlp.endpoint import base_url, without_secrets

DEFAULTS: Final = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
}
"""Set unless the user has set them. The intervals, in milliseconds, are short enough to follow a stream."""
DETAIL: Final = {
    "OTEL_CLAUDE_STREAM_DELTAS": "all",
    "OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "1024",
}
"""For a chart with each delta; set unless the user has set one of them."""
SWITCHES: Final = {
    "OTEL_SDK_DISABLED": ("true",),
    "OTEL_CLAUDE_STREAM_ENABLED": ("false", "0", "no", "off"),
}
"""Variables that switch the instrumentation off, and the values that do so."""
CONFIG_FILES: Final = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
EXPORTER: Final = "OTEL_EXPORTER_OTLP_"
REMOVED: Final = ("ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "INSECURE")
"""Suffixes of exporter variables for the user's collector. The command forwards to it, not the application."""
GRPC_PORT: Final = 4317
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
VALUE_OPTIONS: Final = ("--check-hash-based-pycs",)
"""Long options of Python that take a value."""
LOOPBACK: Final = ("127.0.0.1", "localhost")
PROXIES: Final = ("HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables, and notices about the user's settings that were ignored."""

    variables: dict[str, str]
    notices: tuple[str, ...]


def environment(environ: Mapping[str, str], url: str, command: Sequence[str], *, detail: bool) -> Environment:
    """Return ``environ`` with an exporter to ``url``, the receiver; ``detail`` records each delta for a report."""
    found = dict(environ)
    notices = _conflicts(found)
    for name in [name for name in found if name.startswith(EXPORTER) and name.endswith(REMOVED)]:
        del found[name]
    if detail and not any(found.get(name) for name in DETAIL):
        found |= DETAIL
    for name, value in DEFAULTS.items():
        found[name] = found.get(name) or value
    found[EXPORTER + "ENDPOINT"] = url
    found[EXPORTER + "PROTOCOL"] = "http/protobuf"
    for signal in ("TRACES", "METRICS"):
        name = f"OTEL_{signal}_EXPORTER"
        found[name] = _with_otlp(found.get(name, ""))
    events = found.get("OTEL_CLAUDE_STREAM_EVENTS", "").strip().lower()
    logs = found.get("OTEL_LOGS_EXPORTER") or ("otlp" if events in ("log", "both") else "none")
    found["OTEL_LOGS_EXPORTER"] = logs if logs == "none" else _with_otlp(logs)
    if not found.get("OTEL_SERVICE_NAME") and "service.name=" not in found.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        found["OTEL_SERVICE_NAME"] = service_name(command)
    _bypass_proxies(found)
    return Environment(found, tuple(notices))


def forward_target(environ: Mapping[str, str], option: str | None) -> tuple[str | None, str]:
    """Return the endpoint to forward to, and a notice if the user's endpoint cannot be used for that.

    ``option`` is the value of ``--otlp``, ``none`` for no forwarding. Without it, the endpoint is that of the
    environment. Raises ``ValueError`` for an ``option`` that is not a URL.
    """
    if option is not None:
        return (None if option == "none" else base_url(option)), ""
    text = environ.get(EXPORTER + "ENDPOINT", "").strip()
    if not text:
        single = [name for name in sorted(environ) if name.startswith(EXPORTER) and name.endswith("_ENDPOINT")]
        named = [name for name in single if environ[name].strip()]
        return None, f"not forwarded: {named[0]} is for one signal only; use --otlp URL" if named else ""
    grpc = "not forwarded to {}, a gRPC endpoint; use --otlp with its OTLP/HTTP endpoint (port 4318)"
    protocol = environ.get(EXPORTER + "PROTOCOL", "").strip()
    try:
        base = base_url(text)
    except ValueError as error:
        return None, f"not forwarded: {EXPORTER}ENDPOINT: {error}"
    if protocol == "grpc" or (not protocol and urlsplit(base).port == GRPC_PORT):
        return None, grpc.format(without_secrets(text))
    return base, ""


def service_name(command: Sequence[str]) -> str:
    """Return a service name for a command: its script or module, else its program. Never another argument."""
    program = PurePath(command[0]).stem
    if not program.startswith("python"):
        return program
    rest = iter(command[1:])
    for argument in rest:
        if not argument.startswith("-"):
            return PurePath(argument).stem
        if argument in VALUE_OPTIONS:
            next(rest, None)
        elif not argument.startswith("--"):
            letter, value = _first_with_value(argument)
            if letter == "m":
                return value or next(rest, program)
            if letter == "c" or argument == "-":
                return program
            if letter and not value:
                next(rest, None)
    return program


def _first_with_value(options: str) -> tuple[str, str]:
    """Return the first letter of combined options of Python that takes a value, and the value if it is attached."""
    at = next((at for at, letter in enumerate(options) if letter in "cmWX"), None)
    return ("", "") if at is None else (options[at], options[at + 1 :])


def _conflicts(found: dict[str, str]) -> list[str]:
    """Remove settings under which no telemetry would arrive, and return notices about them."""
    notices = []
    for name, values in SWITCHES.items():
        if found.get(name, "").strip().lower() in values:
            notices.append(f"{name}={found.pop(name)} is ignored: no stream would be recorded")
    notices += [
        f"{name}={found.pop(name)} is ignored: the telemetry would go elsewhere"
        for name in CONFIG_FILES
        if found.get(name)
    ]
    disabled = [name.strip() for name in found.get(DISABLED, "").split(",")]
    if "claude_stream" in disabled:
        found[DISABLED] = ",".join(name for name in disabled if name != "claude_stream")
        notices.append(f"claude_stream in {DISABLED} is ignored: no stream would be recorded")
    if "*" in disabled:
        notices.append(f"{DISABLED}=* switches all instrumentations off: no stream will be recorded")
    if (sampler := found.get("OTEL_TRACES_SAMPLER", "")) and sampler not in ("always_on", "parentbased_always_on"):
        notices.append(f"OTEL_TRACES_SAMPLER={sampler}: streams that it drops are not shown")
    return notices


def _with_otlp(exporters: str) -> str:
    """Return ``exporters`` with one OTLP exporter among them, whose protocol is set separately."""
    names = [name.strip() for name in exporters.split(",")]
    return ",".join([*(name for name in names if name and name != "none" and not name.startswith("otlp")), "otlp"])


def _bypass_proxies(found: dict[str, str]) -> None:
    """Exempt the receiver from a configured proxy."""
    if not any(name.upper() in PROXIES for name in found):
        return
    for name in ("NO_PROXY", "no_proxy"):
        known = [host.strip() for host in found.get(name, "").split(",") if host.strip()]
        found[name] = ",".join([*known, *(host for host in LOOPBACK if host not in known)])
