"""The cost of a permit, in bytecodes, which do not depend on the load of the machine."""

from __future__ import annotations

import time

import pytest
from tests.benchmarks.bench_bytecodes import bytecodes

from otel_claude_stream._core.retry.concurrency import Limiters
from otel_claude_stream._core.retry.policy import AUTO, Concurrency
from otel_claude_stream._session.attempts import Attempts
from otel_claude_stream._session.permits import CallPermits

MOST = 600
"""About 5 us on the machine of the benchmarks."""


@pytest.mark.parametrize("most", [AUTO, 8])
def test_a_permit_that_is_free_costs_a_call_few_bytecodes(most):
    limiters, concurrency, attempts = Limiters(), Concurrency(max=most), Attempts(0, None)

    def call():
        permits = CallPermits(limiters, ("api", "claude", ()), concurrency, time.perf_counter_ns, lambda *_: None)
        assert permits.ask(attempts)
        permits.accepted()
        assert permits.outcome.wait == 0.0
        permits.leave()

    assert 0 < bytecodes(call, "otel_claude_stream") <= MOST
