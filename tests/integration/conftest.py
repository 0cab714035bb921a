"""Fixtures of the integration tests."""

from __future__ import annotations

from tests.support.fixtures import mode, telemetry

__all__ = ["mode", "telemetry"]
