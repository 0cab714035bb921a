"""The environment of an application that `run` starts: the user's own, with telemetry coming to us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from otel_claude_stream.cli.otlp.forward import endpoint

DEFAULTS: Final = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
}
"""Set unless the user did. The last two, in milliseconds: often enough to follow."""
DETAIL: Final = {
    "OTEL_CLAUDE_STREAM_DELTAS": "all",
    "OTEL_CLAUDE_STREAM_EVENT_BUDGET": "1000",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "1024",
}
"""For a picture with each delta in it; set unless the user set one of them."""
SWITCHES: Final = {
    "OTEL_SDK_DISABLED": ("true",),
    "OTEL_CLAUDE_STREAM_ENABLED": ("false", "0", "no", "off"),
}
"""Variables that would switch off what `run` is for, by these values."""
CONFIG_FILES: Final = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
EXPORTER: Final = "OTEL_EXPORTER_OTLP_"
TAKEN: Final = ("ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "INSECURE")
"""Ends of the exporter's variables that describe the way to the user's collector: ours to go, not the application's."""
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
LOOPBACK: Final = ("127.0.0.1", "localhost")
PROXIES: Final = ("HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables, and in words what of the user's was set aside."""

    variables: dict[str, str]
    notices: tuple[str, ...]


def environment(environ: Mapping[str, str], url: str, command: Sequence[str], *, detail: bool) -> Environment:
    """``environ`` with its telemetry to ``url``, the receiver; ``detail`` for a report with each delta in it."""
    found = dict(environ)
    notices = _conflicts(found)
    for name in [name for name in found if name.startswith(EXPORTER) and name.endswith(TAKEN)]:
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
    _no_proxy_to_us(found)
    return Environment(found, tuple(notices))


def forward_target(environ: Mapping[str, str], given: str | None) -> tuple[str | None, str]:
    """Where everything goes as well, and a notice if the user's own endpoint cannot be that place.

    ``given`` is what ``--otlp`` said, ``none`` for nowhere; without it the user's own endpoint. Raises ``ValueError``
    for a ``given`` that is no URL.
    """
    if given is not None:
        return (None if given == "none" else endpoint(given)), ""
    text = environ.get(EXPORTER + "ENDPOINT", "").strip()
    if not text:
        single = [name for name in sorted(environ) if name.startswith(EXPORTER) and name.endswith("_ENDPOINT")]
        named = [name for name in single if environ[name].strip()]
        return None, f"not sent on, since only {named[0]} says where; --otlp URL would" if named else ""
    grpc = "not sent on to {}, which is for gRPC; --otlp URL of its OTLP/HTTP endpoint (port 4318) would"
    protocol = environ.get(EXPORTER + "PROTOCOL", "").strip()
    try:
        base = endpoint(text)
    except ValueError as error:
        return None, f"not sent on: {EXPORTER}ENDPOINT: {error}"
    if protocol == "grpc" or (not protocol and base.endswith(":4317")):
        return None, grpc.format(text)
    return base, ""


def service_name(command: Sequence[str]) -> str:
    """A name for an application without one: its script or module, else its program."""
    program = PurePath(command[0]).stem
    if not program.startswith("python"):
        return program
    rest = iter(command[1:])
    for argument in rest:
        if argument == "-m":
            return next(rest, program)
        if argument == "-c":
            return program
        if argument in ("-W", "-X"):
            next(rest, None)
        elif not argument.startswith("-"):
            return PurePath(argument).stem
    return program


def _conflicts(found: dict[str, str]) -> list[str]:
    """Takes out what would leave us without anything to show; says so."""
    notices = []
    for name, values in SWITCHES.items():
        if found.get(name, "").strip().lower() in values:
            notices.append(f"{name}={found.pop(name)} is set aside: nothing would be seen")
    notices += [
        f"{name}={found.pop(name)} is set aside: it would send the telemetry elsewhere"
        for name in CONFIG_FILES
        if found.get(name)
    ]
    disabled = [name.strip() for name in found.get(DISABLED, "").split(",")]
    if "claude_stream" in disabled:
        found[DISABLED] = ",".join(name for name in disabled if name != "claude_stream")
        notices.append(f"claude_stream in {DISABLED} is set aside: nothing would be seen")
    if "*" in disabled:
        notices.append(f"{DISABLED}=* switches everything off: nothing will be seen")
    if (sampler := found.get("OTEL_TRACES_SAMPLER", "")) and sampler not in ("always_on", "parentbased_always_on"):
        notices.append(f"OTEL_TRACES_SAMPLER={sampler}: streams that it drops are not seen here either")
    return notices


def _with_otlp(exporters: str) -> str:
    """The exporters in ``exporters``, with OTLP among them in whatever protocol we set."""
    names = [name.strip() for name in exporters.split(",")]
    return ",".join([*(name for name in names if name and name != "none" and not name.startswith("otlp")), "otlp"])


def _no_proxy_to_us(found: dict[str, str]) -> None:
    """Where a proxy is configured, ours is not asked for through it."""
    if not any(name.upper() in PROXIES for name in found):
        return
    for name in ("NO_PROXY", "no_proxy"):
        known = [host.strip() for host in found.get(name, "").split(",") if host.strip()]
        found[name] = ",".join([*known, *(host for host in LOOPBACK if host not in known)])
