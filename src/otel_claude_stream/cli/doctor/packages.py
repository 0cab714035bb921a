"""Check the installed packages: versions, conflicts, and other instrumentations."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from otel_claude_stream._instrumentor import INSTRUMENTS
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning

Version = Callable[[str], "str | None"]
Requires = Callable[[str], Sequence[str]]

SHOWN: Final = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc",
    "wrapt",
    "httpx2",
    "httpx",
)
NEEDED: Final = {
    "opentelemetry-sdk": "it is needed to record telemetry",
    "opentelemetry-distro": "it is needed by opentelemetry-instrument to configure exporters",
}
OTHERS: Final = {
    "opentelemetry-instrumentation-anthropic": "OpenLLMetry",
    "opentelemetry-instrumentation-genai-anthropic": "OpenTelemetry's GenAI instrumentation",
    "openinference-instrumentation-anthropic": "OpenInference",
    "logfire": "Logfire, once its instrument_anthropic() is called, which is best done after instrument()",
    "agento11y-anthropic": "Grafana's agento11y",
    "pydantic-ai-slim": "Pydantic AI, once it is instrumented",
    "strands-agents": "Strands Agents",
}
"""Distributions that may own the chat span. The stream's span is then a child of it, without the usage."""
_BY_PROCESS: Final = (
    "its streams are read by another program, so they are not recorded",
    "switch on the telemetry of that program, for Claude Code with CLAUDE_CODE_ENABLE_TELEMETRY=1",
)
UNSEEN: Final = {
    "litellm": (
        "streams through it (also by smolagents, DSPy or OpenAI Agents) use its own HTTP client, and are not recorded",
        "use an integration of the anthropic package, or LiteLLM's OpenTelemetry callback",
    ),
    "claude-agent-sdk": _BY_PROCESS,
    "letta": _BY_PROCESS,
}
"""Distributions that do not stream through the Anthropic SDK: why nothing is recorded, and the remedy."""


def version_of(name: str) -> str | None:
    """Return the installed version of a distribution, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requires_of(name: str) -> Sequence[str]:
    """Return the requirements of a distribution, none if it is not installed."""
    try:
        return metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return ()


def versions(version: Version = version_of, requires: Requires = requires_of) -> Section:
    """Report installed versions and conflicts between them."""
    python = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    found = [ok(python), ok(f"otel-claude-stream {version('otel-claude-stream') or 'not installed as a package'}")]
    found.append(anthropic(version("anthropic")))
    for name in SHOWN:
        if at := version(name):
            found.append(ok(f"{name} {at}"))
        elif name in NEEDED:
            found.append(warning(f"{name} is not installed: {NEEDED[name]}", "pip install 'otel-claude-stream[otlp]'"))
    unseen = ((name, version(name), *UNSEEN[name]) for name in UNSEEN)
    found += [note(f"{name} {at} is installed: {why}", remedy) for name, at, why, remedy in unseen if at]
    return Section("Versions", (*found, *conflicts(version, requires)))


def anthropic(found: str | None) -> Finding:
    """Report whether the SDK is installed in a supported version."""
    (supported,) = (Requirement(text) for text in INSTRUMENTS)
    if found is None:
        return error("anthropic is not installed, so there are no streams to record", f"pip install '{supported}'")
    if not SpecifierSet(str(supported.specifier)).contains(found, prereleases=True):
        return error(
            f"anthropic {found} is not supported, and would not be instrumented; supported: {supported.specifier}",
            f"pip install '{supported}'",
        )
    return ok(f"anthropic {found} (supported: {', '.join(sorted(map(str, supported.specifier), reverse=True))})")


def conflicts(version: Version = version_of, requires: Requires = requires_of) -> Iterator[Finding]:
    """Yield packages of OpenTelemetry, and this one, whose requirements do not match the installed versions."""
    for name in ("otel-claude-stream", *_opentelemetry()):
        for text in requires(name):
            try:
                needed = Requirement(text)
            except InvalidRequirement:
                continue
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            found = version(needed.name)
            if found is None:
                yield error(f"{name} requires {needed.name}, which is not installed", f"pip install '{_plain(needed)}'")
            elif not needed.specifier.contains(found, prereleases=True):
                yield error(
                    f"{name} requires {_plain(needed)}, but {found} is installed", f"pip install '{_plain(needed)}'"
                )


def others(version: Version = version_of) -> Iterator[Finding]:
    """Yield other installed instrumentations of the same calls."""
    for name, product in OTHERS.items():
        if at := version(name):
            yield note(
                f"{name} {at} is installed ({product}); if it owns the chat span, claude.stream is a span within it"
            )


def _opentelemetry() -> list[str]:
    names = {canonicalize_name(found.name) for found in metadata.distributions() if found.name}
    return sorted(name for name in names if name.startswith("opentelemetry-"))


def _plain(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"
