"""Findings of the doctor in the form in which tests compare them."""

from __future__ import annotations

from otel_claude_stream.cli.doctor.findings import Finding, Level, Section

HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
"""The protocol whose exporter is installed, unlike that of the default, gRPC."""


def levels(section: Section) -> dict[str, Level]:
    """Return the level of each finding by its text."""
    return {finding.text: finding.level for finding in section.findings}


def problems(section: Section) -> list[Finding]:
    """Return the warnings and errors."""
    return [finding for finding in section.findings if finding.level > Level.NOTE]
