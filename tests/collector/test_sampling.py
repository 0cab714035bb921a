"""What is kept and what goes: verdicts of the gateway's tail sampling, each with the real Collector."""

from __future__ import annotations

import math

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.running import GATEWAY, QUICK, eventually

from otel_claude_stream._telemetry import schema

pytestmark = pytest.mark.slow

NONE = {**QUICK, "OTELCOL_HEALTHY_PERCENT": "0"}
"""Nothing healthy is kept, so that whatever arrives was kept for a reason."""

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
    ],
    "resumed": [{"claude.stream.resumed": True, "claude.stream.attempt.count": 2}],
    "stalled": [{"claude.stream.chunk.longest_gap": 12.5}, {"claude.stream.longest_silence": 31.0}],
    "slow": [{"claude.stream.time_to_first_token": 10.5}, {"gen_ai.response.time_to_first_chunk": 11.0}],
}
"""Attributes that make a stream worth keeping, by the verdict that they get."""

HEALTHY = (
    {},
    {"claude.stream.time_to_first_token": 9.9, "gen_ai.response.time_to_first_chunk": 9.9},
    {"claude.stream.chunk.longest_gap": 9.9, "claude.stream.longest_silence": 9.9},
    {"claude.stream.resumed": False, "http.request.resend_count": 0},
    {"claude.stream.time_to_first_token": "a text", "claude.stream.attempt.count": "2"},
    {"sampling.keep": "aborted"},  # a sender does not decide
)


def test_every_kind_of_trouble_is_kept_with_its_whole_trace(start, backend):
    """One trace for each: the application's root, the stream, a tool call beside it. Healthy ones go."""
    collector = start(GATEWAY, **NONE)
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
    said = {}
    for span in arrived:
        if verdict := sending.plain(span.get("attributes", [])).get("sampling.keep"):
            said[span["traceId"]] = verdict
    assert said == wanted


def test_a_stream_outlives_the_wait_of_other_configurations(start, backend):
    """A tool call's span comes first, the failed stream's own much later, the root last: all three are kept."""
    collector = start(GATEWAY, **{**NONE, "OTELCOL_DECISION_WAIT": "60s"})
    trace = sending.new_id(16)
    root = sending.span("POST /answer", trace=trace)
    early = sending.span("execute_tool", trace=trace, parent=root["spanId"])
    late = sending.span(trace=trace, parent=root["spanId"], **KEPT["aborted"][0])
    sending.send(collector.url, "traces", sending.traces(early))
    assert not eventually(backend.spans, 4)
    sending.send(collector.url, "traces", sending.traces(late))
    sending.send(collector.url, "traces", sending.traces(root))
    assert {span["spanId"] for span in backend.wait_for_spans(3)} == {s["spanId"] for s in (root, early, late)}


def test_the_wait_is_longer_than_the_longest_stream():
    """The default of the SDK's time-out is 600 s; processors wait 30 s unless told."""
    sampling = yaml.safe_load(GATEWAY.read_text())["processors"]["tail_sampling"]
    assert default(sampling["decision_wait"]) == "660s"
    assert float(default(sampling["decision_wait_after_root_received"]).removesuffix("s")) <= 10


def test_an_abort_that_comes_after_the_verdict_is_kept(start, backend):
    """The root ended (a background task goes on), the trace was judged healthy: its late abort arrives even so."""
    collector = start(GATEWAY, **NONE)
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


def test_trouble_does_not_wait(start, backend):
    """With the longest waits: what failed is on its way at once, and no crash of the Collector can take it."""
    collector = start(GATEWAY, **{**NONE, "OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"})
    failed = sending.span(**KEPT["aborted"][0])
    sending.send(collector.url, "traces", sending.traces(failed))
    assert [span["spanId"] for span in backend.wait_for_spans(1, 5)] == [failed["spanId"]]


@pytest.mark.parametrize("percent", [25])
def test_healthy_ones_are_kept_at_the_configured_share(start, backend, percent):
    """4000 traces with fixed ids: within three standard deviations, and the same verdict for all spans of a trace."""
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


def test_the_names_are_those_of_the_schema():
    """Every attribute and event of ours that decides a verdict is one that the package sets."""
    text = yaml.safe_dump(yaml.safe_load(GATEWAY.read_text())["processors"]["transform/verdict"])
    known = {a.name for span in schema.SPANS for a in span.attributes} | {event.name for event in schema.EVENTS}
    found = names_of_ours(text)
    assert found - known == set()
    assert len(found) > 8


def names_of_ours(text):
    """What stands in quotes and begins like a name of ours."""
    import re

    return set(re.findall(r'"((?:claude\.stream|gen_ai)\.[a-z_.]+)"', text))


def default(setting):
    """What stands behind the name in `${env:NAME:-default}`."""
    return setting.partition(":-")[2].removesuffix("}")
