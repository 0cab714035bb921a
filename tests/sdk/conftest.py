"""What the integration tests have, here too."""

from __future__ import annotations

from tests.integration.conftest import mode, seen_by_us

__all__ = ["mode", "seen_by_us"]
