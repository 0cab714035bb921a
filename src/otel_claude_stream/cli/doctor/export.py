"""The doctor's look at exporters: which are in force for each signal, whether they are installed, and who answers."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import unquote, urlsplit

from otel_claude_stream.cli.doctor.file import declared_exporters
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor.target import GRPC, HTTP, PORTS, Target
from otel_claude_stream.cli.errors import importable

SECONDS: Final = 2.0
"""For an endpoint to answer: longer than any that would do for an exporter, whose own limit is 10 s for a batch."""
PREFIX: Final = "OTEL_EXPORTER_OTLP_"
SIGNALS: Final = ("TRACES", "METRICS", "LOGS")
PACKAGES: Final = {
    GRPC: ("opentelemetry.exporter.otlp.proto.grpc", "opentelemetry-exporter-otlp-proto-grpc"),
    HTTP: ("opentelemetry.exporter.otlp.proto.http", "opentelemetry-exporter-otlp-proto-http"),
}
NOWHERE: Final = (
    f"{PREFIX}ENDPOINT=http://your-collector:4318 with {PREFIX}PROTOCOL=http/protobuf, or no collector at all: "
    "otel-claude-stream run -- python app.py"
)
HINTS: Final = {
    401: "check OTEL_EXPORTER_OTLP_HEADERS",
    403: "check OTEL_EXPORTER_OTLP_HEADERS",
    404: f"check the path: {PREFIX}ENDPOINT is the base, without /v1/traces; {PREFIX}TRACES_ENDPOINT is the whole URL",
}


def exporters(environ: Mapping[str, str], *, offline: bool = False) -> Section:
    """What `opentelemetry-instrument` would set up with ``environ``; ``offline`` asks no endpoint."""
    found: list[Finding] = []
    if path := environ.get("OTEL_CONFIG_FILE") or environ.get("OTEL_EXPERIMENTAL_CONFIG_FILE"):
        targets, findings = declared_exporters(path)
        found += [note(f"OpenTelemetry is configured by the file {path}"), *findings]
        found += [*_installed(targets, environ), *_asked(targets, offline=offline)]
        return Section("Export", tuple(found))
    targets = []
    for signal in SIGNALS:
        names = [name.strip() for name in (environ.get(f"OTEL_{signal}_EXPORTER") or "otlp").split(",")]
        other = [name for name in names if not name.startswith("otlp")]
        if other:
            level = warning if other == ["none"] == names and signal != "LOGS" else ok
            found.append(level(f"{signal.lower()}: {', '.join(other)}"))
        targets += [target_of(signal, name, environ) for name in names if name.startswith("otlp")]
    found += _installed(targets, environ)
    found += _asked(targets, offline=offline)
    return Section("Export", (*found, *_sampling(environ)))


def target_of(signal: str, exporter: str, environ: Mapping[str, str]) -> Target:
    """Where an OTLP exporter of a signal sends to, as its specification has it."""

    def said(name: str) -> str:
        return (environ.get(f"{PREFIX}{signal}_{name}") or environ.get(PREFIX + name) or "").strip()

    protocol = {"otlp_proto_grpc": GRPC, "otlp_proto_http": HTTP}.get(exporter) or said("PROTOCOL") or GRPC
    whole = (environ.get(f"{PREFIX}{signal}_ENDPOINT") or "").strip()
    base = (environ.get(PREFIX + "ENDPOINT") or "").strip()
    url = whole or base or f"http://localhost:{PORTS.get(protocol, 4318)}"
    if protocol != GRPC and not whole:
        url = f"{url.rstrip('/')}/v1/{signal.lower()}"
    pairs = (pair.partition("=") for pair in said("HEADERS").split(",") if "=" in pair)
    headers = {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    return Target(signal, protocol, url, headers, bool(whole or base))


def _asked(targets: Sequence[Target], *, offline: bool) -> Iterator[Finding]:
    """A finding for all targets that are the same place with the same answer."""
    if offline:
        answers = [("not asked", "")] * len(targets)
    else:
        with ThreadPoolExecutor(max(1, len(targets))) as pool:
            answers = list(pool.map(ask, targets))
    places: dict[tuple[str, str, bool, str, str], list[str]] = {}
    for target, (why, hint) in zip(targets, answers, strict=True):
        signal = target.signal.lower()
        base = target.url.removesuffix(f"/v1/{signal}")
        places.setdefault((target.protocol, base, target.explicit, why, hint), []).append(signal)
    for (protocol, base, explicit, why, hint), signals in places.items():
        where = f"{', '.join(signals)}: {protocol} to {base}"
        if offline:
            yield ok(f"{where}, {why}")
        elif not why:
            yield ok(f"{where}, which answers")
        elif explicit:
            yield error(f"{where}: {why}", hint or "start it, or correct the endpoint")
        else:
            yield warning(f"{where}, OpenTelemetry's default: {why}", hint or NOWHERE)


def ask(target: Target) -> tuple[str, str]:
    """Why the endpoint is of no use, and what to do; empty if it answers an empty request (gRPC: a connection)."""
    try:
        return _asked_grpc(target) if target.protocol == GRPC else _asked_http(target)
    except (OSError, ValueError, http.client.HTTPException) as failure:
        return _why(failure), ""


def _why(failure: Exception) -> str:
    reason = getattr(failure, "reason", failure)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _asked_http(target: Target) -> tuple[str, str]:
    parts = urlsplit(target.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "that is no URL", "such as http://localhost:4318"
    hint = f"{PREFIX}PROTOCOL=grpc, or the port of OTLP/HTTP, 4318" if parts.port == PORTS[GRPC] else ""
    headers = {"Content-Type": "application/x-protobuf", **target.headers}
    request = urllib.request.Request(target.url, data=b"", headers=headers, method="POST")  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            return "", ""
    except urllib.error.HTTPError as failure:
        with failure:
            return f"it answers {failure.code} {failure.reason}", HINTS.get(failure.code, hint or "see its log")
    except (OSError, http.client.HTTPException) as failure:
        return _why(failure), hint


def _asked_grpc(target: Target) -> tuple[str, str]:
    parts = urlsplit(target.url if "//" in target.url else f"//{target.url}")
    if not parts.hostname:
        return "that is no address", "such as http://localhost:4317"
    with socket.create_connection((parts.hostname, parts.port or PORTS[GRPC]), SECONDS):
        if parts.port == PORTS[HTTP]:
            return "4318 is the port of OTLP/HTTP", f"{PREFIX}PROTOCOL=http/protobuf"
        return "", ""


def _installed(targets: list[Target], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Exporters that are asked for and not there: then nothing at all is set up."""
    for protocol in dict.fromkeys(target.protocol for target in targets):
        if protocol not in PACKAGES:
            yield error(f"{PREFIX}PROTOCOL={protocol} is not known", f"{PREFIX}PROTOCOL=http/protobuf")
            continue
        module, package = PACKAGES[protocol]
        if importable(module):
            continue
        chosen = any(environ.get(f"{PREFIX}{part}PROTOCOL") for part in ("", *(f"{signal}_" for signal in SIGNALS)))
        if protocol == GRPC and not chosen:
            yield _default_is_grpc(environ, package)
        else:
            yield error(
                f"the exporter for {protocol} is not installed: opentelemetry-instrument would set up nothing",
                f"pip install {package}",
            )


def _default_is_grpc(environ: Mapping[str, str], package: str) -> Finding:
    text = (
        f"{PREFIX}PROTOCOL is not set: opentelemetry-instrument takes grpc, whose exporter is not installed, "
        "and sets up nothing"
    )
    meant = any(name.startswith(PREFIX) or name.endswith("_EXPORTER") for name in environ if environ[name])
    there = importable(PACKAGES[HTTP][0])
    other = f"{PREFIX}PROTOCOL=http/protobuf" + ("" if there else " with: pip install 'otel-claude-stream[otlp]'")
    return (error if meant else warning)(text, f"{other}, or: pip install {package}")


def _sampling(environ: Mapping[str, str]) -> Iterator[Finding]:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "")
    if sampler.endswith("always_off"):
        yield warning(f"OTEL_TRACES_SAMPLER={sampler}: no span is recorded", "metrics are not sampled")
    elif sampler and not sampler.endswith("always_on"):
        yield note(f"OTEL_TRACES_SAMPLER={sampler}: a part of the streams has a span; metrics count them all")
