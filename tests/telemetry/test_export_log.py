"""The filter on the loggers of OpenTelemetry's exporters: put in, taken out, and what it does to records."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from types import ModuleType

import pytest

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _guard, _instrumentor
from otel_claude_stream._telemetry import export_log
from otel_claude_stream._telemetry.export_failures import ALL, GRPC, HTTP, LOGGERS, QUIET_SECONDS, SIMPLE
from otel_claude_stream._telemetry.export_log import ExportLog

SPANS, METRICS, _ = HTTP
NOTE = f"[told once in 10 min; each with {ALL}]"
LATER = f"[told once in 10 min, 1 left out since the last; each with {ALL}]"


@pytest.fixture(autouse=True)
def _taken_out():
    for name in LOGGERS:  # they exist, as where exporters were imported
        logging.getLogger(name)
    yield
    export_log.tell_all()


@pytest.fixture
def clock(monkeypatch):
    """The clock of the filter, moved by its first item."""
    now = [0.0]
    monkeypatch.setattr(export_log._filter, "_clock", lambda: now[0])
    return now


def fail(logger=SPANS, code=400):
    logging.getLogger(logger).error("Failed to export %s batch code: %s, reason: %s", "spans", code, "Bad Request")


def test_one_line_of_all_loggers_and_then_another(clock, caplog):
    export_log.tell_once(everywhere=False)
    fail()
    fail(METRICS)
    clock[0] = QUIET_SECONDS
    fail(METRICS, 503)
    assert caplog.messages == [
        f"Failed to export spans batch code: 400, reason: Bad Request {NOTE}",
        f"Failed to export spans batch code: 503, reason: Bad Request {LATER}",
    ]
    assert [record.name for record in caplog.records] == [SPANS, METRICS]


def test_what_is_no_failed_export_passes_as_it_is(clock, caplog):
    export_log.tell_once(everywhere=False)
    fail()
    logger = logging.getLogger(SPANS)
    logger.warning("Exporter already shutdown, ignoring batch")
    logger.error(ValueError("no text at all"))
    logging.getLogger("app").error("Failed to export %s", "the accounts")
    assert caplog.messages[1:] == [
        "Exporter already shutdown, ignoring batch",
        "no text at all",
        "Failed to export the accounts",
    ]


def test_a_network_error_is_told_without_the_inside_of_the_http_library(clock, caplog):
    export_log.tell_once(everywhere=False)
    for error in (ConnectionRefusedError("Connection refused"), TypeError("somebody's bug")):
        logging.getLogger(SIMPLE[0]).error("Exception while exporting Span.", exc_info=error)
    refused, bug = caplog.records
    assert refused.getMessage() == f"Exception while exporting Span. ConnectionRefusedError: Connection refused {NOTE}"
    assert (refused.exc_info, refused.exc_text) == (None, None)
    assert bug.exc_info[0] is TypeError


def test_a_logger_at_debug_is_left_alone(clock, caplog):
    export_log.tell_once(everywhere=False)
    with caplog.at_level(logging.DEBUG, logger=SPANS):
        fail()
        fail()
    assert caplog.messages == ["Failed to export spans batch code: 400, reason: Bad Request"] * 2


def test_taken_out_it_leaves_nothing_behind(clock, caplog):
    before = {name: list(logging.getLogger(name).filters) for name in LOGGERS}
    for _ in range(2):  # what was told before is forgotten
        export_log.tell_once(everywhere=False)
        export_log.tell_once(everywhere=False)
        assert export_log.is_told_once()
        fail()
        export_log.tell_all()
        export_log.tell_all()
        assert not export_log.is_told_once()
    assert {name: logging.getLogger(name).filters for name in LOGGERS} == before
    assert len(caplog.messages) == 2


def test_loggers_are_not_made_before_their_time(monkeypatch):
    """The application's `dictConfig` disables what exists. Who asks by name gets them all."""
    absent = "opentelemetry.exporter.that.nobody.has.imported"
    monkeypatch.setattr(export_log, "LOGGERS", (SPANS, absent))
    export_log.tell_once(everywhere=False)
    export_log.tell_all()
    assert not isinstance(logging.root.manager.loggerDict.get(absent), logging.Logger)
    export_log.tell_once(everywhere=True)
    assert export_log._filter in logging.getLogger(absent).filters
    export_log.tell_all()


def test_a_failure_of_ours_lets_the_record_pass(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(export_log, "kind_of", lambda *_: 1 / 0)
    before = _guard.counts().get("export_log", 0)
    export_log.tell_once(everywhere=False)
    fail()
    assert "Failed to export spans batch code: 400, reason: Bad Request" in caplog.messages
    assert _guard.counts()["export_log"] == before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process")  # of threads that other tests have left: the child uses none of them
def test_a_child_tells_for_itself_even_if_it_was_forked_in_the_midst_of_a_record():
    told = ExportLog()
    os.register_at_fork(after_in_child=told.forget)
    record = logging.LogRecord(SPANS, logging.ERROR, "", 0, "Failed to export %s batch code: %s", ("spans", 400), None)
    assert told.filter(record)
    lock = told._lock
    with lock:
        child = os.fork()
        if not child:
            os._exit(0 if told._lock is not lock and told.filter(record) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_each_logger_is_a_module_that_is_there():
    """Loggers are named for their modules: one that OpenTelemetry moves is found here."""
    for name in set(LOGGERS) - set(GRPC):
        assert importlib.util.find_spec(name) is not None


# --- Who asks for it

LOADER = "opentelemetry.instrumentation.auto_instrumentation"


@pytest.fixture
def instrumentor():
    found = ClaudeStreamInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


@pytest.mark.parametrize(
    ("kwargs", "loaded", "once"),
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
def test_code_has_to_ask_and_the_loader_need_not(instrumentor, monkeypatch, kwargs, loaded, once):
    """Code that skips the check of versions, in a process without auto-instrumentation, is code all the same."""
    if loaded:
        monkeypatch.setitem(sys.modules, LOADER, ModuleType(LOADER))
    else:
        monkeypatch.delitem(sys.modules, LOADER, raising=False)
    instrumentor.instrument(**kwargs)
    assert export_log.is_told_once() is once
    instrumentor.uninstrument()
    assert not export_log.is_told_once()


def test_the_loader_comes_after_a_configuration_file(instrumentor, monkeypatch):
    """The first call is that of the file, which may be read by code too; the second is the loader's own."""
    monkeypatch.setitem(sys.modules, LOADER, ModuleType(LOADER))
    instrumentor.instrument(declared={"events": "log"})
    assert not export_log.is_told_once()
    instrumentor.instrument(skip_dep_check=True)
    assert export_log.is_told_once()


@pytest.mark.parametrize(("word", "once"), [("", True), ("once", True), ("all", False)])
def test_where_we_start_opentelemetry_the_environment_decides(monkeypatch, word, once):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_EXPORT_FAILURES", word)
    _instrumentor.limit_export_failure_logs()
    assert export_log.is_told_once() is once
