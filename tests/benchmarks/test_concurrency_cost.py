"""The cost of a permit, in bytecodes, which do not depend on the load of the machine."""

from __future__ import annotations

import pytest
from tests.benchmarks.bench_bytecodes import bytecodes
from tests.benchmarks.bench_policy import permit

from otel_claude_stream._core.retry.policy import AUTO

MOST = 600
"""About 5 us on the machine of the benchmarks."""


@pytest.mark.parametrize("most", [AUTO, 8])
def test_a_permit_that_is_free_costs_a_call_few_bytecodes(most):
    assert 0 < bytecodes(permit(most), "otel_claude_stream") <= MOST
