"""More than the gateway can hold: it refuses, senders try again, applications notice nothing."""

from __future__ import annotations

import statistics
import time

import pytest
from tests.collector.test_durability import streams
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.running import GATEWAY, QUICK, eventually

from otel_claude_stream.testing import FakeAPI, Script

pytestmark = pytest.mark.slow

REFUSED = "otelcol_receiver_refused_spans"
SMALL = {**QUICK, "OTELCOL_MEMORY_MIB": "80", "OTELCOL_DECISION_WAIT": "8s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "8s"}
"""80 MiB of heap, held by traces that wait eight seconds for their verdict."""
ANSWER = Script.message("All well so far.", deltas=4, gap=0.005)


def flood(collector):
    """Healthy traces of 100 kB a span until nothing more is taken; returns how many spans were accepted."""
    accepted = refused = 0
    while refused < 5:  # in a row: it is what waits that fills the memory, not garbage
        spans = [sending.span("POST /answer", filler="x" * 100_000) for _ in range(20)]
        status, said = sending.post(collector.url, "traces", sending.traces(*spans))
        if status == 200:
            accepted, refused = accepted + len(spans), 0
            assert accepted < 4000, "it never refuses"
        else:
            assert (status, "memory" in said) == (503, True), said
            refused += 1
            time.sleep(0.1)
    return accepted


def test_refuses_with_what_makes_senders_try_again_and_recovers(start, backend):
    """503 while memory is short; once verdicts freed it, it accepts; all that was accepted arrives; never killed."""
    collector = start(GATEWAY, **SMALL)
    accepted = flood(collector)
    assert collector.metric(REFUSED) > 0
    assert "currently in pressure" in collector.said() or "Memory usage is above soft limit" in collector.said()
    one = sending.traces(sending.span("late"))
    assert eventually(lambda: sending.post(collector.url, "traces", one)[0] == 200, 30)
    assert len(backend.wait_for_spans(accepted + 1)) == accepted + 1
    assert collector.metric("otelcol_process_memory_rss") < 400 * 2**20


def test_the_application_is_not_slowed_and_loses_nothing(start, backend):
    """Streams take as long while the gateway refuses as before it; their spans arrive once it accepts again."""
    # Long enough to be full while the application exports.
    collector = start(GATEWAY, **{**SMALL, "OTELCOL_DECISION_WAIT": "20s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "20s"})
    with (
        FakeAPI(ANSWER) as api,
        application(collector.url, schedule_delay_millis=200, timeout=60.0) as app,
    ):
        app.stream(api.url)  # imports
        before = [timed(app, api.url) for _ in range(20)]
        during = []
        for _ in range(5):  # a gateway that has found room again before the application exports is filled once more
            flood(collector)
            refused = collector.metric(REFUSED)
            during += [timed(app, api.url) for _ in range(20)]
            if refused_more := eventually(lambda least=refused: collector.metric(REFUSED) > least, 5):
                break
        assert refused_more, "the application's own spans were not refused"
        app.flush()
    expected = 1 + len(before) + len(during)
    assert eventually(lambda: len(set(streams(backend))) == expected, 30)
    assert statistics.median(during) < 2 * statistics.median(before) + 0.05


def timed(app, url):
    begin = time.perf_counter()
    assert app.stream(url) == "END"
    return time.perf_counter() - begin


def test_the_application_survives_a_gateway_that_is_gone(start, backend):
    """Killed under load: streams go on; the spans of the outage arrive after the restart."""
    collector = start(GATEWAY, **QUICK)
    with FakeAPI(ANSWER) as api, application(collector.url, schedule_delay_millis=200, timeout=60.0) as app:
        app.stream(api.url)
        before = [timed(app, api.url) for _ in range(10)]
        app.flush()
        assert eventually(lambda: len(streams(backend)) == 11)  # judged, hence out of memory
        collector.kill()
        during = [timed(app, api.url) for _ in range(10)]
        collector.start()
        app.flush()
    # Each of them: what was on its way out as the gateway was killed may come twice.
    assert eventually(lambda: len(set(streams(backend))) == 21, 30)
    assert statistics.median(during) < 2 * statistics.median(before) + 0.05
