"""The names and labels in `exposition` equal those of the real Prometheus reader, OTLP and Collector."""

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
from tests.support.dashboards.scenarios import (
    ANSWER,
    CUT_AT_60,
    FAILS_BEFORE_FIRST_TOKEN,
    OVERLOADED,
    PINGS_ONLY,
    POLICY,
    RATE_LIMITED,
)
from tests.support.dashboards.simulation import Call, SettableClock, simulated_process

COLLECTED = Path(__file__).parents[1] / "collector" / "exposition.txt"
"""Names and labels of a scrape of the real Collector, recorded by the tests of the Collector."""

STREAMS = (
    (ANSWER,),
    (RATE_LIMITED, ANSWER),
    (OVERLOADED, OVERLOADED, OVERLOADED),
    (FAILS_BEFORE_FIRST_TOKEN, ANSWER),
    (CUT_AT_60,),
    (PINGS_ONLY,),
)


@pytest.fixture
def exposed(monkeypatch):
    """The text of the real Prometheus reader after a few streams, and the collected metrics at the same time."""
    reader = PrometheusMetricReader(disable_target_info=True)
    with simulated_process(
        SettableClock(), monkeypatch, readers=(reader,), retry_policy=POLICY, semconv="both", gaps="both"
    ) as app:
        for number, scripts in enumerate(STREAMS):
            app.play(Call(60.0 * number, scripts))
        app.play(Call(600.0, (ANSWER,), left_open=True))
        yield generate_latest(REGISTRY).decode(), app.memory.get_metrics_data()


def by_series(found):
    """Return samples by name and labels, without empty labels."""
    return {(name, tuple(sorted((k, v) for k, v in labels.items() if v))): value for name, labels, value in found}


def test_scrape_equals_the_text_of_the_prometheus_reader(exposed):
    """Compares name, labels and value of every sample."""
    text, data = exposed
    real = by_series(
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not family.name.startswith(("python_", "process_"))  # metrics of the client library
    )
    ours = by_series(samples(data, "scrape", frozenset()))
    assert ours.keys() == real.keys()
    # Ages are computed at collection. Both collections happen at the same time of the manual clock.
    assert all(ours[key] == pytest.approx(real[key]) for key in real)


def test_otlp_differs_from_scrape_only_in_scope_labels_and_spelling_of_le(exposed):
    """OTLP gives the same series, apart from scope labels and the text of `le`."""
    _, data = exposed

    def without_scope(protocol):
        return {
            (
                name,
                tuple(
                    sorted((k, float(v) if k == "le" else v) for k, v in labels.items() if not k.startswith("otel_"))
                ),
            )
            for name, labels, _ in samples(data, protocol)
        }

    assert without_scope("otlp") == without_scope("scrape")
    bounds = {labels["le"] for _, labels, _ in samples(data, "otlp") if "le" in labels}
    assert {"60", "0.25", "16777216"} <= bounds
    assert not any(bound.endswith(".0") for bound in bounds)


@pytest.mark.skipif(not COLLECTED.exists(), reason="the recorded scrape of the Collector is missing")
def test_the_collectors_exporter_gives_the_names_and_labels_of_otlp(exposed):
    """The names and labels of the Collector's exporter are those that the dashboards query."""
    _, data = exposed
    ours = {(name, frozenset(labels)) for name, labels, _ in samples(data, "otlp", frozenset())}
    lines = re.findall(r"^([a-z_]+)\{(.*)\}$", COLLECTED.read_text(encoding="utf-8"), re.MULTILINE)
    added = {"job", "instance", "claude_stream_source"}
    theirs = {(name, frozenset(labels.split(",")) - added) for name, labels in lines if "claude" in name}
    assert theirs
    names = {name for name, _ in ours}
    unknown = {pair for pair in theirs - ours if pair[0] in names}
    # Only the recorded scrape has a request without a response, which has no status code.
    assert {name for name, _ in unknown} <= {"claude_stream_requests_total"}
    assert {name for name, _ in theirs} <= names


def test_prometheus_3_stores_otlp_under_the_same_names(prometheus3, monkeypatch):
    """Exports to the OTLP receiver of a real Prometheus, and compares names, labels and `le`."""
    resource = Resource({"service.namespace": "shop", "service.name": "chat", "service.instance.id": "app-1"})
    exporter = OTLPMetricExporter(endpoint=f"{prometheus3.url}/api/v1/otlp/v1/metrics")
    with simulated_process(
        SettableClock(), monkeypatch, resource=resource, retry_policy=POLICY, semconv="both", gaps="both"
    ) as app:
        for number, scripts in enumerate(STREAMS):
            app.play(Call(60.0 * number, scripts))
        data = app.memory.get_metrics_data()
        assert exporter.export(data) is MetricExportResult.SUCCESS
    found = prometheus3.get("series", **{"match[]": '{job="shop/chat",instance="app-1"}'})
    real = {
        (one.pop("__name__"), tuple(sorted((k, v) for k, v in one.items() if k not in ("job", "instance"))))
        for one in found
    }
    ours = by_series(samples(data, "otlp", frozenset()))
    assert ours.keys() == {pair for pair in real if pair[0] != "target_info"}
