"""The instrumentation in place, and everything that it tells captured."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support.observing", "tests.support.modes")

from tests.support.modes import MODES  # noqa: E402 - after the line that makes its assertions speak
from tests.support.observing import observed  # noqa: E402 - as above


@pytest.fixture(params=MODES, ids=repr)
def mode(request):
    """Sync and async."""
    return request.param


@pytest.fixture
def seen_by_us():
    """What the instrumentation tells, while it is in place."""
    with observed() as telemetry:
        yield telemetry
