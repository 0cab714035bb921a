"""The configuration files in `collector/`, their content, and their validation by the Collector."""

from __future__ import annotations

import re
import subprocess

import yaml
from tests.support.collector.running import FILES, GATEWAY

AGENT = FILES / "agent.yaml"
GATEWAY_OVERLAYS = tuple(
    FILES / f"{name}.yaml"
    for name in (
        "prometheus",
        "metrics-from-spans",
        "sdk-spans",
        "proxy-logs",
        "kafka-gateway",
        "to-file",
        "self-metrics",
        "api-spans",
    )
)
AGENT_OVERLAYS = (FILES / "kafka-agent.yaml", FILES / "self-metrics.yaml", FILES / "api-spans.yaml")
ALL_FILES = tuple(dict.fromkeys((GATEWAY, AGENT, *GATEWAY_OVERLAYS, *AGENT_OVERLAYS)))


def loaded(file):
    """The content of a YAML file."""
    return yaml.safe_load(file.read_text())


def variables(file):
    """Name and default of each `${env:NAME:-default}` in a file."""
    return set(re.findall(r"\$\{env:(\w+):-([^}]*)\}", file.read_text()))


def validate(otelcol, files, **settings):
    """Exit code and output of `otelcol validate`."""
    arguments = [argument for file in files for argument in ("--config", str(file))]
    done = subprocess.run(
        [otelcol, "validate", *arguments], capture_output=True, text=True, env=settings, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr
