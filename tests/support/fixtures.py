"""Fixtures for tests that run against both halves of the SDK."""

from __future__ import annotations

import pytest
from tests.support.modes import MODES
from tests.support.observing import observed


@pytest.fixture(params=MODES, ids=repr)
def mode(request):
    """The sync half of the SDK, then the async one."""
    return request.param


@pytest.fixture
def telemetry():
    """The telemetry of the instrumentation, which is installed during the test."""
    with observed() as recorded:
        yield recorded
