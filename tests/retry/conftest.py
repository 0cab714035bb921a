"""Fixtures: both halves of the SDK, and retry budgets that no other test has used."""

from __future__ import annotations

import pytest
from tests.support.fixtures import mode

from otel_claude_stream._session import policy_resolver as policies

__all__ = ["mode"]


@pytest.fixture(autouse=True)
def _full_budget():
    """Reset the retry budgets, which the whole process shares."""
    policies._budgets.reset()
    policies._limiters.reset()
