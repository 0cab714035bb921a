"""The log of the Collector itself, which people read when something is wrong."""

from __future__ import annotations

import pytest
from tests.support.collector import sending
from tests.support.collector.running import GATEWAY, HOST, eventually
from tests.support.collector.streams import ABORTED
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

RETRIED = "Exporting failed. Will retry"


def test_a_gateway_without_a_backend_does_not_fill_its_log(start):
    """It writes some lines about a backend that is away, and then a few in each hour."""
    nowhere = free_port()
    collector = start(
        GATEWAY,
        OTELCOL_TRACES_ENDPOINT=f"http://{HOST}:{nowhere}/v1/traces",
        OTELCOL_RETRY_MAX="50ms",
    )
    assert "rewrite them accordingly" not in collector.output()
    for _ in range(30):
        sending.send(collector.url, "traces", sending.traces(sending.span(**ABORTED)))
    assert eventually(lambda: collector.output().count(RETRIED) >= 10)
    assert not eventually(lambda: collector.output().count(RETRIED) > 15, seconds=12.0)
