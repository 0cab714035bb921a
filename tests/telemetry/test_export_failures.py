"""How the lines that exporters log about failed exports are limited."""

from __future__ import annotations

import pytest

from otel_claude_stream._telemetry.export_log import (
    GRPC,
    HTTP,
    LOG_ALL,
    LOGGERS,
    MAX_CHARACTERS,
    QUIET_SECONDS,
    RETRY_SECONDS,
    ExportFailures,
    RecordKind,
    kind_of,
    limits_failures,
    one_line,
)

SPANS, METRICS, LOGS = HTTP
BATCHES = "opentelemetry.sdk._shared_internal"
NOTE = f"[logged at most once in 10 min; {LOG_ALL} logs each]"


@pytest.mark.parametrize(
    ("logger", "template", "error", "kind"),
    [
        # OpenTelemetry 1.45
        (SPANS, "Transient error %s encountered while exporting %s batch, retrying in %.2fs.", None, RecordKind.RETRY),
        (METRICS, "Failed to export %s batch code: %s, reason: %s", None, RecordKind.FAILED),
        (LOGS, "Failed to export %s batch due to timeout, max retries or shutdown.", None, RecordKind.GAVE_UP),
        (LOGS, "Shutdown in progress, aborting retry.", None, RecordKind.GAVE_UP),
        (GRPC[0], "Failed to export %s to %s, error code: %s, error details: %s", RuntimeError(), RecordKind.FAILED),
        (
            GRPC[0],
            "Transient error %s encountered while exporting %s to %s, retrying in %.2fs.",
            None,
            RecordKind.RETRY,
        ),
        (BATCHES, "Queue full, dropping %s.", None, RecordKind.OVERFLOW),
        # OpenTelemetry 1.37
        (SPANS, "Failed to export span batch code: %s, reason: %s", None, RecordKind.FAILED),
        (BATCHES, "Exception while exporting %s.", ConnectionError(), RecordKind.RAISED),
        (
            "opentelemetry.sdk.metrics._internal.export",
            "Exception while exporting metrics",
            TimeoutError(),
            RecordKind.RAISED,
        ),
        ("opentelemetry.sdk.trace.export", "Exception while exporting Span.", OSError(), RecordKind.RAISED),
        # Not failures of exports
        (BATCHES, "Exception while exporting %s.", TypeError("a bug"), None),
        (BATCHES, "Exception while exporting %s.", None, None),
        (SPANS, "Exporter already shutdown, ignoring batch", None, None),
        (SPANS, "Failed to encode span batch: %s", None, None),
        (SPANS, "Dropping span batch: serialized size %d bytes exceeds max_request_size %d bytes.", None, None),
        (SPANS, ValueError("an object as the message"), None, None),
        ("app", "Failed to export %s batch code: %s, reason: %s", None, None),
    ],
)
def test_a_record_is_identified_by_its_logger_and_template(logger, template, error, kind):
    assert kind_of(logger, template, error) is kind


def test_each_logger_is_listed_once():
    assert len(LOGGERS) == len(set(LOGGERS)) == 8


@pytest.mark.parametrize(
    ("setting", "automatic", "limited"),
    [("auto", True, True), ("auto", False, False), ("once", False, True), ("all", True, False), ("all", False, False)],
)
def test_the_setting_decides_whether_failures_are_logged_once(setting, automatic, limited):
    assert limits_failures(setting, automatic=automatic) is limited


def test_the_first_failure_is_logged_and_the_next_counts_those_left_out():
    failures = ExportFailures()
    assert failures.line(RecordKind.FAILED, SPANS, "spans: 400", 100.0) == f"spans: 400 {NOTE}"
    assert failures.line(RecordKind.FAILED, METRICS, "metrics: 400", 100.1) is None
    assert failures.line(RecordKind.RAISED, BATCHES, "logs: refused", 160.0) is None
    assert failures.line(RecordKind.GAVE_UP, LOGS, "logs", 100.0 + QUIET_SECONDS - 0.1) is None
    line = failures.line(RecordKind.FAILED, SPANS, "spans: 503", 100.0 + QUIET_SECONDS)
    assert line == f"spans: 503 [logged at most once in 10 min, 3 not logged since the last; {LOG_ALL} logs each]"
    assert failures.line(RecordKind.FAILED, SPANS, "spans: 503", 100.0 + QUIET_SECONDS + 1) is None
    line = failures.line(RecordKind.FAILED, SPANS, "spans: 503", 5000.0)
    assert line == f"spans: 503 [logged at most once in 10 min, 1 not logged since the last; {LOG_ALL} logs each]"


def test_a_retry_is_logged_with_the_failure_that_follows():
    failures = ExportFailures()
    assert failures.line(RecordKind.RETRY, METRICS, "refused by metrics", 0.0) is None
    assert failures.line(RecordKind.RETRY, SPANS, "refused", 0.0) is None
    assert failures.line(RecordKind.RETRY, SPANS, "refused\nagain", 1.0) is None
    line = failures.line(RecordKind.GAVE_UP, SPANS, "gave up.", 2.0)
    assert line == f"gave up. Before that: refused again {NOTE}"


def test_an_old_retry_is_not_logged_with_a_failure():
    failures = ExportFailures()
    assert failures.line(RecordKind.RETRY, SPANS, "refused", 0.0) is None
    assert failures.line(RecordKind.GAVE_UP, SPANS, "gave up.", RETRY_SECONDS + 0.1) == f"gave up. {NOTE}"


def test_a_failure_with_a_cause_discards_the_retry_before_it():
    failures = ExportFailures()
    assert failures.line(RecordKind.RETRY, SPANS, "503", 0.0) is None
    assert failures.line(RecordKind.FAILED, SPANS, "failed: 503", 1.0) == f"failed: 503 {NOTE}"
    line = failures.line(RecordKind.GAVE_UP, SPANS, "gave up.", QUIET_SECONDS + 1.0)
    assert line == f"gave up. {NOTE}"


def test_a_queue_overflow_is_logged_unless_a_failure_was():
    """An overflow is not a failed export, so it does not start a quiet period."""
    failures = ExportFailures()
    assert failures.line(RecordKind.OVERFLOW, BATCHES, "full", 0.0) == "full"
    assert failures.line(RecordKind.FAILED, SPANS, "failed", 1.0) == f"failed {NOTE}"
    assert failures.line(RecordKind.OVERFLOW, BATCHES, "full", 2.0) is None
    assert failures.line(RecordKind.OVERFLOW, BATCHES, "full", 1.0 + QUIET_SECONDS) == "full"
    assert failures.line(RecordKind.FAILED, SPANS, "failed", 2.0 + QUIET_SECONDS) == f"failed {NOTE}"


def test_an_error_page_becomes_one_line():
    assert one_line("code: 404, reason: <html>\r\n  <body>\n") == "code: 404, reason: <html> <body>"
    assert one_line("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert one_line("x" * (MAX_CHARACTERS + 1)) == "x" * (MAX_CHARACTERS - 1) + "…"
