"""Labels that the caller gives to the telemetry of its streams."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from contextlib import contextmanager

import pytest
from opentelemetry import baggage, context
from tests.support.rig import API, WAYS, instrumented, points, read
from tests.support.scenes import MESSAGE

from otel_claude_stream import StreamConfig, stream_labels
from otel_claude_stream._config import stream_labels as _stream_labels
from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._sdk.attach.request import call_of
from otel_claude_stream._telemetry import labels as _labels
from otel_claude_stream._telemetry.labels import MAX_LABELLED, LabelSets
from otel_claude_stream._telemetry.schema import METRICS, RATE_LIMITS


@contextmanager
def carrying(**entries):
    """Have these entries in OpenTelemetry's baggage."""
    found = context.get_current()
    for key, value in entries.items():
        found = baggage.set_baggage(key.replace("__", "."), value, found)
    token = context.attach(found)
    yield
    context.detach(token)


@pytest.fixture(autouse=True)
def _log_again():
    """Log a problem of labels again, which is logged once in a process."""
    for log in (_labels._log_values, _labels._log_keys, _labels._log_sets):
        log.cache_clear()
    _stream_labels._logged.clear()


def labels_in(attributes):
    """The labels of the caller among some attributes, whose names may be short."""
    return {key.rpartition(".label.")[2]: value for key, value in attributes.items() if ".label." in key}


def labels_of_calls(monkeypatch, *blocks, way="create", **settings):
    """The labels of the span of each call; `blocks` are context managers around one call each."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock, **settings) as capture:
        for block in blocks:
            with block:
                read(api, way)
        on_metrics = [labels_in(point[0]) for point in points(capture)[".duration"]]
    return [labels_in(span["attributes"]) for span in capture.spans()], on_metrics


@pytest.mark.parametrize("way", WAYS)
def test_a_block_sets_labels_of_spans_and_of_all_metrics(monkeypatch, way):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture, stream_labels(tenant="a", **{"user.tier": "gold"}):
        read(api, way)
        found = points(capture)
    expected = {"tenant": "a", "user.tier": "gold"}
    assert [labels_in(span["attributes"]) for span in capture.spans()] == [expected]
    assert {".duration", ".requests", "gen_ai.client.operation.duration", ".time_to_first_token"} <= set(found)
    assert [name for name, each in found.items() for labels, _ in each if labels_in(labels) != expected] == []


def test_without_a_block_or_setting_there_are_no_labels(monkeypatch):
    with carrying(tenant="a"):
        (span,), metrics = labels_of_calls(monkeypatch, carrying())
    assert (span, metrics) == ({}, [{}])


def test_blocks_may_be_nested_and_none_removes_a_label(monkeypatch):
    """The innermost value counts, and a label of the baggage is removed too."""
    with carrying(tier="gold"), stream_labels(tenant="a", feature="chat"):
        spans, _ = labels_of_calls(
            monkeypatch, stream_labels(tenant="b"), stream_labels(tenant=None), stream_labels(tier=None, feature=None),
            baggage_labels="tier",
        )  # fmt: skip
    assert spans == [
        {"tenant": "b", "feature": "chat", "tier": "gold"}, {"feature": "chat", "tier": "gold"}, {"tenant": "a"},
    ]  # fmt: skip


def test_only_the_listed_entries_of_the_baggage_become_labels(monkeypatch):
    """A block wins over the baggage. An entry that is no text or empty is left out."""
    setting = {"baggage_labels": ("tenant", "user.tier", "count", "empty")}
    with carrying(tenant="a", user__tier="gold", secret="s", count=3, empty=""):
        spans, metrics = labels_of_calls(monkeypatch, carrying(), stream_labels(tenant="b"), **setting)
    assert spans == metrics == [{"tenant": "a", "user.tier": "gold"}, {"tenant": "b", "user.tier": "gold"}]


def test_labels_belong_to_the_thread_or_task_that_enters_the_block(monkeypatch):
    """A task inherits them; a thread does if it runs in a copy of the context."""
    api = API(MESSAGE)

    async def task(tenant):
        with stream_labels(tenant=tenant):
            await asyncio.sleep(0)
            async with await api.async_client().messages.create(**request, stream=True) as stream:
                async for _ in stream:
                    await asyncio.sleep(0)

    async def tasks():
        with stream_labels(feature="chat"):
            await asyncio.gather(task("a"), task("b"))

    def in_thread(run):
        thread = threading.Thread(target=run, args=(read, api))
        thread.start()
        thread.join()

    request = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello?"}]}
    with instrumented(monkeypatch, api.clock) as capture:
        asyncio.run(tasks())
        with stream_labels(tenant="c"):
            in_thread(lambda function, *args: function(*args))
            in_thread(contextvars.copy_context().run)
    found = [labels_in(span["attributes"]) for span in capture.spans()]
    assert sorted(found[:2], key=str) == [{"feature": "chat", "tenant": x} for x in "ab"]
    assert found[2:] == [{}, {"tenant": "c"}]


def test_a_stream_keeps_its_labels_after_the_block(monkeypatch):
    """Those at the start of the call count."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        with stream_labels(tenant="a"):
            stream = api.client().messages.create(model="claude-test", max_tokens=9, messages=[], stream=True)
        with stream_labels(tenant="b"):
            list(stream)
        assert {labels_in(labels)["tenant"] for each in points(capture).values() for labels, _ in each} == {"a"}


def test_a_thousand_values_become_twenty_and_other(monkeypatch, caplog):
    """The span has the value itself. One log line names the label and the remedy."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    sets = LabelSets(StreamConfig(baggage_labels=("tenant",)), lambda _: None)
    calls = [Call("claude", "anthropic", "messages", "create", "api", 443, "self", labels=(("tenant", f"t{n}"),))
             for n in range(1000)]  # fmt: skip
    found = [sets.common(call)["claude.stream.label.tenant"] for call in calls]
    assert found == [f"t{n}" for n in range(20)] + ["other"] * 980
    (record,) = caplog.records
    assert record.getMessage() == (
        "otel-claude-stream: the label tenant has more than 20 values; further ones are recorded as other on metrics. "
        "Use a label with fewer values, or raise max_label_values"
    )


def test_the_bound_of_values_is_a_setting(monkeypatch):
    spans, metrics = labels_of_calls(monkeypatch, *(stream_labels(tenant=x) for x in "abc"), max_label_values=1)
    assert [one["tenant"] for one in spans] == ["a", "b", "c"]
    assert [one["tenant"] for one in metrics] == ["a", "other"]


def test_baggage_of_a_megabyte_is_cut(monkeypatch, caplog):
    """One log line names the label, and not the value."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    with carrying(tenant="x" * 2**20):
        spans, (metric,) = labels_of_calls(monkeypatch, carrying(), carrying(), baggage_labels="tenant")
    assert spans == [{"tenant": "x" * bounds.NAME}] * 2
    assert metric == {"tenant": "x" * 30 + "..."}  # as `points` shows a long text
    assert [record.getMessage() for record in caplog.records if record.name == "otel_claude_stream"] == [
        (
            "otel-claude-stream: the label tenant has values of more than 128 characters. The rest is cut off on spans "
            "and metrics. Use shorter values"
        )
    ]


def test_each_label_with_values_that_are_cut_is_logged_once(monkeypatch, caplog):
    """However many keys there are, the lines and the memory for them are bounded."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    long = "x" * (bounds.NAME + 1)
    labels_of_calls(
        monkeypatch,
        *(stream_labels(tenant=long, feature="x" * bounds.NAME) for _ in range(3)),
        *(stream_labels(**{f"k{number}": long}) for number in range(40)),
    )
    cut = [record.getMessage() for record in caplog.records if "characters" in record.getMessage()]
    assert [text.split()[3] for text in cut] == ["tenant", *(f"k{number}" for number in range(19))]


def test_spans_have_more_labels_than_metrics_and_those_of_the_setting_come_first(monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    many = {f"a{number:02}": "x" for number in range(12)}
    with carrying(tenant="a"):
        (span,), (metric,) = labels_of_calls(monkeypatch, stream_labels(**many), baggage_labels="tenant")
    assert span == {"tenant": "a", **many}
    assert metric == {"tenant": "a", **{f"a{number:02}": "x" for number in range(7)}}
    (record,) = caplog.records
    assert "spans have them, and metrics do not" in record.getMessage()


def test_labels_beyond_those_of_a_span_are_logged_once(monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    many = {f"a{number:02}": "x" for number in range(40)}
    with carrying(tenant="a"):
        spans, _ = labels_of_calls(monkeypatch, *[stream_labels(**many)] * 2, baggage_labels="tenant")
    assert spans == [{"tenant": "a", **{f"a{number:02}": "x" for number in range(bounds.SPAN_LABELS - 1)}}] * 2
    assert [record.getMessage() for record in caplog.records if "more than 32" in record.getMessage()] == [
        (
            "otel-claude-stream: a call has more than 32 labels. Neither its span nor its metrics have the others. Use "
            "fewer keys in stream_labels()"
        )
    ]


def test_metrics_have_at_most_eight_keys(monkeypatch, caplog):
    """The keys of the setting are among them, whatever blocks come first."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    sets = LabelSets(StreamConfig(baggage_labels=("tenant",)), lambda _: None)

    def keys(*names):
        call = Call(
            "claude", "anthropic", "messages", "create", "api", 443, "self", labels=tuple((n, "x") for n in names)
        )
        return {name.removeprefix("claude.stream.label.") for name in sets.common(call) if ".label." in name}

    assert set().union(*(keys(f"k{n}") for n in range(100))) == {f"k{n}" for n in range(bounds.LABELS - 1)}
    assert keys("k99", "k0", "tenant") == {"k0", "tenant"}
    (record,) = caplog.records
    assert (
        "there are labels besides tenant, k0, k1, k2, k3, k4, k5, k6; spans have them, and metrics do not."
        in record.getMessage()
    )


def test_the_sets_of_labels_are_bounded_over_all_labels_models_and_servers(caplog):
    """Two labels with 30 values each have 900 combinations. Further ones have `other` for every label."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    created = []
    sets = LabelSets(StreamConfig(max_label_values=50), created.append)
    for n in range(900):
        for _ in range(2):
            call = Call("claude", "anthropic", "messages", "create", "api", 443, "self",
                        labels=(("one", str(n // 30)), ("two", str(n % 30))))  # fmt: skip
            last = sets.common(call)
    assert len(created) == MAX_LABELLED + 1
    assert last == created[-1]
    assert {last["claude.stream.label.one"], last["claude.stream.label.two"]} == {"other"}
    (record,) = caplog.records
    assert "more than 256 combinations" in record.getMessage()
    assert len(sets._common) == MAX_LABELLED + 1


def test_equal_values_of_different_labels_stay_apart(monkeypatch):
    """Open streams are counted by keys and values."""
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock) as capture:
        streams = []
        for labels in ({"tenant": "a"}, {"team": "a"}):
            with stream_labels(**labels):
                request = {"model": "claude-test", "max_tokens": 9, "messages": []}
                streams.append(api.client().messages.create(**request, stream=True))
        found = [(labels_in(labels), value) for labels, value in points(capture)[".active"]]
        for stream in streams:
            stream.close()
    assert sorted(found, key=str) == [({"team": "a"}, 1), ({"tenant": "a"}, 1)]


def test_a_label_that_is_not_valid_is_left_out_and_logged_once(caplog):
    """Nothing is raised, as values may come from a request."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    for _ in range(3):
        block = stream_labels(tenant="a", **{"two words": "x", "size": 3, "k" * 65: "y"})  # type: ignore[arg-type]
        assert block.labels == {"tenant": "a"}
    problems = (
        "the key 'two words' is not valid. Use letters, digits and _.- inside, with a letter first",
        "the value of size is of the type int. Pass a text or None",
        f"the key {'k' * 64!r} is not valid. Use letters, digits and _.- inside, with a letter first",
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"otel-claude-stream: stream_labels(): {problem}. The label is left out" for problem in problems
    ]
    for number in range(1000):
        stream_labels(**{f"-{number}": "x"})
    assert len(caplog.records) <= 20


def test_without_labels_a_call_reads_no_baggage(monkeypatch):
    """A call costs nothing more, unless a key or a block asks for labels."""
    monkeypatch.setattr("otel_claude_stream._sdk.attach.request._labels", None)
    assert call_of(object(), object(), None, "always").labels == ()


def test_every_metric_of_streams_may_have_the_labels():
    """All callers share the rate limits."""
    names = {spec.name for spec in METRICS if "claude.stream.label.<key>" not in {x.name for x in spec.attributes}}
    assert names == {"claude.stream.internal.errors", *(spec.name for spec in RATE_LIMITS.values())}
