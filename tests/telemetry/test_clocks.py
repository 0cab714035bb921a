"""Which time is whose: waits for the wire, the caller's own time, bursts, gaps and stalls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.rig import API, instrumented, points, read, shown
from tests.support.scenes import MESSAGE, after

from otel_claude_stream.testing import Pause, Ping, Script, Send


def observe(monkeypatch, scripts, way="create", *, before=None, each=None, chunks=None, **settings):
    """Play and read; gives the span as shown, and the points of the metrics."""
    api = API(scripts)
    if chunks is not None:
        api.chunks = chunks
    with instrumented(monkeypatch, api.clock, **settings) as capture:
        seen = read(api, way, before=lambda _: before and before(api.clock), each=lambda _: each and each(api.clock))
        (span,) = [shown(span) for span in capture.spans()]
        return seen, span["attributes"], points(capture), span["events"]


FIGURES = (".time_to_headers", ".time_to_first_token", ".chunk.longest_gap", ".longest_silence", ".caller.time")


def figures(attributes):
    return tuple(attributes.get(name) for name in FIGURES)


@pytest.mark.parametrize("way", ["create", "stream", "async create", "async stream"])
def test_a_slow_caller_is_no_slow_api(monkeypatch, way):
    """The caller works two seconds on each event: that is its time; gaps and silences stay the API's."""
    slow = replace(MESSAGE, header_delay=0.2)
    seen, attributes, metrics, _ = observe(monkeypatch, slow, way, each=lambda clock: clock.advance(2.0))
    assert figures(attributes) == (0.2, 0.5, 0.02, 0.3, 2.0 * len(seen.events))
    assert metrics[".chunk.gap"] == [({}, (3, 0.06))]
    assert metrics[".caller.time"] == [({}, (1, 2.0 * len(seen.events)))]
    assert metrics[".output_tokens.rate"] == [({}, (1, 250.0))]
    assert ".stalls" not in metrics


@pytest.mark.parametrize("way", ["create", "async create"])
def test_time_to_first_token_leaves_out_what_the_caller_did_before_it_read(monkeypatch, way):
    """It slept five seconds between `create()` and the first `next()`: not the API's fault."""
    slow = replace(MESSAGE, header_delay=0.2)
    _, attributes, metrics, _ = observe(monkeypatch, slow, way, before=lambda clock: clock.advance(5.0))
    assert figures(attributes) == (0.2, 0.5, 0.02, 0.3, 5.0)
    assert attributes["gen_ai.response.time_to_first_chunk"] == 0.2
    assert metrics[".time_to_first_token"] == [({".block.type": "text"}, (1, 0.5))]


def test_duration_and_times_of_events_are_those_of_the_wall(monkeypatch):
    """What is judged leaves the caller's time out; what is placed on a time line does not."""
    _, attributes, metrics, events = observe(monkeypatch, MESSAGE, before=lambda clock: clock.advance(5.0))
    assert metrics[".duration"] == [({".outcome": "completed"}, (1, 5.36))]
    assert [at for at, _, _ in events] == [5.0, 5.3, 5.3, 5.3, 5.36, 5.36, 5.36]
    assert ".abort.elapsed" not in attributes


@pytest.mark.parametrize(("gap", "recorded"), [(0.0004, None), (0.001, None), (0.0011, (9, 0.0099)), (0.02, (9, 0.18))])
def test_events_less_than_a_millisecond_apart_are_one_burst(monkeypatch, gap, recorded):
    """A gap costs 6 to 10 us to tell; within one segment there is none."""
    _, _, metrics, _ = observe(monkeypatch, Script.message(deltas=10, gap=gap))
    assert metrics.get(".chunk.gap", [(None, None)])[0][1] == recorded
    assert metrics.get("gen_ai.client.operation.time_per_output_chunk", [(None, None)])[0][1] == recorded


def test_a_read_from_memory_is_no_wait(monkeypatch):
    """Less than 50 us: what the SDK spends on a read is not the wire's."""
    _, attributes, _, _ = observe(monkeypatch, Script.message(deltas=10, gap=0.00004))
    assert attributes[".chunk.longest_gap"] == 0.0
    assert attributes[".longest_silence"] <= 0.00004


def test_a_wait_inside_an_event_is_a_wait_for_it(monkeypatch):
    """Half of a delta, four tenths of nothing, the other half: one gap."""
    raw = MESSAGE.render(MESSAGE.steps[6], None)
    halves = after(MESSAGE, 4, Send.from_bytes(raw[:50]), Pause(0.4), Send.from_bytes(raw[50:]), *MESSAGE.steps[7:])
    seen, attributes, metrics, _ = observe(monkeypatch, halves)
    assert seen.error == []
    assert (attributes[".chunk.longest_gap"], attributes[".longest_silence"]) == (0.4, 0.4)
    assert metrics[".chunk.gap"] == [({}, (3, 0.44))]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_however_the_bytes_come_the_figures_are_the_same(monkeypatch, size):
    """A byte at a time or many events in one read: events, waits and gaps do not depend on it."""

    def cut(parts):
        whole = b"".join(parts)
        return [whole[at : at + size] for at in range(0, len(whole), size)]

    _, plain, metrics, events = observe(monkeypatch, MESSAGE)
    _, cut_up, cut_metrics, cut_events = observe(monkeypatch, MESSAGE, chunks=cut)
    assert (cut_metrics, cut_events) == (metrics, events)
    for attributes in (plain, cut_up):
        attributes.pop(".read.count")
        attributes.pop(".read.events")
    assert cut_up == plain


THRESHOLDS = "50ms,100ms"


@pytest.mark.parametrize(
    ("stall", "told"),
    [
        ([Pause(0.04)], []),
        ([Pause(0.05)], [("0.05s", "silent")]),
        ([Pause(0.15)], [("0.05s", "silent"), ("0.1s", "silent")]),
        ([Pause(0.03), Ping(), Pause(0.03)], [("0.05s", "pings_only")]),
        ([Pause(0.06), Ping(), Pause(0.06)], [("0.05s", "pings_only"), ("0.1s", "pings_only")]),
    ],
)
@pytest.mark.parametrize("events", [4, 5])
def test_a_stall_is_told_by_threshold_and_kind(monkeypatch, stall, told, events):
    """Each threshold once for each wait; bytes that are pings only are told apart from none at all."""
    script = after(Script.message(deltas=8, pings=0), events, *stall, *Script.message(deltas=8, pings=0).steps[events:])
    _, _, metrics, found = observe(monkeypatch, script, stall_thresholds=THRESHOLDS)
    assert [(said[".stall.threshold"], said[".stall.kind"]) for _, name, said in found if name == ".stall"] == told
    assert sorted((said[".stall.threshold"], said[".stall.kind"]) for said, _ in metrics.get(".stalls", [])) == sorted(
        told
    )


def test_a_wait_for_the_first_token_can_stall_too(monkeypatch):
    _, attributes, metrics, _ = observe(monkeypatch, MESSAGE, stall_thresholds="200ms")
    assert metrics[".stalls"] == [({".stall.threshold": "0.2s", ".stall.kind": "silent"}, 1)]
    assert attributes[".time_to_first_token"] == 0.3


def test_two_waits_are_two_stalls(monkeypatch):
    _, _, metrics, _ = observe(monkeypatch, Script.message(deltas=3, gap=0.07), stall_thresholds=THRESHOLDS)
    assert metrics[".stalls"] == [({".stall.threshold": "0.05s", ".stall.kind": "silent"}, 2)]


def test_without_thresholds_nothing_stalls(monkeypatch):
    _, _, metrics, _ = observe(monkeypatch, MESSAGE.insert_pause(5, 900.0), stall_thresholds=())
    assert ".stalls" not in metrics
