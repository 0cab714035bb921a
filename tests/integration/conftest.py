"""Fixtures of the integration tests."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support.observing", "tests.support.modes")

from tests.support.fixtures import mode, telemetry  # noqa: E402 - imported after its assertions are rewritten

__all__ = ["mode", "telemetry"]
