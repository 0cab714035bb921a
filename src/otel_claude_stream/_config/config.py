"""The settings in force, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """All settings, with their defaults. What each means stands in `settings.SETTINGS`; durations are in seconds.

    Give one to ``ClaudeStreamInstrumentor().instrument(config=...)``, or its fields as keyword arguments, or as
    environment variables. Values are checked where they are loaded (`load`), not here.
    """

    enabled: bool = True
    span: str = "auto"
    semconv: str = "released"
    events: str = "span"
    deltas: str = "coalesce"
    event_budget: int = 96
    metrics: bool = True
    gaps: str = "both"
    stall_thresholds: tuple[float, ...] = (10.0, 30.0, 60.0, 180.0)
    known_limits: str = ""
    max_models: int = 20
    export_failures: str = "auto"
