"""The filter on the loggers of OpenTelemetry's exporters, and when it is installed."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from types import ModuleType

import pytest

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _guard, _instrumentor
from otel_claude_stream._telemetry import export_log
from otel_claude_stream._telemetry.export_log import (
    GRPC,
    HTTP,
    LOG_ALL,
    LOGGERS,
    QUIET_SECONDS,
    SIMPLE,
    ExportFailureFilter,
)

SPANS, METRICS, _ = HTTP
NOTE = f"[logged at most once in 10 min; {LOG_ALL} logs each]"
LATER = f"[logged at most once in 10 min, 1 not logged since the last; {LOG_ALL} logs each]"


@pytest.fixture(autouse=True)
def _loggers():
    """The loggers exist, as if exporters were imported. The filter is removed after the test."""
    for name in LOGGERS:
        logging.getLogger(name)
    yield
    export_log.uninstall()


@pytest.fixture
def clock(monkeypatch):
    """A list whose item is the time of the filter's clock."""
    now = [0.0]
    monkeypatch.setattr(export_log._filter, "_clock", lambda: now[0])
    return now


def log_failed_export(logger=SPANS, code=400):
    logging.getLogger(logger).error("Failed to export %s batch code: %s, reason: %s", "spans", code, "Bad Request")


def test_all_loggers_together_log_one_line_in_ten_minutes(clock, caplog):
    export_log.install(create_loggers=False)
    log_failed_export()
    log_failed_export(METRICS)
    clock[0] = QUIET_SECONDS
    log_failed_export(METRICS, 503)
    assert caplog.messages == [
        f"Failed to export spans batch code: 400, reason: Bad Request {NOTE}",
        f"Failed to export spans batch code: 503, reason: Bad Request {LATER}",
    ]
    assert [record.name for record in caplog.records] == [SPANS, METRICS]


def test_other_records_pass_unchanged(clock, caplog):
    export_log.install(create_loggers=False)
    log_failed_export()
    logger = logging.getLogger(SPANS)
    logger.warning("Exporter already shutdown, ignoring batch")
    logger.error(ValueError("no text at all"))
    logging.getLogger("app").error("Failed to export %s", "the accounts")
    assert caplog.messages[1:] == [
        "Exporter already shutdown, ignoring batch",
        "no text at all",
        "Failed to export the accounts",
    ]


def test_a_network_error_is_logged_without_its_traceback_but_a_bug_with_it(clock, caplog):
    export_log.install(create_loggers=False)
    for error in (ConnectionRefusedError("Connection refused"), TypeError("a bug")):
        logging.getLogger(SIMPLE[0]).error("Exception while exporting Span.", exc_info=error)
    refused, bug = caplog.records
    assert refused.getMessage() == f"Exception while exporting Span. ConnectionRefusedError: Connection refused {NOTE}"
    assert (refused.exc_info, refused.exc_text) == (None, None)
    assert bug.exc_info[0] is TypeError


def test_a_logger_at_debug_logs_each_failure(clock, caplog):
    export_log.install(create_loggers=False)
    with caplog.at_level(logging.DEBUG, logger=SPANS):
        log_failed_export()
        log_failed_export()
    assert caplog.messages == ["Failed to export spans batch code: 400, reason: Bad Request"] * 2


def test_uninstalling_removes_the_filter_and_discards_its_past(clock, caplog):
    before = {name: list(logging.getLogger(name).filters) for name in LOGGERS}
    for _ in range(2):  # the second time, the failure is logged again
        export_log.install(create_loggers=False)
        export_log.install(create_loggers=False)
        assert export_log.is_installed()
        log_failed_export()
        export_log.uninstall()
        export_log.uninstall()
        assert not export_log.is_installed()
    assert {name: logging.getLogger(name).filters for name in LOGGERS} == before
    assert len(caplog.messages) == 2


def test_loggers_are_created_only_on_request(monkeypatch):
    """The application's `dictConfig` disables existing loggers."""
    absent = "opentelemetry.exporter.that.was.not.imported"
    monkeypatch.setattr(export_log, "LOGGERS", (SPANS, absent))
    export_log.install(create_loggers=False)
    export_log.uninstall()
    assert not isinstance(logging.root.manager.loggerDict.get(absent), logging.Logger)
    export_log.install(create_loggers=True)
    assert export_log._filter in logging.getLogger(absent).filters
    export_log.uninstall()


def test_an_internal_error_lets_the_record_pass(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(export_log, "kind_of", lambda *_: 1 / 0)
    before = _guard.counts().get("export_log", 0)
    export_log.install(create_loggers=False)
    log_failed_export()
    assert "Failed to export spans batch code: 400, reason: Bad Request" in caplog.messages
    assert _guard.counts()["export_log"] == before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process")  # about threads of other tests, which the child does not use
def test_a_child_forked_while_the_lock_is_held_logs_its_own_first_failure():
    log_filter = ExportFailureFilter()
    os.register_at_fork(after_in_child=log_filter.reset)
    record = logging.LogRecord(SPANS, logging.ERROR, "", 0, "Failed to export %s batch code: %s", ("spans", 400), None)
    assert log_filter.filter(record)
    lock = log_filter._lock
    with lock:
        child = os.fork()
        if not child:
            os._exit(0 if log_filter._lock is not lock and log_filter.filter(record) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_each_logger_is_named_after_an_existing_module():
    """This fails if OpenTelemetry moves a module. gRPC exporters are not installed."""
    for name in set(LOGGERS) - set(GRPC):
        assert importlib.util.find_spec(name) is not None


# --- When it is installed

LOADER = "opentelemetry.instrumentation.auto_instrumentation"


@pytest.fixture
def instrumentor():
    found = ClaudeStreamInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


@pytest.mark.parametrize(
    ("kwargs", "loaded", "limited"),
    [
        ({}, True, False),
        ({"skip_dep_check": True}, True, True),
        ({"skip_dep_check": True}, False, False),
        ({"skip_dep_check": True, "export_failures": "all"}, True, False),
        ({"skip_dep_check": True, "enabled": False}, True, False),
        ({"export_failures": "once"}, False, True),
        ({"config": StreamConfig(export_failures="once")}, False, True),
    ],
)
def test_by_default_only_the_loader_of_auto_instrumentation_installs_it(
    instrumentor, monkeypatch, kwargs, loaded, limited
):
    """Without the loader in `sys.modules`, `skip_dep_check` comes from the application's code."""
    if loaded:
        monkeypatch.setitem(sys.modules, LOADER, ModuleType(LOADER))
    else:
        monkeypatch.delitem(sys.modules, LOADER, raising=False)
    instrumentor.instrument(**kwargs)
    assert export_log.is_installed() is limited
    instrumentor.uninstrument()
    assert not export_log.is_installed()


def test_a_configuration_file_does_not_install_it_but_the_loader_after_it_does(instrumentor, monkeypatch):
    """The first call comes from the file, which code may read too. The second comes from the loader."""
    monkeypatch.setitem(sys.modules, LOADER, ModuleType(LOADER))
    instrumentor.instrument(declared={"events": "log"})
    assert not export_log.is_installed()
    instrumentor.instrument(skip_dep_check=True)
    assert export_log.is_installed()


@pytest.mark.parametrize(("setting", "limited"), [("", True), ("once", True), ("all", False)])
def test_the_environment_decides_if_this_package_starts_opentelemetry(monkeypatch, setting, limited):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_EXPORT_FAILURES", setting)
    _instrumentor.limit_export_failure_logs()
    assert export_log.is_installed() is limited
