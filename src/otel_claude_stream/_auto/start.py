"""Starts the instrumentation of a process that did not ask for it in code: once, and never with an exception."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from otel_claude_stream import _guard
from otel_claude_stream._auto.providers import any_is_set, yield_to_the_application
from otel_claude_stream._instrumentor import ClaudeStreamInstrumentor, tell_export_failures

_log = logging.getLogger("otel_claude_stream")

NAME: Final = "claude_stream"
"""Of the entry point, and so in `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`."""

SWITCH: Final = "OTEL_CLAUDE_STREAM_AUTO"
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)

_state = {"started": False}


def start() -> None:
    """Start OpenTelemetry's auto-instrumentation, and ours with it.

    Where exporter variables are set and no provider is, OpenTelemetry configures itself from them and instruments
    what it finds, as under ``opentelemetry-instrument``; an application that sets providers of its own later still
    gets its way. Without such variables only ours is started, and uses what the application will set.
    """
    if _state["started"]:
        return
    _state["started"] = True
    try:
        with _not_in_children(os.environ):
            _start(os.environ)
    except Exception as error:  # noqa: BLE001 - the boundary: this runs before the application's first line
        _guard.report("start", error)


def _start(environ: MutableMapping[str, str]) -> None:
    if _opentelemetry_started():
        return
    if wants_exporters(environ) and not any_is_set():
        _configure(environ)
    if not is_disabled(environ):
        ClaudeStreamInstrumentor().instrument()


def wants_exporters(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where telemetry goes to."""

    def said(name: str) -> str:
        return environ.get(name, "").strip().lower()

    if said("OTEL_SDK_DISABLED") == "true":
        return False
    if said(CONFIG_FILE):
        return True
    chosen = [said(name) for name in EXPORTERS if said(name)]
    if chosen:
        return any(name != "none" for name in chosen) or (len(chosen) < len(EXPORTERS) and _has_endpoint(environ))
    return _has_endpoint(environ)


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Whether the variable of OpenTelemetry's auto-instrumentation names us."""
    return not {NAME, "*"}.isdisjoint(name.strip() for name in environ.get(DISABLED, "").split(","))


def _has_endpoint(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name, "").strip() for name in ENDPOINTS)


def _opentelemetry_started() -> bool:
    """Whether OpenTelemetry's own `sitecustomize` was the next one: it has done all of it."""
    path = str(getattr(sys.modules.get("sitecustomize"), "__file__", None) or "")
    return Path(path).parent.parts[-3:] == ("opentelemetry", "instrumentation", "auto_instrumentation")


def _configure(environ: MutableMapping[str, str]) -> None:
    if find_spec("opentelemetry.sdk") is None:
        _log.warning(
            "otel-claude-stream: exporter variables are set, but there is no OpenTelemetry SDK to configure from them; "
            "install it with: pip install 'otel-claude-stream[otlp]'"
        )
        return
    _complete(environ)
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    if not list(entry_points(group="opentelemetry_configurator")):  # without a distribution nobody else would do it
        sdk: Any = import_module("opentelemetry.sdk._configuration")
        sdk._OTelSDKConfigurator().configure()  # noqa: SLF001 - made for distributions to build on
    initialize()
    tell_export_failures()
    yield_to_the_application()


def _complete(environ: MutableMapping[str, str]) -> None:
    """Say what a distribution would have to guess: OTLP for every signal, by the protocol that is installed."""
    if environ.get(CONFIG_FILE):
        return
    for name in EXPORTERS:
        environ.setdefault(name, "otlp")
    installed = {point.name for point in entry_points(group="opentelemetry_traces_exporter")}
    if "otlp_proto_grpc" not in installed and "otlp_proto_http" in installed:
        # The default of OpenTelemetry's distribution is grpc, and an exporter that is missing switches all of it off.
        environ.setdefault(PROTOCOL, "http/protobuf")


@contextmanager
def _not_in_children(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Within, children do not start it: one that an instrumentation starts while it loads would do so in turn."""
    before = environ.get(SWITCH)
    environ[SWITCH] = "false"
    try:
        yield
    finally:
        if before is None:
            environ.pop(SWITCH, None)
        else:
            environ[SWITCH] = before
