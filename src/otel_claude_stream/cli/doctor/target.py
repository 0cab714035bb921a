"""Where a signal goes by OTLP: the words that the doctor's looks at environment and file share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

GRPC, HTTP = "grpc", "http/protobuf"
PORTS: Final = {GRPC: 4317, HTTP: 4318}


@dataclass(frozen=True, slots=True)
class Target:
    """Where one signal goes by OTLP. ``explicit`` if the user said so, and it is not OpenTelemetry's default."""

    signal: str
    protocol: str
    url: str
    headers: Mapping[str, str]
    explicit: bool
