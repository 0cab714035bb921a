"""Runs of weeks, for which the stored streams are bounded, and dropped ones are counted."""

from __future__ import annotations

from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, span

from otel_claude_stream.cli.view import stream_store
from otel_claude_stream.cli.view.model import Tokens
from otel_claude_stream.cli.view.stream_store import PENDING, StreamStore
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.telemetry import STALE, Telemetry


def spans_of(number: int, attributes=HEALTHY, first: int = 1, events: int = 2):
    for n in range(first, first + number):
        found = span(attributes, [delta(0.01 * at) for at in range(events)], start=n, span_id=f"{n:016x}")
        yield from samples.decoded(found)


def test_the_oldest_completed_streams_are_dropped_first() -> None:
    streams = StreamStore(streams=100)
    streams.add(spans_of(5, CUT))
    streams.add(spans_of(195, first=6))
    views = streams.views()
    assert (len(views), streams.dropped, streams.received) == (100, 100, 200)
    assert [view.outcome for view in views[:6]] == ["failed"] * 5 + ["completed"]
    assert streams.summary() == summarise(views_of(195, first=6) + views_of(5, CUT))


def views_of(number: int, attributes=HEALTHY, first: int = 1):
    streams = StreamStore(streams=1000)
    streams.add(spans_of(number, attributes, first))
    return streams.views()


def test_without_completed_streams_the_oldest_are_dropped() -> None:
    streams = StreamStore(streams=100)
    streams.add(spans_of(200, CUT))
    assert [view.key[-4:] for view in streams.views()[:2]] == ["0065", "0066"]


def test_events_of_the_oldest_streams_are_dropped_first() -> None:
    streams = StreamStore(marks=1000)
    streams.add(spans_of(200, events=20))
    views = streams.views()
    assert streams.without_marks == 200 - PENDING - 1000 // 20
    assert [bool(view.marks) for view in views] == [False] * 86 + [True] * 114
    assert (views[0].ttft, views[0].outcome) == (0.4, "completed")


def test_related_spans_may_arrive_before_and_after() -> None:
    without_usage = {name: found for name, found in HEALTHY.items() if not name.startswith("gen_ai.usage")}
    stream = span(without_usage, name="claude.stream x", span_id="1" * 16, parent="2" * 16)
    chat = span({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 8}, span_id="2" * 16)
    spans = [*samples.decoded(stream), *samples.decoded(chat, scope="com.anthropic.sdk.python")]
    for order in (spans, spans[::-1]):
        streams = StreamStore()
        for one in order:
            streams.add([one])
            streams.views()
        assert [view.tokens for view in streams.views()] == [Tokens(7, 8)]


def test_related_spans_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(stream_store, "MOST_RELATED", 50)
    streams = StreamStore()
    streams.add(samples.decoded(*(span({"gen_ai.usage.input_tokens": 1}, span_id=f"{n:016x}") for n in range(500)),
                                scope="theirs"))  # fmt: skip
    streams.add(samples.decoded(*(span({"db": "x"}, span_id=f"{n:016x}") for n in range(500, 900)), scope="theirs"))
    assert (len(streams._related), sum(map(len, streams._children.values()))) == (50, 50)
    assert streams.views() == ()


def test_open_streams_of_many_processes() -> None:
    now = [0.0]
    telemetry = Telemetry(clock=lambda: now[0])
    assert telemetry.empty
    for process, (count, age) in enumerate([(2, 7.0), (1, 3.0)]):
        telemetry.add("metrics", metrics(str(process), active=count, oldest=age))
    found = telemetry.snapshot()
    assert (found.open, found.oldest, telemetry.empty) == (3, 7.0, False)
    now[0] = STALE - 1
    telemetry.add("metrics", metrics("1", active=0, oldest=0.0))
    now[0] = STALE + 1
    found = telemetry.snapshot()
    assert (found.open, found.oldest) == (0, 0.0)


def metrics(process: str, *, active: int, oldest: float):
    points = {
        "claude.stream.active": ("sum", {"asInt": str(active)}),
        "claude.stream.oldest_age": ("gauge", {"asDouble": oldest}),
    }
    found = [{"name": name, kind: {"dataPoints": [point]}} for name, (kind, point) in points.items()]
    resource = {"attributes": samples.pairs({"service.instance.id": process})}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": found}]}]}


def test_a_connection_to_a_feed_is_no_stream():
    """Neither `run` nor `report` counts it."""
    store = StreamStore()
    feed = samples.span({"claude.stream.outcome": "failed"}, name="claude.stream.feed", span_id="00000000000000f1")
    store.add(samples.decoded(samples.healthy(), feed))
    assert (store.received, len(store.views()), store.summary().outcomes["failed"]) == (1, 1, 0)
