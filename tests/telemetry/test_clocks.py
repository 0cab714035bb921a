"""How time is divided into waits for the network and time of the caller, and what is a burst, a gap or a stall."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.rig import API, instrumented, points, read, shown
from tests.support.scenes import MESSAGE, after

from otel_claude_stream.testing import Pause, Ping, Script, Send


def observe(monkeypatch, scripts, way="create", *, before=None, each=None, chunks=None, **settings):
    """Read a stream. Return what the caller saw, the span's attributes, the metrics' points and the span's events."""
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
def test_the_time_of_a_slow_caller_is_not_counted_as_gaps_or_silence(monkeypatch, way):
    """The caller works for two seconds on each event."""
    slow = replace(MESSAGE, header_delay=0.2)
    seen, attributes, metrics, _ = observe(monkeypatch, slow, way, each=lambda clock: clock.advance(2.0))
    assert figures(attributes) == (0.2, 0.5, 0.02, 0.3, 2.0 * len(seen.events))
    assert metrics[".chunk.gap"] == [({}, (3, 0.06))]
    assert metrics[".caller.time"] == [({}, (1, 2.0 * len(seen.events)))]
    assert metrics[".output_tokens.rate"] == [({}, (1, 250.0))]
    assert ".stalls" not in metrics


@pytest.mark.parametrize("way", ["create", "async create"])
def test_time_to_first_token_excludes_what_the_caller_does_before_it_reads(monkeypatch, way):
    """The caller sleeps for five seconds between `create()` and the first `next()`."""
    slow = replace(MESSAGE, header_delay=0.2)
    _, attributes, metrics, _ = observe(monkeypatch, slow, way, before=lambda clock: clock.advance(5.0))
    assert figures(attributes) == (0.2, 0.5, 0.02, 0.3, 5.0)
    assert attributes["gen_ai.response.time_to_first_chunk"] == 0.2
    assert metrics[".time_to_first_token"] == [({".block.type": "text"}, (1, 0.5))]


def test_the_duration_and_the_times_of_events_include_the_caller(monkeypatch):
    """Positions on a time line are wall time. Only measures of the API exclude the caller."""
    _, attributes, metrics, events = observe(monkeypatch, MESSAGE, before=lambda clock: clock.advance(5.0))
    assert metrics[".duration"] == [({".outcome": "completed"}, (1, 5.36))]
    assert [at for at, _, _ in events] == [5.0, 5.3, 5.3, 5.3, 5.36, 5.36, 5.36]
    assert ".abort.elapsed" not in attributes


@pytest.mark.parametrize(("gap", "recorded"), [(0.0004, None), (0.001, None), (0.0011, (9, 0.0099)), (0.02, (9, 0.18))])
def test_events_less_than_a_millisecond_apart_are_one_burst(monkeypatch, gap, recorded):
    """Recording a gap costs 6 to 10 us, and events of one TCP segment have no gaps."""
    _, _, metrics, _ = observe(monkeypatch, Script.message(deltas=10, gap=gap), gaps="both")
    assert metrics.get(".chunk.gap", [(None, None)])[0][1] == recorded
    assert metrics.get("gen_ai.client.operation.time_per_output_chunk", [(None, None)])[0][1] == recorded


def test_a_read_of_less_than_50_us_is_no_wait(monkeypatch):
    """Such a read returned buffered bytes. The time was spent by the SDK."""
    _, attributes, _, _ = observe(monkeypatch, Script.message(deltas=10, gap=0.00004))
    assert attributes[".chunk.longest_gap"] == 0.0
    assert attributes[".longest_silence"] <= 0.00004


def test_a_pause_inside_an_event_is_a_gap_before_it(monkeypatch):
    """Half of a delta arrives, and the other half 0.4 s later."""
    raw = MESSAGE.render(MESSAGE.steps[6], None)
    halves = after(MESSAGE, 4, Send.from_bytes(raw[:50]), Pause(0.4), Send.from_bytes(raw[50:]), *MESSAGE.steps[7:])
    seen, attributes, metrics, _ = observe(monkeypatch, halves)
    assert seen.error == []
    assert (attributes[".chunk.longest_gap"], attributes[".longest_silence"]) == (0.4, 0.4)
    assert metrics[".chunk.gap"] == [({}, (3, 0.44))]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_figures_do_not_depend_on_how_events_are_split_into_reads(monkeypatch, size):
    """Each read returns a single byte, or a part of an event, or many events."""

    def split(parts):
        whole = b"".join(parts)
        return [whole[at : at + size] for at in range(0, len(whole), size)]

    _, plain, metrics, events = observe(monkeypatch, MESSAGE)
    _, split_up, split_metrics, split_events = observe(monkeypatch, MESSAGE, chunks=split)
    assert (split_metrics, split_events) == (metrics, events)
    for attributes in (plain, split_up):
        attributes.pop(".read.count")
        attributes.pop(".read.events")
    assert split_up == plain


THRESHOLDS = "50ms,100ms"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([Pause(0.04)], []),
        ([Pause(0.05)], [("0.05s", "silent")]),
        ([Pause(0.15)], [("0.05s", "silent"), ("0.1s", "silent")]),
        ([Pause(0.03), Ping(), Pause(0.03)], [("0.05s", "pings_only")]),
        ([Pause(0.06), Ping(), Pause(0.06)], [("0.05s", "pings_only"), ("0.1s", "pings_only")]),
    ],
)
@pytest.mark.parametrize("events", [4, 5])
def test_each_threshold_is_reported_once_for_each_wait_with_its_kind(monkeypatch, steps, expected, events):
    """The kind distinguishes waits with pings from waits without any byte."""
    script = after(Script.message(deltas=8, pings=0), events, *steps, *Script.message(deltas=8, pings=0).steps[events:])
    _, _, metrics, found = observe(monkeypatch, script, stall_thresholds=THRESHOLDS)
    stalls = [attributes for _, name, attributes in found if name == ".stall"]
    assert [(stall[".stall.threshold"], stall[".stall.kind"]) for stall in stalls] == expected
    counted = [labels for labels, _ in metrics.get(".stalls", [])]
    assert sorted((labels[".stall.threshold"], labels[".stall.kind"]) for labels in counted) == sorted(expected)


def test_a_wait_for_the_first_token_may_be_a_stall(monkeypatch):
    _, attributes, metrics, _ = observe(monkeypatch, MESSAGE, stall_thresholds="200ms")
    assert metrics[".stalls"] == [({".stall.threshold": "0.2s", ".stall.kind": "silent"}, 1)]
    assert attributes[".time_to_first_token"] == 0.3


def test_two_waits_are_two_stalls(monkeypatch):
    _, _, metrics, _ = observe(monkeypatch, Script.message(deltas=3, gap=0.07), stall_thresholds=THRESHOLDS)
    assert metrics[".stalls"] == [({".stall.threshold": "0.05s", ".stall.kind": "silent"}, 2)]


def test_without_thresholds_nothing_stalls(monkeypatch):
    _, _, metrics, _ = observe(monkeypatch, MESSAGE.insert_pause(5, 900.0), stall_thresholds=())
    assert ".stalls" not in metrics
