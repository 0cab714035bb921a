"""The doctor's look at what is installed: versions, what does not fit together, other instrumentations."""

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
    "opentelemetry-sdk": "without it nothing is recorded",
    "opentelemetry-distro": "opentelemetry-instrument configures nothing without it",
}
OTHERS: Final = {
    "opentelemetry-instrumentation-anthropic": "OpenLLMetry",
    "opentelemetry-instrumentation-genai-anthropic": "OpenTelemetry's GenAI instrumentation",
    "openinference-instrumentation-anthropic": "OpenInference",
    "logfire": "Logfire, once its instrument_anthropic() is called",
}
"""Distributions that may have the chat span; ours nests in theirs then, and says no usage a second time."""


def version_of(name: str) -> str | None:
    """The installed version of a distribution, None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requires_of(name: str) -> Sequence[str]:
    """The requirements of a distribution, none if it is not there."""
    try:
        return metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return ()


def versions(version: Version = version_of, requires: Requires = requires_of) -> Section:
    """What is installed, and whether it fits."""
    python = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    found = [ok(python), ok(f"otel-claude-stream {version('otel-claude-stream') or 'not installed as a package'}")]
    found.append(anthropic(version("anthropic")))
    for name in SHOWN:
        if at := version(name):
            found.append(ok(f"{name} {at}"))
        elif name in NEEDED:
            found.append(warning(f"{name} is not installed: {NEEDED[name]}", "pip install 'otel-claude-stream[otlp]'"))
    return Section("Versions", (*found, *conflicts(version, requires)))


def anthropic(found: str | None) -> Finding:
    """Whether the SDK is there and supported."""
    (supported,) = (Requirement(text) for text in INSTRUMENTS)
    if found is None:
        return error("anthropic is not installed: there is nothing to observe", f"pip install '{supported}'")
    if not SpecifierSet(str(supported.specifier)).contains(found, prereleases=True):
        return error(f"anthropic {found} is not supported: {supported.specifier}", f"pip install '{supported}'")
    return ok(f"anthropic {found} (supported: {', '.join(sorted(map(str, supported.specifier), reverse=True))})")


def conflicts(version: Version = version_of, requires: Requires = requires_of) -> Iterator[Finding]:
    """Packages of OpenTelemetry, and ours, that need other versions of each other than those that are there."""
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
                yield error(f"{name} needs {needed.name}, which is not installed", f"pip install '{_plain(needed)}'")
            elif not needed.specifier.contains(found, prereleases=True):
                yield error(
                    f"{name} needs {_plain(needed)}, and {found} is installed", f"pip install '{_plain(needed)}'"
                )


def others(version: Version = version_of) -> Iterator[Finding]:
    """Other instrumentations of the same calls."""
    for name, called in OTHERS.items():
        if at := version(name):
            yield note(
                f"{name} {at} is installed ({called}): where it has the chat span, ours is a claude.stream in it"
            )


def _opentelemetry() -> list[str]:
    names = {canonicalize_name(found.name) for found in metadata.distributions() if found.name}
    return sorted(name for name in names if name.startswith("opentelemetry-"))


def _plain(needed: Requirement) -> str:
    return f"{needed.name}{needed.specifier}"
