"""What the providers in memory received, as plain data."""

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


def test_a_span_is_shown_whole():
    """Every field, as a literal: ids are counted, so nothing varies."""
    with Capture() as cap:
        tracer = cap.tracer_provider.get_tracer("lib")
        span = tracer.start_span("chat", kind=SpanKind.CLIENT, start_time=5, attributes={"b": (1, 2), "a": "x"})
        with trace.use_span(span):
            tracer.start_span("inner", start_time=6).end(end_time=6)
        span.add_event("first", {"n": 1}, timestamp=7)
        span.set_status(StatusCode.ERROR, "cut")
        span.end(end_time=9)
    inner, outer = cap.spans()
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


def test_metrics_add_up_between_readings():
    """Reading twice shows the same; measuring on adds to it; exemplars point to their span."""
    with Capture() as cap:
        meter = cap.meter_provider.get_meter("lib")
        waits = meter.create_histogram("wait", unit="s", explicit_bucket_boundaries_advisory=[1, 2])
        with cap.tracer_provider.get_tracer("lib").start_as_current_span("op"):
            waits.record(0.5, {"k": "v"})
        assert cap.metrics() == cap.metrics()
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
        assert cap.metrics() == {"wait": expected}
        assert json.loads(json.dumps(cap.metrics())) == cap.metrics()


def test_counters_sort_their_points_and_name_their_kind():
    """Stable order, whatever order they were measured in."""
    with Capture() as cap:
        meter = cap.meter_provider.get_meter("lib")
        tries = meter.create_counter("tries")
        tries.add(2, {"r": "b"})
        tries.add(1, {"r": "a"})
        assert cap.metrics()["tries"] == {
            "unit": "",
            "description": "",
            "scope": "lib",
            "kind": "sum",
            "monotonic": True,
            "points": [{"attributes": {"r": "a"}, "value": 1}, {"attributes": {"r": "b"}, "value": 2}],
        }


def test_clear_forgets_events_and_keeps_levels():
    """A counter starts anew, a stream that is open stays open."""
    with Capture() as cap:
        meter = cap.meter_provider.get_meter("lib")
        tries, active = meter.create_counter("tries"), meter.create_up_down_counter("active")
        tries.add(5)
        active.add(2)
        cap.tracer_provider.get_tracer("lib").start_span("op").end()
        cap.clear()
        tries.add(1)
        active.add(-1)
        shown = {name: metric["points"][0]["value"] for name, metric in cap.metrics().items()}
        assert shown == {"tries": 1, "active": 1}
        assert cap.spans() == []


# opentelemetry-sdk 1.37, the oldest supported, warns of its own use of its own deprecated arguments.
@pytest.mark.filterwarnings("ignore:LogRecord init with")
def test_logs_show_event_and_span():
    """A log record within a span names it; outside there is none."""
    with Capture() as cap:
        logger = cap.logger_provider.get_logger("lib")
        with cap.tracer_provider.get_tracer("lib").start_as_current_span("op"):
            logger.emit(
                LogRecord(
                    timestamp=5,
                    severity_number=SeverityNumber.WARN,
                    body={"a": [1]},
                    attributes={"k": 1},
                    event_name="cut",
                )
            )
    assert cap.logs() == [
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


def test_readings_outlive_the_capture():
    """Assertions may stand behind the `with` block."""
    with Capture({"service.name": "shop"}) as cap:
        cap.meter_provider.get_meter("lib").create_counter("tries").add(1)
        cap.tracer_provider.get_tracer("lib").start_span("op").end()
    assert cap.metrics()["tries"]["points"] == [{"attributes": {}, "value": 1}]
    assert cap.spans()[0]["resource"] == {"service.name": "shop"}
    cap.__exit__(None, None, None)  # closing twice is harmless


def test_the_global_providers_stay_as_they_are():
    """A test must not decide what the rest of the process records."""
    before = trace.get_tracer_provider(), metrics.get_meter_provider()
    with Capture() as cap:
        assert sorted(cap.providers) == ["logger_provider", "meter_provider", "tracer_provider"]
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == before


def test_without_the_sdk_the_extra_is_named():
    """The kit itself imports without OpenTelemetry's SDK; only `Capture()` asks for it."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from otel_claude_stream.testing import Capture, FakeAPI, Script\n"
        "try: Capture()\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "otel-claude-stream[otlp]" in run.stdout
