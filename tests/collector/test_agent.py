"""An agent in front of several gateways sends each trace to one of them, and loses nothing in an outage."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from tests.support.collector import backend as backends
from tests.support.collector import sending
from tests.support.collector.configs import AGENT
from tests.support.collector.running import GATEWAY, HOST, QUICK, eventually, running
from tests.support.collector.streams import ABORTED

pytestmark = pytest.mark.slow

STATIC = "exporters: {{load_balancing: {{resolver: {{dns: null, static: {{hostnames: [{names}]}}}}}}}}\n"
"""An overlay with a list of addresses, in place of a name that has several."""


@pytest.fixture
def fleet(otelcol, tmp_path):
    """An agent, two gateways behind it, and a backend behind each of these."""
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


def send_traces(agent, count):
    """Send traces of three spans, one span in each request. Returns the ids of the spans by trace."""
    sent = {}
    for _ in range(count):
        root = sending.span("POST /answer", **ABORTED)
        spans = [root, *(sending.span(trace=root["traceId"], parent=root["spanId"], **ABORTED) for _ in range(2))]
        sent[root["traceId"]] = {span["spanId"] for span in spans}
        for span in spans:
            sending.send(agent.url, "traces", sending.traces(span))
    return sent


def arrived(end):
    """The ids of the spans that arrived at a backend, by trace."""
    found = {}
    for span in end.spans():
        found.setdefault(span["traceId"], set()).add(span["spanId"])
    return found


def test_each_trace_goes_to_one_of_two_gateways(fleet):
    agent, _, ends = fleet
    sent = send_traces(agent, 60)
    assert eventually(lambda: sum(len(end.spans()) for end in ends) >= 180)
    one, other = map(arrived, ends)
    assert one | other == sent
    assert not set(one) & set(other)
    assert min(len(one), len(other)) >= 10
    sending.send(agent.url, "metrics", sending.metrics(sending.counter("orders", sending.point(7))))
    sending.send(agent.url, "logs", sending.logs(sending.record("a line")))
    assert eventually(lambda: len(ends[0].points()) == 1 and len(ends[0].logs()) == 1)


def test_a_killed_agent_delivers_after_an_outage_of_all_gateways(fleet):
    """The agent keeps on disk what it accepts while there is no gateway. A batch under way at a kill is sent again."""
    agent, gateways, ends = fleet
    for gateway in gateways:
        gateway.kill()
    sent = send_traces(agent, 30)
    sending.send(agent.url, "metrics", sending.metrics(sending.counter("orders", sending.point(7))))
    agent.kill()
    agent.start()
    for gateway in gateways:
        gateway.start()
    assert eventually(lambda: arrived(ends[0]) | arrived(ends[1]) == sent, 40), [len(arrived(end)) for end in ends]
    assert eventually(ends[0].points)
    assert not ends[1].points()
    assert sum(len(ids) for end in ends for ids in arrived(end).values()) == 90
