"""Jaeger returns each span of the demo as it was sent: tree, attributes, events, links and status."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.support.dashboards.demo_traces import MODES, RESOURCE, SCOPE, attributes_of, contents, contents_by_id
from tests.support.dashboards.jaeger_server import read_trace

from otel_claude_stream._telemetry import schema

SCOPE_NAME = "otel_claude_stream"
NUMBER = "claude.stream.attempt.number"


@pytest.mark.parametrize("mode", MODES)
def test_jaeger_returns_every_span_of_the_demo_as_it_was_sent(mode, sent, stored):
    wanted = {span["spanId"]: contents(span, resource, scope) for span, resource, scope in sent[mode].spans}
    traces = {one["trace"] for one in wanted.values()}
    found = {key: one for trace in traces for key, one in contents_by_id(stored[trace]).items()}
    assert found.keys() == wanted.keys()
    assert len(traces) > 20
    assert sum(len(one["events"]) for one in found.values()) > 500
    assert {one["status"][0] for one in found.values()} >= {0, 2}
    for key, one in wanted.items():
        assert found[key] == one


def trees(spans: dict[str, dict[str, Any]]) -> list[tuple[int, list[int]]]:
    """Return the number of requests of each stream, and the numbers of the attempts below it, by their start."""
    own = {key: one for key, one in spans.items() if one["scope"][0] == SCOPE_NAME}
    found = []
    for key, one in own.items():
        if one["name"] != schema.ATTEMPT_SPAN.name:
            below = sorted(
                (other for other in own.values() if other["parent"] == key), key=lambda other: other["times"]
            )
            assert {other["name"] for other in below} <= {schema.ATTEMPT_SPAN.name}
            numbers = [int(other["attributes"][NUMBER][1]) for other in below]
            found.append((int(one["attributes"]["claude.stream.attempt.count"][1]), numbers))
    assert sum(len(numbers) for _, numbers in found) + len(found) == len(own)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_each_retried_stream_has_the_tree_of_its_attempts(mode, sent, stored):
    traces = {span["traceId"] for span, _, _ in sent[mode].spans}
    streams = [stream for trace in traces for stream in trees(contents_by_id(stored[trace]))]
    assert len(streams) == len(traces)
    retried = [(requests, numbers) for requests, numbers in streams if requests > 1]
    assert len(retried) > 2
    assert all(numbers == list(range(1, requests + 1)) for requests, numbers in retried)
    assert all(not numbers for requests, numbers in streams if requests == 1)


def test_the_modes_differ_in_what_becomes_of_the_streams(sent):
    """The three modes were not three times the same."""
    outcomes = {
        mode: Counter(
            attributes_of(span)["claude.stream.outcome"][1]
            for span, _, scope in sent[mode].spans
            if scope["name"] == SCOPE_NAME and span["name"] != schema.ATTEMPT_SPAN.name
        )
        for mode in MODES
    }
    assert outcomes["observe"]["failed"] > 5
    assert outcomes["retry"]["failed"] > outcomes["resume"]["failed"]


def test_links_and_every_type_of_value_are_returned_as_sent(jaeger, linked):
    for span in linked:
        found = contents_by_id(read_trace(jaeger, span["traceId"], 1))
        assert found == {span["spanId"]: contents(span, RESOURCE, SCOPE)}
