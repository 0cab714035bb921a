"""`Capture` returns spans, metrics and logs as plain data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import SpanKind, StatusCode

from otel_claude_stream.testing import Capture

TRACE = f"{1:032x}"
SPAN = f"{1:016x}"


def test_a_span_is_returned_with_all_its_fields():
    """Ids count up from 1, so the whole span can be compared with a literal."""
    with Capture() as capture:
        tracer = capture.tracer_provider.get_tracer("lib")
        span = tracer.start_span("chat", kind=SpanKind.CLIENT, start_time=5, attributes={"b": (1, 2), "a": "x"})
        with trace.use_span(span):
            tracer.start_span("inner", start_time=6).end(end_time=6)
        span.add_event("first", {"n": 1}, timestamp=7)
        span.set_status(StatusCode.ERROR, "cut")
        span.end(end_time=9)
    inner, outer = capture.spans()
    assert inner["parent_id"] == SPAN
    assert outer == {
        "name": "chat",
        "kind": "CLIENT",
        "scope": "lib",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_id": None,
        "start_ns": 5,
        "end_ns": 9,
        "status": {"code": "ERROR", "description": "cut"},
        "attributes": {"a": "x", "b": [1, 2]},
        "events": [{"name": "first", "time_ns": 7, "attributes": {"n": 1}}],
        "links": [],
    }


def test_metrics_accumulate_between_calls():
    """A second call returns the same, later measurements are added, and exemplars name their span."""
    with Capture() as capture:
        meter = capture.meter_provider.get_meter("lib")
        waits = meter.create_histogram("wait", unit="s", explicit_bucket_boundaries_advisory=[1, 2])
        with capture.tracer_provider.get_tracer("lib").start_as_current_span("op"):
            waits.record(0.5, {"k": "v"})
        assert capture.metrics() == capture.metrics()
        waits.record(3.0, {"k": "v"})
        point = {
            "attributes": {"k": "v"},
            "count": 2,
            "sum": 3.5,
            "min": 0.5,
            "max": 3.0,
            "buckets": [[1, 1], [2, 0], ["+Inf", 1]],
            "exemplars": [{"value": 0.5, "trace_id": TRACE, "span_id": SPAN}],
        }
        expected = {"unit": "s", "description": "", "scope": "lib", "kind": "histogram", "points": [point]}
        assert capture.metrics() == {"wait": expected}
        assert json.loads(json.dumps(capture.metrics())) == capture.metrics()


def test_points_of_a_counter_are_sorted_by_attributes():
    with Capture() as capture:
        meter = capture.meter_provider.get_meter("lib")
        attempts = meter.create_counter("attempts")
        attempts.add(2, {"r": "b"})
        attempts.add(1, {"r": "a"})
        assert capture.metrics()["attempts"] == {
            "unit": "",
            "description": "",
            "scope": "lib",
            "kind": "sum",
            "monotonic": True,
            "points": [{"attributes": {"r": "a"}, "value": 1}, {"attributes": {"r": "b"}, "value": 2}],
        }


def test_clear_discards_counts_but_keeps_the_value_of_up_down_counters():
    """An up-down counter such as the number of open streams must survive `clear()`."""
    with Capture() as capture:
        meter = capture.meter_provider.get_meter("lib")
        attempts, active = meter.create_counter("attempts"), meter.create_up_down_counter("active")
        attempts.add(5)
        active.add(2)
        capture.tracer_provider.get_tracer("lib").start_span("op").end()
        capture.clear()
        attempts.add(1)
        active.add(-1)
        values = {name: metric["points"][0]["value"] for name, metric in capture.metrics().items()}
        assert values == {"attempts": 1, "active": 1}
        assert capture.spans() == []


# opentelemetry-sdk 1.37, the oldest supported release, triggers its own deprecation warning.
@pytest.mark.filterwarnings("ignore:LogRecord init with")
def test_a_log_record_names_its_event_and_its_span():
    with Capture() as capture:
        logger = capture.logger_provider.get_logger("lib")
        with capture.tracer_provider.get_tracer("lib").start_as_current_span("op"):
            logger.emit(
                LogRecord(
                    timestamp=5,
                    severity_number=SeverityNumber.WARN,
                    body={"a": [1]},
                    attributes={"k": 1},
                    event_name="cut",
                )
            )
    assert capture.logs() == [
        {
            "event_name": "cut",
            "severity": "WARN",
            "time_ns": 5,
            "attributes": {"k": 1},
            "trace_id": TRACE,
            "span_id": SPAN,
            "body": {"a": [1]},
            "scope": "lib",
        }
    ]


def test_records_can_be_read_after_the_with_block():
    with Capture({"service.name": "shop"}) as capture:
        capture.meter_provider.get_meter("lib").create_counter("attempts").add(1)
        capture.tracer_provider.get_tracer("lib").start_span("op").end()
    assert capture.metrics()["attempts"]["points"] == [{"attributes": {}, "value": 1}]
    assert capture.spans()[0]["resource"] == {"service.name": "shop"}
    capture.__exit__(None, None, None)  # closing twice has no effect


def test_the_global_providers_are_not_changed():
    before = trace.get_tracer_provider(), metrics.get_meter_provider()
    with Capture() as capture:
        assert sorted(capture.providers) == ["logger_provider", "meter_provider", "tracer_provider"]
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == before


def test_without_the_sdk_the_error_names_the_extra_to_install():
    """The kit can be imported without OpenTelemetry's SDK; only `Capture()` needs it."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from otel_claude_stream.testing import Capture, FakeAPI, Script\n"
        "try: Capture()\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "otel-claude-stream[otlp]" in run.stdout
