"""What the integration tests have, here too; and a budget that no other test has spent."""

from __future__ import annotations

import pytest
from tests.support.fixtures import mode

from otel_claude_stream._session import policy_resolver as policies

__all__ = ["mode"]


@pytest.fixture(autouse=True)
def _full_budget():
    """The budgets are those of the whole process."""
    policies._budgets.reset()
