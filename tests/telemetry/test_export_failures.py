"""One log line for exports that fail, in place of all that the exporters log."""

from __future__ import annotations

import pytest

from otel_claude_stream._telemetry.export_failures import (
    ALL,
    GRPC,
    HTTP,
    LOGGERS,
    MOST,
    QUIET_SECONDS,
    RETRY_SECONDS,
    ExportFailures,
    Kind,
    is_once,
    kind_of,
    one_line,
)

SPANS, METRICS, LOGS = HTTP
BATCHES = "opentelemetry.sdk._shared_internal"
NOTE = f"[told once in 10 min; each with {ALL}]"


@pytest.mark.parametrize(
    ("logger", "template", "error", "kind"),
    [
        # OpenTelemetry 1.45
        (SPANS, "Transient error %s encountered while exporting %s batch, retrying in %.2fs.", None, Kind.RETRY),
        (METRICS, "Failed to export %s batch code: %s, reason: %s", None, Kind.FAILED),
        (LOGS, "Failed to export %s batch due to timeout, max retries or shutdown.", None, Kind.GAVE_UP),
        (LOGS, "Shutdown in progress, aborting retry.", None, Kind.GAVE_UP),
        (GRPC[0], "Failed to export %s to %s, error code: %s, error details: %s", RuntimeError(), Kind.FAILED),
        (GRPC[0], "Transient error %s encountered while exporting %s to %s, retrying in %.2fs.", None, Kind.RETRY),
        (BATCHES, "Queue full, dropping %s.", None, Kind.OVERFLOW),
        # OpenTelemetry 1.37
        (SPANS, "Failed to export span batch code: %s, reason: %s", None, Kind.FAILED),
        (BATCHES, "Exception while exporting %s.", ConnectionError(), Kind.RAISED),
        (
            "opentelemetry.sdk.metrics._internal.export",
            "Exception while exporting metrics",
            TimeoutError(),
            Kind.RAISED,
        ),
        ("opentelemetry.sdk.trace.export", "Exception while exporting Span.", OSError(), Kind.RAISED),
        # Not failures of exports
        (BATCHES, "Exception while exporting %s.", TypeError("a bug"), None),
        (BATCHES, "Exception while exporting %s.", None, None),
        (SPANS, "Exporter already shutdown, ignoring batch", None, None),
        (SPANS, "Failed to encode span batch: %s", None, None),
        (SPANS, "Dropping span batch: serialized size %d bytes exceeds max_request_size %d bytes.", None, None),
        (SPANS, ValueError("an object for a message"), None, None),
        ("app", "Failed to export %s batch code: %s, reason: %s", None, None),
    ],
)
def test_a_record_is_identified_by_its_logger_and_template(logger, template, error, kind):
    assert kind_of(logger, template, error) is kind


def test_each_logger_is_listed_once():
    assert len(LOGGERS) == len(set(LOGGERS)) == 8


@pytest.mark.parametrize(
    ("word", "automatic", "once"),
    [("auto", True, True), ("auto", False, False), ("once", False, True), ("all", True, False), ("all", False, False)],
)
def test_the_setting_decides_whether_failures_are_logged_once(word, automatic, once):
    assert is_once(word, automatic=automatic) is once


def test_the_first_failure_is_logged_and_the_next_counts_those_left_out():
    failures = ExportFailures()
    assert failures.line(Kind.FAILED, SPANS, "spans: 400", 100.0) == f"spans: 400 {NOTE}"
    assert failures.line(Kind.FAILED, METRICS, "metrics: 400", 100.1) is None
    assert failures.line(Kind.RAISED, BATCHES, "logs: refused", 160.0) is None
    assert failures.line(Kind.GAVE_UP, LOGS, "logs", 100.0 + QUIET_SECONDS - 0.1) is None
    line = failures.line(Kind.FAILED, SPANS, "spans: 503", 100.0 + QUIET_SECONDS)
    assert line == f"spans: 503 [told once in 10 min, 3 left out since the last; each with {ALL}]"
    assert failures.line(Kind.FAILED, SPANS, "spans: 503", 100.0 + QUIET_SECONDS + 1) is None
    line = failures.line(Kind.FAILED, SPANS, "spans: 503", 5000.0)
    assert line == f"spans: 503 [told once in 10 min, 1 left out since the last; each with {ALL}]"


def test_a_retry_is_logged_with_the_failure_that_follows():
    failures = ExportFailures()
    assert failures.line(Kind.RETRY, METRICS, "refused by metrics", 0.0) is None
    assert failures.line(Kind.RETRY, SPANS, "refused", 0.0) is None
    assert failures.line(Kind.RETRY, SPANS, "refused\nagain", 1.0) is None
    line = failures.line(Kind.GAVE_UP, SPANS, "gave up.", 2.0)
    assert line == f"gave up. Before that: refused again {NOTE}"


def test_an_old_retry_is_not_logged_with_a_failure():
    failures = ExportFailures()
    assert failures.line(Kind.RETRY, SPANS, "refused", 0.0) is None
    assert failures.line(Kind.GAVE_UP, SPANS, "gave up.", RETRY_SECONDS + 0.1) == f"gave up. {NOTE}"


def test_a_failure_with_a_cause_discards_the_retry_before_it():
    failures = ExportFailures()
    assert failures.line(Kind.RETRY, SPANS, "503", 0.0) is None
    assert failures.line(Kind.FAILED, SPANS, "failed: 503", 1.0) == f"failed: 503 {NOTE}"
    line = failures.line(Kind.GAVE_UP, SPANS, "gave up.", QUIET_SECONDS + 1.0)
    assert line == f"gave up. {NOTE}"


def test_a_queue_overflow_is_logged_unless_a_failure_was():
    """It replaces no other line, and is no failure of an export."""
    failures = ExportFailures()
    assert failures.line(Kind.OVERFLOW, BATCHES, "full", 0.0) == "full"
    assert failures.line(Kind.FAILED, SPANS, "failed", 1.0) == f"failed {NOTE}"
    assert failures.line(Kind.OVERFLOW, BATCHES, "full", 2.0) is None
    assert failures.line(Kind.OVERFLOW, BATCHES, "full", 1.0 + QUIET_SECONDS) == "full"
    assert failures.line(Kind.FAILED, SPANS, "failed", 2.0 + QUIET_SECONDS) == f"failed {NOTE}"


def test_an_error_page_becomes_one_line():
    assert one_line("code: 404, reason: <html>\r\n  <body>\n") == "code: 404, reason: <html> <body>"
    assert one_line("x" * MOST) == "x" * MOST
    assert one_line("x" * (MOST + 1)) == "x" * (MOST - 1) + "…"
