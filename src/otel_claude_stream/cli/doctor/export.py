"""Check the exporters of each signal: whether they are installed, and whether their endpoints answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor.targets import (
    CONFIG_FILES,
    GRPC,
    HTTP,
    PORTS,
    PREFIX,
    Target,
    declared_exporters,
    target_of,
)
from otel_claude_stream.cli.doctor.variables import misspelt
from otel_claude_stream.cli.errors import importable

SECONDS: Final = 2.0
"""Timeout for the answer of an endpoint. A usable one is much faster: an exporter has 10 s for a whole batch."""
SIGNALS: Final = ("TRACES", "METRICS", "LOGS")
PACKAGES: Final = {
    GRPC: ("opentelemetry.exporter.otlp.proto.grpc", "opentelemetry-exporter-otlp-proto-grpc"),
    HTTP: ("opentelemetry.exporter.otlp.proto.http", "opentelemetry-exporter-otlp-proto-http"),
}
NO_COLLECTOR: Final = (
    f"{PREFIX}ENDPOINT=http://your-collector:4318 with {PREFIX}PROTOCOL=http/protobuf; "
    "or without a collector: otel-claude-stream run -- python app.py"
)
HINTS: Final = {
    401: "check OTEL_EXPORTER_OTLP_HEADERS",
    403: "check OTEL_EXPORTER_OTLP_HEADERS",
    404: f"check the path: {PREFIX}ENDPOINT is the base, without /v1/traces; {PREFIX}TRACES_ENDPOINT is the whole URL",
}


def exporters(environ: Mapping[str, str], *, offline: bool = False) -> Section:
    """Check what `opentelemetry-instrument` would configure; ``offline`` leaves the endpoints alone."""
    found: list[Finding] = list(misspelt(environ))
    if path := next((environ[name] for name in CONFIG_FILES if environ.get(name)), ""):
        targets, findings = declared_exporters(path)
        found += [note(f"the file {path} configures OpenTelemetry"), *findings]
        found += [*_installed(targets, environ), *_check_endpoints(targets, offline=offline)]
        return Section("Export", tuple(found))
    targets = []
    for signal in SIGNALS:
        names = _exporter_names(signal, environ)
        other = [name for name in names if not name.startswith("otlp")]
        if other:
            level = warning if other == ["none"] == names and signal != "LOGS" else ok
            found.append(level(f"{signal.lower()}: {', '.join(other)}"))
        targets += [target_of(signal, name, environ) for name in names if name.startswith("otlp")]
    found += _installed(targets, environ)
    found += _check_endpoints(targets, offline=offline)
    return Section("Export", (*found, *_sampling(environ)))


def _check_endpoints(targets: Sequence[Target], *, offline: bool) -> Iterator[Finding]:
    """Yield one finding for all targets with the same endpoint and the same answer."""
    if offline:
        answers = [("not checked", "")] * len(targets)
    else:
        with ThreadPoolExecutor(max(1, len(targets))) as pool:
            answers = list(pool.map(check_endpoint, targets))
    places: dict[tuple[str, str, bool, str, str], list[str]] = {}
    for target, (fault, hint) in zip(targets, answers, strict=True):
        signal = target.signal.lower()
        base = target.url.removesuffix(f"/v1/{signal}")
        places.setdefault((target.protocol, base, target.explicit, fault, hint), []).append(signal)
    for (protocol, base, explicit, fault, hint), signals in places.items():
        where = f"{', '.join(signals)}: {protocol} to {base}"
        if offline:
            yield ok(f"{where}, {fault}")
        elif not fault:
            yield ok(f"{where}, which answers")
        elif explicit:
            yield error(f"{where}: {fault}", hint or "start the collector, or correct the endpoint")
        else:
            yield warning(f"{where}, OpenTelemetry's default endpoint: {fault}", hint or NO_COLLECTOR)


def check_endpoint(target: Target) -> tuple[str, str]:
    """Return the fault of an endpoint and a remedy, empty if it accepts an empty request (gRPC: a connection)."""
    try:
        return _check_grpc(target) if target.protocol == GRPC else _check_http(target)
    except (OSError, ValueError, http.client.HTTPException) as failure:
        return fault_of(failure)


def fault_of(failure: Exception) -> tuple[str, str]:
    """Return the fault of an endpoint with which no request could be exchanged, and a remedy, if there is one."""
    cause = failure if isinstance(failure, ssl.SSLError) else getattr(failure, "reason", failure)
    if isinstance(cause, ssl.SSLError):
        return _tls_fault(cause)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, ""


def post_empty(url: str, headers: Mapping[str, str], send: Callable[..., Any] | None = None) -> tuple[int, str]:
    """Send an empty OTLP request, and return status and reason of the answer; ``send`` replaces ``urlopen``."""
    headers = {"Content-Type": "application/x-protobuf", **headers}
    request = urllib.request.Request(url, data=b"", headers=headers, method="POST")  # noqa: S310 - checked by callers
    try:
        with (send or urllib.request.urlopen)(request, timeout=SECONDS) as answer:
            return answer.status, answer.reason
    except urllib.error.HTTPError as failure:
        with failure:
            return failure.code, str(failure.reason)


def _tls_fault(failure: ssl.SSLError) -> tuple[str, str]:
    """Return the fault of an endpoint with which no TLS connection could be made, and a remedy."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {failure.verify_message}",
            f"{PREFIX}CERTIFICATE=FILE with the certificate of its authority",
        )
    return (
        f"it does not speak TLS ({failure.reason or failure.strerror})",
        f"if the port is not encrypted, use http:// in {PREFIX}ENDPOINT",
    )


def _check_http(target: Target) -> tuple[str, str]:
    parts = urlsplit(target.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "not a URL", "for example http://localhost:4318"
    hint = f"{PREFIX}PROTOCOL=grpc, or the port of OTLP/HTTP, 4318" if parts.port == PORTS[GRPC] else ""
    try:
        status, reason = post_empty(target.url, target.headers)
    except (OSError, http.client.HTTPException) as failure:
        fault, remedy = fault_of(failure)
        return fault, remedy or hint
    if status < http.client.BAD_REQUEST:
        return "", ""
    return f"it answers {status} {reason}", HINTS.get(status, hint or "see the collector's log")


def _check_grpc(target: Target) -> tuple[str, str]:
    parts = urlsplit(target.url if "//" in target.url else f"//{target.url}")
    if not parts.hostname:
        return "not an address", "for example http://localhost:4317"
    with socket.create_connection((parts.hostname, parts.port or PORTS[GRPC]), SECONDS) as connection:
        if parts.port == PORTS[HTTP]:
            return "4318 is the port of OTLP/HTTP", f"{PREFIX}PROTOCOL=http/protobuf"
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whether it speaks TLS at all
            context.wrap_socket(connection, server_hostname=parts.hostname).close()
        return "", ""


def _installed(targets: list[Target], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield errors for exporters that are configured but not installed, as OpenTelemetry then configures nothing."""
    for protocol in dict.fromkeys(target.protocol for target in targets):
        if protocol not in PACKAGES:
            yield error(
                f"{PREFIX}PROTOCOL={protocol} is not a protocol of OTLP exporters", f"{PREFIX}PROTOCOL=http/protobuf"
            )
            continue
        module, package = PACKAGES[protocol]
        if importable(module):
            continue
        if protocol == GRPC and not _protocol_is_chosen(environ):
            yield _missing_default(environ, package)
        else:
            yield error(
                f"the exporter for {protocol} is not installed, so opentelemetry-instrument would configure nothing",
                f"pip install {package}",
            )


def default_exporter_is_missing(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry would use grpc without a variable that asks for it, and has no exporter for it."""
    if any(environ.get(name) for name in CONFIG_FILES) or _protocol_is_chosen(environ):
        return False
    used = any(name == "otlp" for signal in SIGNALS for name in _exporter_names(signal, environ))
    return used and not importable(PACKAGES[GRPC][0])


def _protocol_is_chosen(environ: Mapping[str, str]) -> bool:
    return any(environ.get(f"{PREFIX}{part}PROTOCOL") for part in ("", *(f"{signal}_" for signal in SIGNALS)))


def _exporter_names(signal: str, environ: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in (environ.get(f"OTEL_{signal}_EXPORTER") or "otlp").split(",")]


def _missing_default(environ: Mapping[str, str], package: str) -> Finding:
    text = (
        f"{PREFIX}PROTOCOL is not set, so opentelemetry-instrument uses grpc; its exporter is not installed, "
        "and nothing would be configured"
    )
    configured = any(name.startswith(PREFIX) or name.endswith("_EXPORTER") for name in environ if environ[name])
    installed = importable(PACKAGES[HTTP][0])
    other = f"{PREFIX}PROTOCOL=http/protobuf" + ("" if installed else " with: pip install 'otel-claude-stream[otlp]'")
    return (error if configured else warning)(text, f"{other}, or: pip install {package}")


def _sampling(environ: Mapping[str, str]) -> Iterator[Finding]:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "")
    if sampler.endswith("always_off"):
        yield warning(f"OTEL_TRACES_SAMPLER={sampler}: no span is recorded", "unset it; metrics are not sampled")
    elif sampler and not sampler.endswith("always_on"):
        yield note(f"OTEL_TRACES_SAMPLER={sampler}: only a part of the streams has a span; metrics count them all")
