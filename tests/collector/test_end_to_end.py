"""Streams of the instrumented SDK pass the real Collector, to a backend and to a scrape of Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.exposition import parse_sample
from tests.support.collector.running import GATEWAY, PROMETHEUS, QUICK, eventually
from tests.support.scenes import RESUME, STORY, paced_script, resuming_script

from otel_claude_stream import StreamConfig, no_retry, retry_policy
from otel_claude_stream.testing import CutMidChunk, Error, FakeAPI, Script

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).with_name("exposition.txt")
ANSWER = Script.message("All well so far, and so it goes on.", deltas=6, gap=0.02)
SCRIPTS = {
    "healthy": ANSWER,
    "overloaded": Script.http_error(529),
    "late_overload": ANSWER.cut_after(5, ending=Error("overloaded_error")),
    "cut": ANSWER.cut_after(5, ending=CutMidChunk()),
    "retried": [Script.http_error(529, headers=[("retry-after-ms", "1")]), ANSWER],
    "stalled": ANSWER.insert_pause(5, 0.6),
    "resumed": [paced_script(STORY).cut_after(11, CutMidChunk()), resuming_script(STORY[:83])],
}
CONFIG = StreamConfig(stall_thresholds=(0.5,))


@pytest.fixture
def run(start, backend):
    """One stream for each way in which a stream can end, and the Collector that received them."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    with FakeAPI(SCRIPTS) as api, application(collector.url, CONFIG) as app:
        for name in SCRIPTS:
            with retry_policy(RESUME) if name == "resumed" else no_retry():
                app.stream(api.url_for(name), retries=1 if name == "retried" else 0)
        app.close_early(api.url_for("healthy"))
        app.flush()
        eventually(lambda: collector.scraped() and len(backend.spans()) >= len(SCRIPTS))
        yield collector


def exposition(collector):
    """Each metric with the names of its labels, in the form of the golden file."""
    found = {}
    for line in collector.scraped():
        name, inside, _ = parse_sample(line)
        found.setdefault(name, set()).update(inside)
    return "".join(f"{name}{{{','.join(sorted(found[name]))}}}\n" for name in sorted(found))


def test_names_and_labels_in_prometheus_match_the_golden_file(run):
    """The dashboards query these names."""
    found = exposition(run)
    assert found == GOLDEN.read_text(), f"to accept this, write it to {GOLDEN.name}:\n{found}"


def test_each_stream_has_its_abort_reason_and_its_sampling_verdict(run, backend):

    def verdicts():
        found = [sending.plain(span["attributes"]) for span in backend.spans()]
        streams = [one for one in found if "claude.stream.outcome" in one]
        names = ("claude.stream.outcome", "claude.stream.abort.reason", "sampling.keep")
        return sorted((tuple(one.get(name) for name in names) for one in streams), key=str)

    assert eventually(lambda: len(verdicts()) == 8)
    assert set(verdicts()) == {
        ("completed", None, None),
        ("completed", None, "retried"),
        ("completed", None, "resumed"),
        ("completed", None, "stalled"),
        ("failed", "overloaded", "aborted"),
        ("failed", "connection_closed", "aborted"),
        ("closed", "caller_closed", "aborted"),
    }


def test_exemplars_lead_to_traces_at_the_backend(run, backend):
    """OpenMetrics shows an exemplar for each bucket."""
    lines = run.scraped("application/openmetrics-text; version=1.0.0")
    aborted = [line for line in lines if line.startswith("claude_stream_abort_idle_seconds_bucket") and " # {" in line]
    found = {re.search(r'trace_id="(\w+)"', line)[1] for line in aborted}
    assert found
    assert eventually(lambda: found <= {span["traceId"] for span in backend.spans()})


def test_each_stream_is_counted_once_in_prometheus(run):
    """Healthy streams are counted whether their traces are kept or not."""
    values = {}
    for line in run.scraped():
        name, found, amount = parse_sample(line)
        assert (found["job"], found["instance"]) == ("test/shop", "one")
        if name == "claude_stream_aborts_total":
            values[found["claude_stream_abort_reason"], found["claude_stream_phase"]] = amount
        elif name == "claude_stream_duration_seconds_count":
            values[found["claude_stream_outcome"]] = amount
    counted = {key: amount for key, amount in values.items() if amount}
    assert counted == {
        ("overloaded", "awaiting_response"): 1.0,
        ("overloaded", "streaming"): 1.0,
        ("connection_closed", "streaming"): 1.0,
        ("caller_closed", "awaiting_first_token"): 1.0,
        "completed": 4.0,
        "failed": 3.0,
        "closed": 1.0,
    }
