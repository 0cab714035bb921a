"""Check which of the three ways of activation this environment uses, and what prevents the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from otel_claude_stream.cli.activate import autoload
from otel_claude_stream.cli.activate.path import FOLDER
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor.probe import Probe
from otel_claude_stream.cli.errors import CommandError, importable
from otel_claude_stream.cli.process import auto_instrumented

GROUP: Final = "opentelemetry_instrumentor"
NAME: Final = "claude_stream"
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
AUTO: Final = "OTEL_CLAUDE_STREAM_AUTO"
TRUE: Final = ("true", "1", "yes", "on")
FALSE: Final = ("false", "0", "no", "off")


def activation(environ: Mapping[str, str], plain: Probe) -> Section:
    """Check the activation; ``plain`` is the probe of a Python that was started without a launcher."""
    found = [_verdict(environ, plain), *_under_instrument(environ), _path(environ), _autoload(environ)]
    return Section("Activation", (*found, *_switches(environ)))


def _verdict(environ: Mapping[str, str], plain: Probe) -> Finding:
    """Report whether the probe was instrumented without a launcher, and by which way."""
    if not plain.tracer_provider:
        return error(f"a Python process fails in this environment: {plain.failure}")
    if not plain.active:
        return note(
            "a plain `python app.py` is not instrumented in this environment",
            "run `opentelemetry-instrument python app.py`, or set PYTHONPATH=$(otel-claude-stream path), or call "
            "ClaudeStreamInstrumentor().instrument() in the application",
        )
    if os.fspath(FOLDER) in environ.get("PYTHONPATH", "").split(os.pathsep):
        way = "by PYTHONPATH"
    elif environ.get(AUTO, "").strip().lower() in TRUE:
        way = f"by {AUTO}"
    else:
        way = "by a sitecustomize or a .pth file of another package"
    return ok(f"a plain `python app.py` is instrumented in this environment, {way}")


def _under_instrument(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check the first way, `opentelemetry-instrument`."""
    if not [one for one in entry_points(group=GROUP) if one.name == NAME]:
        yield error(
            f"opentelemetry-instrument does not find {NAME}: the group {GROUP} has no such entry point",
            "install the package with pip; a copy of its folder has no entry points",
        )
    elif not importable("opentelemetry.distro"):
        yield warning(
            "opentelemetry-instrument would configure no exporter, since opentelemetry-distro is not installed",
            "pip install 'otel-claude-stream[otlp]'",
        )
    else:
        program = auto_instrumented([])[0]
        where = program if Path(program).stem == "opentelemetry-instrument" else "no script beside this Python"
        yield ok(f"opentelemetry-instrument finds {NAME} ({where})")
    disabled = {name.strip() for name in environ.get(DISABLED, "").split(",")}
    if found := disabled & {NAME, "*"}:
        yield warning(
            f"{DISABLED} contains {', '.join(sorted(found))}, which switches {NAME} off", "remove it from that variable"
        )


def _path(environ: Mapping[str, str]) -> Finding:
    """Check the second way, the folder on PYTHONPATH."""
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    if os.fspath(FOLDER) in folders:
        return ok("PYTHONPATH contains the folder of `otel-claude-stream path`; child processes inherit it")
    other = [folder for folder in folders if Path(folder).parts[-3:] == FOLDER.parts[-3:]]
    if other:
        return warning(
            f"PYTHONPATH contains the folder of another installation: {other[0]}",
            "set PYTHONPATH=$(otel-claude-stream path) in the environment of the application",
        )
    return note("PYTHONPATH does not contain the folder of `otel-claude-stream path`")


def _autoload(environ: Mapping[str, str]) -> Finding:
    """Check the third way, a line in the environment and a variable."""
    switch = environ.get(AUTO, "").strip().lower()
    try:
        expected = autoload.files(autoload.Environment.current())
        installed = {path: path.read_text(encoding="utf-8") for path in expected if path.exists()}
    except (CommandError, OSError, ValueError) as failure:
        return note(f"autoload cannot be used in this environment: {failure}")
    if not installed:
        text = "autoload is not installed in this environment"
        if switch in TRUE:
            return warning(f"{text}, so {AUTO}={switch} has no effect", "otel-claude-stream autoload install")
        return note(text)
    if installed != expected:
        return warning("autoload was installed by another version", "otel-claude-stream autoload install")
    if switch in TRUE:
        return ok(f"autoload is installed, and {AUTO}={switch} activates it")
    return note(f"autoload is installed, but has no effect unless {AUTO} is true", f"{AUTO}=true python app.py")


def _switches(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about variables that switch the instrumentation off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield warning("OTEL_SDK_DISABLED=true: OpenTelemetry records no telemetry", "unset OTEL_SDK_DISABLED")
    if (switch := environ.get(AUTO, "").strip().lower()) and switch not in (*TRUE, *FALSE):
        yield warning(f"{AUTO}={switch} is neither true nor false, and counts as false", f"{AUTO}=true")
