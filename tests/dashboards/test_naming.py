"""The two namings that the scenarios are written down in are the ones that the real ways give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.support.dashboards.exposition import samples
from tests.support.dashboards.producing import Stream, Timeline, process
from tests.support.dashboards.scenarios import ANSWER, BREAKS_AT_ONCE, BUSY, CUT_AT_60, LIMITED, PINGS_ONLY, POLICY

COLLECTED = Path(__file__).parents[1] / "collector" / "exposition.txt"
"""What the real Collector gives to a scrape, names and labels, as its own tests keep it."""

STREAMS = (
    (ANSWER,), (LIMITED, ANSWER), (BUSY, BUSY, BUSY), (BREAKS_AT_ONCE, ANSWER), (CUT_AT_60,), (PINGS_ONLY,),
)  # fmt: skip


@pytest.fixture
def said(monkeypatch):
    """What the SDK's own Prometheus reader says after a few streams, and the meters' data at the same moment."""
    reader = PrometheusMetricReader(disable_target_info=True)
    with process(Timeline(), monkeypatch, readers=(reader,), retry_policy=POLICY, semconv="both") as made:
        for number, scripts in enumerate(STREAMS):
            made.play(Stream(60.0 * number, scripts))
        made.play(Stream(600.0, (ANSWER,), holds=True))
        yield generate_latest(REGISTRY).decode(), made.memory.get_metrics_data()


def flat(found):
    """Samples by name and labels; a label without a value is none."""
    return {(name, tuple(sorted((k, v) for k, v in labels.items() if v))): value for name, labels, value in found}


def test_the_readers_own_words(said):
    """Every sample of the SDK's Prometheus reader: name, labels, `le`, value."""
    text, data = said
    real = flat(
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not family.name.startswith(("python_", "process_"))  # of the client library itself
    )
    ours = flat(samples(data, "scrape", frozenset()))
    assert ours.keys() == real.keys()
    # Ages are looked at when they are asked for; here at the same moment of a clock that stands.
    assert all(ours[key] == pytest.approx(real[key]) for key in real)


def test_otlp_has_the_same_names_without_the_scope(said):
    """By OTLP the same series, but for the scope's labels and the text of `le`."""
    _, data = said

    def plain(way):
        return {
            (
                name,
                tuple(
                    sorted((k, float(v) if k == "le" else v) for k, v in labels.items() if not k.startswith("otel_"))
                ),
            )
            for name, labels, _ in samples(data, way)
        }

    assert plain("otlp") == plain("scrape")
    bounds = {labels["le"] for _, labels, _ in samples(data, "otlp") if "le" in labels}
    assert {"60", "0.25", "16777216"} <= bounds
    assert not any(bound.endswith(".0") for bound in bounds)


@pytest.mark.skipif(not COLLECTED.exists(), reason="the Collector's part of the project is not here")
def test_the_collectors_own_words(said):
    """What the Collector's exporter gives has the names and labels that the dashboards ask for."""
    _, data = said
    ours = {(name, frozenset(labels)) for name, labels, _ in samples(data, "otlp", frozenset())}
    lines = re.findall(r"^([a-z_]+)\{(.*)\}$", COLLECTED.read_text(encoding="utf-8"), re.MULTILINE)
    theirs = {(name, frozenset(labels.split(",")) - {"job", "instance"}) for name, labels in lines if "claude" in name}
    assert theirs
    names = {name for name, _ in ours}
    unknown = {pair for pair in theirs - ours if pair[0] in names}
    # A request that got no answer has no status code; the Collector's tests have one, and these have none.
    assert {name for name, _ in unknown} <= {"claude_stream_requests_total"}
    assert {name for name, _ in theirs} <= names


def test_prometheus_takes_otlp_under_the_same_names(prometheus3, monkeypatch):
    """The real exporter, into the OTLP receiver of a real Prometheus: names, labels and `le` are those written down."""
    resource = Resource({"service.namespace": "shop", "service.name": "chat", "service.instance.id": "app-1"})
    exporter = OTLPMetricExporter(endpoint=f"{prometheus3.url}/api/v1/otlp/v1/metrics")
    with process(Timeline(), monkeypatch, resource=resource, retry_policy=POLICY, semconv="both") as made:
        for number, scripts in enumerate(STREAMS):
            made.play(Stream(60.0 * number, scripts))
        data = made.memory.get_metrics_data()
        assert exporter.export(data) is MetricExportResult.SUCCESS
    found = prometheus3.get("series", **{"match[]": '{job="shop/chat",instance="app-1"}'})
    real = {
        (one.pop("__name__"), tuple(sorted((k, v) for k, v in one.items() if k not in ("job", "instance"))))
        for one in found
    }
    ours = flat(samples(data, "otlp", frozenset()))
    assert ours.keys() == {pair for pair in real if pair[0] != "target_info"}
