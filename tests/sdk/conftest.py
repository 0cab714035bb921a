"""What the integration tests have, here too."""

from __future__ import annotations

from tests.support.fixtures import mode, telemetry

__all__ = ["mode", "telemetry"]
