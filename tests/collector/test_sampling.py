"""The gateway keeps every trace of a failed stream, and a share of the healthy ones."""

from __future__ import annotations

import math
import re

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.running import GATEWAY, QUICK, eventually

from otel_claude_stream._telemetry import schema

pytestmark = pytest.mark.slow

KEEP_NO_HEALTHY = {**QUICK, "OTELCOL_HEALTHY_PERCENT": "0"}
"""Healthy traces are dropped, so each one that arrives was kept for a reason."""

LONG_WAITS = {"OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"}

STREAM = {"gen_ai.request.model": "claude", "claude.stream.outcome": "completed", "claude.stream.attempt.count": 1}

KEPT = {
    "aborted": [
        {"claude.stream.outcome": "failed", "claude.stream.abort.reason": "overloaded"},
        {"claude.stream.outcome": "closed", "claude.stream.abort.reason": "caller_closed"},
        {"claude.stream.fault_after_stop": True},
    ],
    "retried": [
        {"claude.stream.attempt.count": 2},
        {"http.request.resend_count": 1},
        {"claude.stream.attempt.number": 1},
        {"claude.stream.attempt.number": 1, "claude.stream.abort.reason": "overloaded"},
    ],
    "resumed": [{"claude.stream.resumed": True, "claude.stream.attempt.count": 2}],
    "stalled": [{"claude.stream.chunk.longest_gap": 12.5}, {"claude.stream.longest_silence": 31.0}],
    "slow": [{"claude.stream.time_to_first_token": 10.5}, {"gen_ai.response.time_to_first_chunk": 11.0}],
}
"""Attributes for which a stream is kept, by the verdict."""

HEALTHY = (
    {},
    {"claude.stream.time_to_first_token": 9.9, "gen_ai.response.time_to_first_chunk": 9.9},
    {"claude.stream.chunk.longest_gap": 9.9, "claude.stream.longest_silence": 9.9},
    {"claude.stream.resumed": False, "http.request.resend_count": 0},
    {"claude.stream.time_to_first_token": "a text", "claude.stream.attempt.count": "2"},
    {"sampling.keep": "aborted"},  # a sender does not decide
)


def test_each_kind_of_failure_keeps_its_whole_trace(start, backend):
    """A trace has a root of the application, a stream and a tool call. Healthy traces are dropped."""
    collector = start(GATEWAY, **KEEP_NO_HEALTHY)
    rows = [(verdict, attributes) for verdict, many in KEPT.items() for attributes in many]
    rows += [(None, attributes) for attributes in HEALTHY]
    wanted, sent = {}, []
    for verdict, attributes in rows:
        trace = sending.new_id(16)
        root = sending.span("POST /answer", trace=trace)
        inner = {"trace": trace, "parent": root["spanId"]}
        sent += [root, sending.span(**inner, **{**STREAM, **attributes}), sending.span("execute_tool", **inner)]
        if verdict:
            wanted[trace] = verdict
    failed = sending.span("POST /other", status=sending.ERROR)
    stalled = sending.span(events=[sending.event("claude.stream.stall")], **STREAM)
    wanted |= {failed["traceId"]: "error", stalled["traceId"]: "stalled"}
    sending.send(collector.url, "traces", sending.traces(*sent, failed, stalled))

    complete = 3 * (len(wanted) - 2) + 2
    backend.wait_for_spans(complete)
    eventually(lambda: collector.metric("otelcol_processor_tail_sampling_sampling_traces_on_memory") == 0, 10)
    arrived = backend.spans()
    assert len({span["spanId"] for span in arrived}) == len(arrived) == complete
    assert {span["traceId"] for span in arrived} == set(wanted)
    found = {}
    for span in arrived:
        if verdict := sending.plain(span.get("attributes", [])).get("sampling.keep"):
            found[span["traceId"]] = verdict
    assert found == wanted


def test_a_trace_is_kept_whole_if_its_failed_stream_ends_late(start, backend):
    """The span of a tool call arrives first, that of the stream much later, and the root last."""
    collector = start(GATEWAY, **{**KEEP_NO_HEALTHY, "OTELCOL_DECISION_WAIT": "60s"})
    trace = sending.new_id(16)
    root = sending.span("POST /answer", trace=trace)
    early = sending.span("execute_tool", trace=trace, parent=root["spanId"])
    late = sending.span(trace=trace, parent=root["spanId"], **KEPT["aborted"][0])
    sending.send(collector.url, "traces", sending.traces(early))
    assert not eventually(backend.spans, 4)
    sending.send(collector.url, "traces", sending.traces(late))
    sending.send(collector.url, "traces", sending.traces(root))
    assert {span["spanId"] for span in backend.wait_for_spans(3)} == {s["spanId"] for s in (root, early, late)}


def test_the_default_wait_exceeds_the_longest_stream():
    """The time-out of the SDK is 600 s by default."""
    sampling = yaml.safe_load(GATEWAY.read_text())["processors"]["tail_sampling"]
    assert default(sampling["decision_wait"]) == "660s"
    assert float(default(sampling["decision_wait_after_root_received"]).removesuffix("s")) <= 10


def test_an_abort_after_the_decision_is_kept(start, backend):
    """A background task outlives its root span, and its trace was dropped as healthy."""
    collector = start(GATEWAY, **KEEP_NO_HEALTHY)
    trace = sending.new_id(16)
    root = sending.span("POST /start", trace=trace)
    sending.send(collector.url, "traces", sending.traces(root))
    decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    assert eventually(lambda: collector.metric(decided, sampled="false") == 1)
    late = sending.span(trace=trace, parent=root["spanId"], **KEPT["aborted"][0])
    healthy = sending.span(trace=trace, parent=root["spanId"], **STREAM)
    sending.send(collector.url, "traces", sending.traces(late, healthy))
    backend.wait_for_spans(1)
    assert not eventually(lambda: len(backend.spans()) > 1, 2)
    assert [span["spanId"] for span in backend.spans()] == [late["spanId"]]


def test_failed_spans_are_sent_at_once(start, backend):
    """So a crash of the Collector cannot lose them."""
    collector = start(GATEWAY, **{**KEEP_NO_HEALTHY, **LONG_WAITS})
    failed = sending.span(**KEPT["aborted"][0])
    sending.send(collector.url, "traces", sending.traces(failed))
    assert [span["spanId"] for span in backend.wait_for_spans(1, 5)] == [failed["spanId"]]


@pytest.mark.parametrize("percent", [25])
def test_healthy_traces_are_kept_at_the_configured_share(start, backend, percent):
    """The share is within three standard deviations, and traces are kept whole."""
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_HEALTHY_PERCENT": str(percent)})
    count = 4000
    for _ in range(4):
        spans = []
        for _ in range(count // 4):
            trace = sending.new_id(16)
            root = sending.span("POST /answer", trace=trace)
            spans += [root, sending.span(trace=trace, parent=root["spanId"], **STREAM)]
        sending.send(collector.url, "traces", sending.traces(*spans))
    decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    assert eventually(lambda: collector.metric(decided) == count)
    kept = int(collector.metric(decided, sampled="true"))
    assert abs(kept - count * percent / 100) < 3 * math.sqrt(count * percent / 100 * (1 - percent / 100))
    arrived = backend.wait_for_spans(2 * kept)
    by_trace = [span["traceId"] for span in arrived]
    assert len(arrived) == 2 * kept
    assert {by_trace.count(trace) for trace in set(by_trace)} == {2}


def test_attributes_and_events_that_decide_a_verdict_are_in_the_schema():
    text = yaml.safe_dump(yaml.safe_load(GATEWAY.read_text())["processors"]["transform/verdict"])
    known = {a.name for span in schema.SPANS for a in span.attributes} | {event.name for event in schema.EVENTS}
    found = names_in(text)
    assert found - known == set()
    assert len(found) > 8


def names_in(text):
    """Quoted names that begin like those of the schema."""
    return set(re.findall(r'"((?:claude\.stream|gen_ai)\.[a-z_.]+)"', text))


def default(setting):
    """The default in `${env:NAME:-default}`."""
    return setting.partition(":-")[2].removesuffix("}")
