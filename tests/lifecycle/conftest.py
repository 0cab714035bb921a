from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.processes import SERVER_PROCESS


@pytest.fixture(scope="session", autouse=True)
def _server_process() -> Iterator[None]:
    """Stop the process that forks for the programs of these tests."""
    yield
    SERVER_PROCESS.stop()
