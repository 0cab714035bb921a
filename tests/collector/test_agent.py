"""Agents in front of several gateways: whole traces at one of them, nothing lost when one goes away."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from tests.collector.test_durability import ABORTED
from tests.support.collector import backend as backends
from tests.support.collector import sending
from tests.support.collector.running import FILES, GATEWAY, HOST, QUICK, eventually, running

pytestmark = pytest.mark.slow

AGENT = FILES / "agent.yaml"
STATIC = "exporters: {{load_balancing: {{resolver: {{dns: null, static: {{hostnames: [{names}]}}}}}}}}\n"
"""Instead of a name with several addresses, which is hard to have on one machine."""


@pytest.fixture
def fleet(otelcol, tmp_path):
    """Two gateways with a backend each, and an agent that knows both."""
    with ExitStack() as stack:
        ends = [stack.enter_context(backends.backend()) for _ in range(2)]
        gateways = [
            stack.enter_context(running(otelcol, tmp_path / f"gateway-{n}", GATEWAY, **QUICK, **end.settings))
            for n, end in enumerate(ends)
        ]
        names = ", ".join(f'"{HOST}:{gateway.grpc}"' for gateway in gateways)
        overlay = tmp_path / "static.yaml"
        overlay.write_text(STATIC.format(names=names))
        where = {"OTELCOL_GATEWAY_HOST": HOST, "OTELCOL_GATEWAY_PORT": str(gateways[0].grpc), "OTELCOL_RETRY_MAX": "1s"}
        agent = stack.enter_context(running(otelcol, tmp_path / "agent", AGENT, overlay, **where))
        yield agent, gateways, ends


def spread(agent, count):
    """Traces of three spans, each span in a request of its own; returns the spans' ids by trace."""
    sent = {}
    for _ in range(count):
        root = sending.span("POST /answer", **ABORTED)
        spans = [root, *(sending.span(trace=root["traceId"], parent=root["spanId"], **ABORTED) for _ in range(2))]
        sent[root["traceId"]] = {span["spanId"] for span in spans}
        for span in spans:
            sending.send(agent.url, "traces", sending.traces(span))
    return sent


def arrived(end):
    found = {}
    for span in end.spans():
        found.setdefault(span["traceId"], set()).add(span["spanId"])
    return found


def test_a_trace_goes_to_one_gateway_and_both_get_some(fleet):
    agent, _, ends = fleet
    sent = spread(agent, 60)
    assert eventually(lambda: sum(len(end.spans()) for end in ends) >= 180)
    one, other = map(arrived, ends)
    assert one | other == sent
    assert not set(one) & set(other)
    assert min(len(one), len(other)) >= 10
    sending.send(agent.url, "metrics", sending.metrics(sending.counter("orders", sending.point(7))))
    sending.send(agent.url, "logs", sending.logs(sending.record("a line")))
    assert eventually(lambda: len(ends[0].points()) == 1 and len(ends[0].logs()) == 1)


def test_gateways_go_and_the_agent_is_killed(fleet):
    """What the agent accepted while no gateway was there is on its disk, and arrives when they are back."""
    agent, gateways, ends = fleet
    for gateway in gateways:
        gateway.kill()
    sent = spread(agent, 30)
    sending.send(agent.url, "metrics", sending.metrics(sending.counter("orders", sending.point(7))))
    agent.kill()
    agent.start()
    for gateway in gateways:
        gateway.start()
    assert eventually(lambda: arrived(ends[0]) | arrived(ends[1]) == sent, 40), [len(arrived(end)) for end in ends]
    assert eventually(lambda: len(ends[0].points()) == 1)
    assert sum(len(end.spans()) for end in ends) == 90
