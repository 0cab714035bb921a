"""Declarative configuration files of OpenTelemetry."""

from __future__ import annotations

import textwrap
from pathlib import Path

OPENTELEMETRY_WARNING = "OTEL_CONFIG_FILE is set; ignoring configurator kwargs"
"""The beginning of a line that OpenTelemetry logs with every configuration file."""


def write_config(folder: Path, url: str, section: str) -> str:
    """Write a configuration file that exports to `url` and has a section for Python; return its path."""
    text = f"""\
file_format: "1.0"
resource:
  attributes:
    - {{name: service.name, value: declared}}
tracer_provider:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: {url}/v1/traces
instrumentation/development:
  python:
"""
    path = folder / "otel.yaml"
    path.write_text(text + textwrap.indent(textwrap.dedent(section), "    "), encoding="utf-8")
    return str(path)
