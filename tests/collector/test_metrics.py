"""The gateway bounds the labels of metrics, and counts streams from spans under the names of the package."""

from __future__ import annotations

import re

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.exposition import samples, sorted_samples, wait_for_samples
from tests.support.collector.running import FILES, GATEWAY, PROMETHEUS, QUICK, eventually

from otel_claude_stream._telemetry import schema

pytestmark = pytest.mark.slow

FROM_SPANS = FILES / "metrics-from-spans.yaml"
OURS = r"^(claude\.stream|gen_ai\.client)\."
MEASURED = {"claude_stream_source": "instrumentation"}
"""The label that the gateway adds to metrics of the package."""


def test_labels_outside_the_schema_are_dropped_and_their_points_added_up(start, backend):
    """Series that differ in such labels only become one, with the sum of counters or the largest gauge."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    same = {"gen_ai.request.model": "claude", "server.address": "api.anthropic.com"}
    points = [sending.point(1, **same, request_id=f"req_{n}", **{"claude.stream.secret": str(n)}) for n in range(20)]
    ages = [sending.point(n, **same, user=str(n)) for n in range(20)]
    for point in points + ages:
        point |= {key: points[0][key] for key in ("timeUnixNano", "startTimeUnixNano")}
    found = [sending.counter("claude.stream.aborts", *points), sending.gauge("claude.stream.oldest_age", *ages)]
    sending.send(collector.url, "metrics", sending.metrics(*found))
    plain = {"gen_ai_request_model": "claude", "server_address": "api.anthropic.com", "job": "sender", **MEASURED}
    wait_for_samples(collector, "claude_stream_oldest_age_seconds")
    assert samples(collector, "claude_stream_aborts_total") == [(plain, 20.0)]
    assert samples(collector, "claude_stream_oldest_age_seconds") == [(plain, 19.0)]
    assert eventually(lambda: len(backend.points()) == 2)


def test_models_and_addresses_that_are_not_names_become_other(start, backend):
    """A name has no blanks, quotes or line breaks. Other values are cut after 256 characters."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    bad = ["two words", 'quote"', "line\nbreak", "x" * 101, "back\\slash", "\N{SNOWMAN}"]
    points = [sending.point(1, **{"gen_ai.request.model": value, "server.address": value}) for value in bad]
    for point in points:
        point |= {key: points[0][key] for key in ("timeUnixNano", "startTimeUnixNano")}
    long = sending.point(1, **{"gen_ai.request.model": "claude", "error.type": "e" * 1000})
    found = [sending.counter("claude.stream.requests", *points), sending.counter("claude.stream.retries", long)]
    sending.send(collector.url, "metrics", sending.metrics(*found))
    wait_for_samples(collector, "claude_stream_retries_total")
    # An address may have 101 letters; the name of a model may not.
    bounded = {"gen_ai_request_model": "other", "server_address": "other", "job": "sender", **MEASURED}
    assert sorted(samples(collector, "claude_stream_requests_total"), key=lambda one: one[1]) == [
        ({**bounded, "server_address": "x" * 101}, 1.0),
        (bounded, 5.0),
    ]
    ((cut, _),) = samples(collector, "claude_stream_retries_total")
    assert cut["error_type"] == "e" * 256


def test_hostile_labels_and_histograms_do_not_break_the_exposition(start, backend):
    """`le` and `quantile` as labels, control characters, names that become equal, buckets that do not fit."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    hostile = {"le": "1", "quantile": "0.5", "__name__": "up", "a.b": "1", "a_b": "2", "new\nline": "x", "": "empty"}
    bucket = sending.bucket([1.0], [1, 2], **hostile)
    torn = [sending.bucket([1.0], [1, 1, 1], x="1"), sending.bucket([1.0], [3], x="2"), sending.bucket([], [], x="3")]
    nan = [sending.bucket(["NaN"], [1, 2], x="4"), sending.bucket(["NaN", 2.0], [1, 1, 1], x="4")]
    for name in ("theirs", "claude.stream.duration", "gen_ai.client.operation.duration", "", 'quo"te', "new\nline"):
        sending.send(collector.url, "metrics", sending.metrics(sending.histogram(name, *torn, bucket)))
        # A histogram with NaN as a bound has its whole request refused.
        status, answer = sending.post(collector.url, "metrics", sending.metrics(sending.histogram(name, bucket, *nan)))
        assert (status, "explicit_bounds" in answer) == (503, True), answer
    sending.send(collector.url, "metrics", sending.metrics(sending.counter("after", sending.point(1))))
    assert wait_for_samples(collector, "after_total") == [({"job": "sender"}, 1.0)]
    assert all(set(found) <= {"job", "le", "a_b", "x"} for found, _ in samples(collector, "theirs_seconds_bucket"))
    assert collector.process.poll() is None
    assert "panic" not in collector.output()


def test_labels_that_a_sender_invents_do_not_multiply_series(start, backend):
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    points = [sending.point(1, **{f"key_{n}": "x", "session.id": str(n), "user.id": str(n)}) for n in range(5000)]
    for point in points:
        point |= {key: points[0][key] for key in ("timeUnixNano", "startTimeUnixNano")}
    sending.send(collector.url, "metrics", sending.metrics(sending.counter("gen_ai.client.token.usage", *points)))
    assert wait_for_samples(collector, "gen_ai_client_token_usage_total") == [({"job": "sender"}, 5000.0)]


def test_the_source_of_a_metric_is_one_of_two(start, backend):
    """Another value is replaced. Metrics of the conventions have no source, because others emit them too."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    values = ["instrumentation", "sdk", "api", *(f"forged {number}" for number in range(1000))]
    points = [sending.point(1, **{"claude.stream.source": value}) for value in values]
    for point in points:
        point |= {key: points[0][key] for key in ("timeUnixNano", "startTimeUnixNano")}
    found = [sending.counter(name, *points) for name in ("claude.stream.requests", "gen_ai.client.token.usage")]
    sending.send(collector.url, "metrics", sending.metrics(*found))
    assert wait_for_samples(collector, "gen_ai_client_token_usage_total") == [({"job": "sender"}, 1003.0)]
    assert sorted_samples(collector, "claude_stream_requests_total") == [
        ({"job": "sender", **MEASURED}, 1002.0),
        ({"job": "sender", "claude_stream_source": "sdk"}, 1.0),
    ]


@pytest.mark.parametrize(
    ("keys", "kept"), [(None, {"tenant", "user.tier"}), ("tenant|other", {"tenant"}), ("-", set())]
)
def test_labels_of_callers_stay_if_their_keys_are_allowed(start, backend, keys, kept):
    """A key that ends like the ID of a user or a session is removed in any case. Values are cut."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK, **({"OTELCOL_LABELS": keys} if keys else {}))
    labels = {"tenant": "a" * 300, "user.tier": "gold", "user_id": "u1", "session.id": "s1"}
    point = sending.point(1, **{f"claude.stream.label.{key}": value for key, value in labels.items()})
    sending.send(collector.url, "metrics", sending.metrics(sending.counter("claude.stream.aborts", point)))
    ((found, _),) = wait_for_samples(collector, "claude_stream_aborts_total")
    expected = {f"claude_stream_label_{key.replace('.', '_')}": labels[key][:256] for key in kept}
    assert found == {**expected, "job": "sender", **MEASURED}


DERIVED = "gen_ai_client_operation_time_per_output_chunk_seconds_count"
GAPS = {"gen_ai.request.model": "claude", "server.address": "api.anthropic.com"}


def gaps(name="claude.stream.chunk.gap", **labels):
    """A histogram of three waits between chunks."""
    return sending.histogram(name, sending.bucket([0.01, 0.1], [1, 2, 0], **GAPS, **labels))


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("api.anthropic.com", "anthropic"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai"),
    ],
)
def test_the_conventions_histogram_of_chunks_is_derived_from_ours(start, backend, address, provider):
    """It has their name and their labels, as far as they are known. Ours stays."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    point = sending.bucket([0.01, 0.1], [1, 2, 0], **{**GAPS, "server.address": address})
    sending.send(collector.url, "metrics", sending.metrics(sending.histogram("claude.stream.chunk.gap", point)))
    labels = {"gen_ai_request_model": "claude", "server_address": address, "job": "sender"}
    derived = {**labels, "gen_ai_operation_name": "chat", "gen_ai_provider_name": provider}
    assert wait_for_samples(collector, DERIVED) == [(derived, 3.0)]
    assert samples(collector, DERIVED.replace("_count", "_bucket")) == [
        ({**derived, "le": "0.01"}, 1.0),
        ({**derived, "le": "0.1"}, 3.0),
        ({**derived, "le": "+Inf"}, 3.0),
    ]
    assert samples(collector, "claude_stream_chunk_gap_seconds_count") == [({**labels, **MEASURED}, 3.0)]
    assert "has_chunks" not in backend.text()


@pytest.mark.parametrize("name", [schema.GENAI_TIME_PER_OUTPUT_CHUNK.name, schema.GENAI_TIME_PER_OUTPUT_CHUNK.name_0_1])
def test_a_sender_that_records_the_conventions_histogram_itself_gets_no_second_one(start, backend, name):
    """Its own name may be that of version 0.1 of the conventions. Another sender in the same request gets one."""
    collector = start(GATEWAY, PROMETHEUS, **QUICK)
    both = sending.metrics(gaps(), gaps(name, mark="own"), resource={"service.name": "both"})
    ours = sending.metrics(gaps(), resource={"service.name": "ours"})
    both["resourceMetrics"] += ours["resourceMetrics"]
    sending.send(collector.url, "metrics", both)
    assert [labels["job"] for labels, _ in wait_for_samples(collector, DERIVED)].count("ours") == 1
    recorded = samples(collector, "gen_ai_client_operation_time_per_output_chunk_seconds_count")
    recorded += samples(collector, "gen_ai_client_inference_time_per_output_chunk_seconds_count")
    assert [value for labels, value in recorded if labels["job"] == "both"] == [3.0]


@pytest.mark.parametrize("name", ["none", "gen_ai.client.inference.time_per_output_chunk"])
def test_the_name_of_the_derived_histogram_is_a_variable(start, backend, name):
    collector = start(GATEWAY, PROMETHEUS, **QUICK, OTELCOL_TIME_PER_CHUNK=name)
    sending.send(collector.url, "metrics", sending.metrics(gaps()))
    assert wait_for_samples(collector, "claude_stream_chunk_gap_seconds_count")
    found = {line.partition("{")[0] for line in collector.scraped() if "per_output_chunk_seconds_count" in line}
    assert found == (set() if name == "none" else {"gen_ai_client_inference_time_per_output_chunk_seconds_count"})


def test_counts_from_spans_have_the_names_and_labels_of_the_package(start, backend):
    """They are counted before sampling, and are cumulative."""
    collector = start(GATEWAY, PROMETHEUS, FROM_SPANS, **{**QUICK, "OTELCOL_HEALTHY_PERCENT": "0"})
    call = {"gen_ai.request.model": "claude", "server.address": "api.anthropic.com", "claude.stream.attempt.count": 1}
    ok = {**call, "claude.stream.outcome": "completed"}
    cut = {
        **call,
        "claude.stream.outcome": "failed",
        "claude.stream.phase": "streaming",
        "claude.stream.abort.reason": "connection_closed",
        "claude.stream.abort.origin": "intermediary",
        "claude.stream.abort.limit_match": "idle:60s",
    }
    late = {**cut, "claude.stream.abort.reason": "overloaded", "claude.stream.error.source": "sse"}
    retried = {**late, "claude.stream.attempt.count": 3, "claude.stream.error.source": "http"}
    attempt = {name: value for name, value in late.items() if name not in ("claude.stream.outcome", *NOT_ON_ATTEMPTS)}
    attempts = [
        {**attempt, "claude.stream.attempt.number": 1},
        {**attempt, "claude.stream.attempt.number": 2, "claude.stream.error.source": "sse"},
        {**attempt, "claude.stream.attempt.number": 3},
    ]
    closed = {**cut, "claude.stream.outcome": "closed", "claude.stream.abort.origin": "caller"}
    of_feed = {**cut, "claude.stream.feed.kind": "session"}
    rows = [ok, ok, cut, late, retried, *attempts, closed, of_feed, {"db.system": "other span"}]
    for times in (1, 2):
        sending.send(collector.url, "traces", sending.traces(*(sending.span(**row) for row in rows)))
        total = {"gen_ai_request_model": "claude", "server_address": "api.anthropic.com", "job": "sender", **MEASURED}
        ended = (("closed", 1.0), ("completed", 2.0), ("failed", 3.0))
        streams = [({**total, "claude_stream_outcome": outcome}, n * times) for outcome, n in ended]
        assert becomes(collector, "claude_stream_streams_total", streams), collector.scraped()
    aborted = {
        **total,
        "claude_stream_abort_limit_match": "idle:60s",
        "claude_stream_abort_origin": "intermediary",
        "claude_stream_phase": "streaming",
    }
    by_caller = {**aborted, "claude_stream_abort_origin": "caller"}
    assert sorted_samples(collector, "claude_stream_aborts_total") == [
        ({**by_caller, "claude_stream_abort_reason": "connection_closed"}, 2.0),
        ({**aborted, "claude_stream_abort_reason": "connection_closed"}, 2.0),
        ({**aborted, "claude_stream_abort_reason": "overloaded"}, 4.0),
    ]
    assert sorted_samples(collector, "claude_stream_attempt_aborts_total") == [
        ({**aborted, "claude_stream_abort_reason": "connection_closed"}, 2.0),
        ({**aborted, "claude_stream_abort_reason": "overloaded"}, 8.0),
    ]
    assert sorted_samples(collector, "claude_stream_overloads_total") == [
        ({**total, "claude_stream_error_source": "http"}, 4.0),
        ({**total, "claude_stream_error_source": "sse"}, 4.0),
    ]


NOT_ON_ATTEMPTS = ("claude.stream.attempt.count", "claude.stream.error.source")
"""Attributes of the span of a stream that the span of an attempt, retried by the SDK, does not have."""


def becomes(collector, name, wanted):
    """Whether a metric has these series within the usual time."""
    return eventually(lambda: sorted_samples(collector, name) == wanted)


def test_counts_from_spans_are_complete_whatever_the_order(start, backend):
    """Each stream began and ended before all that were counted already."""
    collector = start(GATEWAY, PROMETHEUS, FROM_SPANS, **QUICK, OTELCOL_INSTANCE="gateway-1")
    for number in range(50):
        span = sending.span(**{"claude.stream.outcome": "completed", "gen_ai.request.model": "claude"})
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            span[name] = str(int(span[name]) - number * 10**9)
        sending.send(collector.url, "traces", sending.traces(span))
    assert eventually(lambda: [amount for _, amount in samples(collector, "claude_stream_streams_total")] == [50.0])
    assert any('collector="gateway-1"' in line for line in collector.scraped())


def test_services_that_send_metrics_are_not_counted_from_spans(start, backend):
    """A regular expression for `service.name` selects the others."""
    collector = start(GATEWAY, PROMETHEUS, FROM_SPANS, **QUICK, OTELCOL_SERVICES_WITHOUT_METRICS="^(old|older)$")
    span = {"claude.stream.outcome": "completed", "gen_ai.request.model": "claude"}
    for service in ("old", "new", "oldest"):
        sending.send(collector.url, "traces", sending.traces(sending.span(**span), resource={"service.name": service}))
    assert wait_for_samples(collector, "claude_stream_streams_total")
    assert {found["job"] for found, _ in samples(collector, "claude_stream_streams_total")} == {"old"}


def test_the_metrics_of_the_collector_reach_a_backend_by_otlp(start, backend):
    """They have the names that the pipeline dashboard queries."""
    settings = {"OTELCOL_SELF_METRICS_MILLISECONDS": "200", "OTELCOL_SERVICE_NAME": "gateway-1"}
    collector = start(GATEWAY, FILES / "self-metrics.yaml", **QUICK, **settings)
    sending.send(collector.url, "traces", sending.traces(sending.span()))
    wanted = {"otelcol_receiver_accepted_spans", "otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"}
    assert eventually(lambda: wanted <= {name for name, _ in backend.points()})
    assert "gateway-1" in backend.text()


def test_the_allowed_labels_are_those_of_the_schema_and_of_the_overlay():
    groups = yaml.safe_load(GATEWAY.read_text())["processors"]["transform/cardinality"]["metric_statements"]
    (allowed,) = (line.split('"')[1] for group in groups for line in group["statements"] if "keep_matching" in line)
    pattern = re.compile(re.sub(r"\$\{env:\w+:-(.*?)\}", r"\1", allowed).replace("\\\\", "\\"))
    wanted = {a.name.replace("<key>", "tenant-x.id_2") for metric in schema.METRICS for a in metric.attributes}
    wanted |= ADDED_BY_THE_OVERLAY
    assert {name for name in wanted if not pattern.search(name)} == set()
    others = {a.name for span in schema.SPANS for a in span.attributes if a is not schema.a.LABEL} - wanted
    assert {name for name in others if pattern.search(name)} == set()
    assert all(re.match(OURS, metric.name) for metric in schema.METRICS)


ADDED_BY_THE_OVERLAY = {"claude.stream.error.source", *(attribute.name for attribute in schema.SET_ELSEWHERE)}


def test_the_overlay_counts_by_names_of_the_schema():
    """Its conditions and labels use attributes that the package sets."""
    overlay = yaml.safe_load(FROM_SPANS.read_text())
    known = {a.name: a for span in schema.SPANS for a in span.attributes}
    counts = overlay["connectors"]["count/streams"]["spans"]
    text = yaml.safe_dump(overlay["processors"]) + yaml.safe_dump(counts)
    used = set(re.findall(r'(?:claude\.stream|gen_ai|server)\.[a-z_.]+(?=")|(?<=key: )\S+', text))
    assert used - set(known) == set()
    for metric in (schema.ABORTS, schema.ATTEMPT_ABORTS):
        labels = {a.name for a in metric.attributes if a is not schema.a.LABEL}  # those of callers have any name
        assert {a["key"] for a in counts[metric.name]["attributes"]} == labels
        assert counts[metric.name]["description"] == metric.doc
