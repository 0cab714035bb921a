"""A gateway that receives more than it can hold refuses; senders retry, and applications are not slowed."""

from __future__ import annotations

import statistics
import time

import pytest
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.running import GATEWAY, QUICK, eventually
from tests.support.collector.streams import stream_ids

from otel_claude_stream.testing import FakeAPI, Script

pytestmark = pytest.mark.slow

REFUSED = "otelcol_receiver_refused_spans"
SMALL = {**QUICK, "OTELCOL_MEMORY_MIB": "80", "OTELCOL_DECISION_WAIT": "15s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "15s"}
"""80 MiB of heap, which traces fill while they wait for their decision."""
ANSWER = Script.message("All well so far.", deltas=4, gap=0.005)


def flood(collector):
    """Send healthy traces with 100 kB a span until they are refused. Returns how many spans were accepted."""
    accepted = refused = 0
    while refused < 5:  # in a row, so that waiting spans fill the memory and not garbage
        spans = [sending.span("POST /answer", filler="x" * 100_000) for _ in range(20)]
        status, answer = sending.post(collector.url, "traces", sending.traces(*spans))
        if status == 200:
            accepted, refused = accepted + len(spans), 0
            assert accepted < 4000, "the gateway never refuses"
        else:
            assert (status, "memory" in answer) == (503, True), answer
            refused += 1
            time.sleep(0.1)
    return accepted


def test_a_full_gateway_answers_503_and_recovers(start, backend):
    """Everything that was accepted arrives, and memory stays bounded."""
    collector = start(GATEWAY, **SMALL)
    accepted = flood(collector)
    assert collector.metric(REFUSED) > 0
    assert "currently in pressure" in collector.output() or "Memory usage is above soft limit" in collector.output()
    one = sending.traces(sending.span("late"))
    assert eventually(lambda: sending.post(collector.url, "traces", one)[0] == 200, 30)
    assert len(backend.wait_for_spans(accepted + 1)) == accepted + 1
    assert collector.metric("otelcol_process_memory_rss") < 400 * 2**20


def test_a_refusing_gateway_neither_slows_the_application_nor_loses_spans(start, backend):
    """The spans arrive once the gateway accepts again."""
    # The wait keeps the gateway full while the application exports.
    collector = start(GATEWAY, **{**SMALL, "OTELCOL_DECISION_WAIT": "20s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "20s"})
    with (
        FakeAPI(ANSWER) as api,
        application(collector.url, schedule_delay_millis=200, timeout=60.0) as app,
    ):
        app.stream(api.url)  # imports
        before = [timed(app, api.url) for _ in range(20)]
        during = []
        for _ in range(5):  # fill it again if it found room before the application exported
            flood(collector)
            refused = collector.metric(REFUSED)
            during += [timed(app, api.url) for _ in range(20)]
            if refused_more := eventually(lambda least=refused: collector.metric(REFUSED) > least, 5):
                break
        assert refused_more, "the application's own spans were not refused"
        app.flush()
    expected = 1 + len(before) + len(during)
    assert eventually(lambda: len(set(stream_ids(backend))) == expected, 30)
    assert statistics.median(during) < 2 * statistics.median(before) + 0.05


def timed(app, url):
    """Seconds that one stream takes."""
    begin = time.perf_counter()
    assert app.stream(url) == "END"
    return time.perf_counter() - begin


def test_the_application_goes_on_while_the_gateway_is_killed(start, backend):
    """The spans of the outage arrive after the restart."""
    collector = start(GATEWAY, **QUICK)
    with FakeAPI(ANSWER) as api, application(collector.url, schedule_delay_millis=200, timeout=60.0) as app:
        app.stream(api.url)
        before = [timed(app, api.url) for _ in range(10)]
        app.flush()
        assert eventually(lambda: len(stream_ids(backend)) == 11)  # decided, so no longer in memory
        collector.kill()
        during = [timed(app, api.url) for _ in range(10)]
        collector.start()
        app.flush()
    # A batch that was under way at the kill may arrive twice.
    assert eventually(lambda: len(set(stream_ids(backend))) == 21, 30)
    assert statistics.median(during) < 2 * statistics.median(before) + 0.05
