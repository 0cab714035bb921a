"""Start the instrumentation of a process from outside its code, once and without raising."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from otel_claude_stream import _guard
from otel_claude_stream._auto.exit import BoundedExit
from otel_claude_stream._instrumentor import ClaudeStreamInstrumentor, limit_export_failure_logs

_log = logging.getLogger("otel_claude_stream")

NAME: Final = "claude_stream"
"""The name of the entry point, which `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` uses too."""

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
SIGNALS: Final = (
    ("opentelemetry.trace", "opentelemetry.trace", "tracer_provider"),
    ("opentelemetry.metrics", "opentelemetry.metrics._internal", "meter_provider"),
    ("opentelemetry._logs", "opentelemetry._logs._internal", "logger_provider"),
)
"""For each global provider the module of its setter, the module of its variables, and the name that both contain.

Valid for opentelemetry-api 1.37 to 1.45. If a name is missing, the first provider cannot be replaced."""

GRPC_PORT: Final = re.compile(r":4317\b")

_state = {"started": False}


def start() -> None:
    """Start OpenTelemetry's auto-instrumentation, including this package.

    If exporter variables are set and no provider is, OpenTelemetry is configured from the variables and instruments
    what it finds, as under ``opentelemetry-instrument``. Providers that the application sets later replace these.
    Without such variables only this package is started. It uses the providers that the application sets.
    """
    if _state["started"]:
        return
    _state["started"] = True
    try:
        with _switched_off_in_children(os.environ):
            _start(os.environ)
    except Exception as error:  # noqa: BLE001 - this runs before the application's first line, and must not fail
        _guard.report("start", error)


def _start(environ: MutableMapping[str, str]) -> None:
    if _opentelemetry_started():
        return
    provider_is_set = any(_current(holder, name) is not None for _, holder, name in SIGNALS)  # by a `sitecustomize`
    if wants_exporters(environ) and not provider_is_set:
        _configure(environ)
    if not is_disabled(environ):
        ClaudeStreamInstrumentor().instrument()


def wants_exporters(environ: Mapping[str, str]) -> bool:
    """Whether the environment names an exporter, an endpoint or a configuration file."""

    def value(name: str) -> str:
        return environ.get(name, "").strip().lower()

    if value("OTEL_SDK_DISABLED") == "true":
        return False
    if value(CONFIG_FILE):
        return True
    exporters = [value(name) for name in EXPORTERS if value(name)]
    if exporters:
        all_named = len(exporters) == len(EXPORTERS)
        return any(name != "none" for name in exporters) or (not all_named and _has_endpoint(environ))
    return _has_endpoint(environ)


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Whether `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` names this package, or all."""
    return not {NAME, "*"}.isdisjoint(name.strip() for name in environ.get(DISABLED, "").split(","))


def _has_endpoint(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name, "").strip() for name in ENDPOINTS)


def _opentelemetry_started() -> bool:
    """Whether OpenTelemetry's `sitecustomize` ran after ours, and has started everything."""
    path = str(getattr(sys.modules.get("sitecustomize"), "__file__", None) or "")
    return Path(path).parent.parts[-3:] == ("opentelemetry", "instrumentation", "auto_instrumentation")


def _configure(environ: MutableMapping[str, str]) -> None:
    if find_spec("opentelemetry.sdk") is None:
        _log.warning(
            "otel-claude-stream: exporter variables are set, but opentelemetry-sdk is not installed; "
            "no telemetry will be exported. Run: pip install 'otel-claude-stream[otlp]'"
        )
        return
    _set_exporter_defaults(environ)
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    if not list(entry_points(group="opentelemetry_configurator")):  # else OpenTelemetry's distribution does it
        sdk: Any = import_module("opentelemetry.sdk._configuration")
        sdk._OTelSDKConfigurator().configure()  # noqa: SLF001 - the base class of configurators
    initialize()
    limit_export_failure_logs()
    providers = [_current(holder, name) for _, holder, name in SIGNALS]
    BoundedExit([provider for provider in providers if hasattr(provider, "shutdown")])
    _let_application_replace_providers()


def _set_exporter_defaults(environ: MutableMapping[str, str]) -> None:
    """Set OTLP as the default exporter of every signal, by HTTP unless an endpoint has the port of gRPC."""
    if environ.get(CONFIG_FILE):
        return
    for name in EXPORTERS:
        environ.setdefault(name, "otlp")
    installed = {point.name for point in entry_points(group="opentelemetry_traces_exporter")}
    by_grpc = "otlp_proto_grpc" in installed and any(GRPC_PORT.search(environ.get(name, "")) for name in ENDPOINTS)
    if "otlp_proto_http" in installed and not by_grpc:
        # OpenTelemetry's distribution defaults to grpc, and a missing exporter would switch off all of OpenTelemetry.
        environ.setdefault(PROTOCOL, "http/protobuf")


@contextmanager
def _switched_off_in_children(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Switch activation off in child processes.

    An instrumentation may start a child while it loads, and that child would start one of its own.
    """
    before = environ.get(SWITCH)
    environ[SWITCH] = "false"
    try:
        yield
    finally:
        if before is None:
            environ.pop(SWITCH, None)
        else:
            environ[SWITCH] = before


# --- Global providers -------------------------------------------------------------------------------------------------
def _let_application_replace_providers() -> None:
    """Allow the application to replace the global providers that are set now.

    The API accepts the first provider only, and logs a warning for any other. The providers set now were created
    before the application's first line, from variables that it may use for its own set-up.
    """
    for api, holder, name in SIGNALS:
        provider = _current(holder, name)
        if provider is not None:
            _make_replaceable(import_module(api), import_module(holder), name, provider)


def _current(holder: str, name: str) -> Any:
    return getattr(import_module(holder), f"_{name.upper()}", None)


def _make_replaceable(api: Any, holder: Any, name: str, ours: object) -> None:
    from opentelemetry.util._once import Once

    setter, variable, once = f"set_{name}", f"_{name.upper()}", f"_{name.upper()}_SET_ONCE"
    original: Callable[..., None] = getattr(api, setter)
    if not isinstance(getattr(holder, once, None), Once):
        return

    @functools.wraps(original)
    def set_provider(provider: Any, *args: Any, **kwargs: Any) -> None:
        if getattr(holder, variable, None) is ours and provider is not ours:
            setattr(holder, variable, None)
            setattr(holder, once, Once())
        original(provider, *args, **kwargs)

    for module in {holder, api}:
        if getattr(module, setter, None) is original:
            setattr(module, setter, set_provider)
