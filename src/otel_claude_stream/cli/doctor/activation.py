"""The doctor's look at activation: which of the ways is in place here, and what keeps the others from it."""

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
from otel_claude_stream.cli.process import instrumented

GROUP: Final = "opentelemetry_instrumentor"
NAME: Final = "claude_stream"
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
AUTO: Final = "OTEL_CLAUDE_STREAM_AUTO"
TRUE: Final = ("true", "1", "yes", "on")
FALSE: Final = ("false", "0", "no", "off")


def activation(environ: Mapping[str, str], plain: Probe) -> Section:
    """``plain`` is what a Python that was started without anything has found."""
    found = [_verdict(environ, plain), *_under_instrument(environ), _path(environ), _autoload(environ)]
    return Section("Activation", (*found, *_switches(environ)))


def _verdict(environ: Mapping[str, str], plain: Probe) -> Finding:
    """Whether a `python` that is started here is instrumented without any change, as it has shown itself."""
    if not plain.tracer_provider:
        return error(f"a Python started here fails: {plain.failure}")
    if not plain.active:
        return note(
            "a plain `python app.py` is not instrumented here",
            "start it as `opentelemetry-instrument python app.py`, or put PYTHONPATH=$(otel-claude-stream path) "
            "before it, or call ClaudeStreamInstrumentor().instrument() in it",
        )
    if os.fspath(FOLDER) in environ.get("PYTHONPATH", "").split(os.pathsep):
        how = "by PYTHONPATH"
    elif environ.get(AUTO, "").strip().lower() in TRUE:
        how = f"by {AUTO}"
    else:
        how = "by a sitecustomize or a .pth file of somebody else's"
    return ok(f"a plain `python app.py` is instrumented here, {how}")


def _under_instrument(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The first way: `opentelemetry-instrument`."""
    if not [one for one in entry_points(group=GROUP) if one.name == NAME]:
        yield error(
            f"opentelemetry-instrument does not find {NAME}: no such entry point in group {GROUP}",
            "install the package with pip; a copy of its folder is not enough",
        )
    elif not importable("opentelemetry.distro"):
        yield warning(
            "opentelemetry-instrument would configure no exporter: opentelemetry-distro is not installed",
            "pip install 'otel-claude-stream[otlp]'",
        )
    else:
        program = instrumented([])[0]
        where = program if Path(program).stem == "opentelemetry-instrument" else "no script beside this Python"
        yield ok(f"opentelemetry-instrument finds {NAME} ({where})")
    disabled = {name.strip() for name in environ.get(DISABLED, "").split(",")}
    if found := disabled & {NAME, "*"}:
        yield warning(f"{DISABLED} has {', '.join(sorted(found))}: switched off", f"take it out of {DISABLED}")


def _path(environ: Mapping[str, str]) -> Finding:
    """The second way: our folder on the path."""
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    if os.fspath(FOLDER) in folders:
        return ok("PYTHONPATH has the folder of `otel-claude-stream path`; children inherit it")
    other = [folder for folder in folders if Path(folder).parts[-3:] == FOLDER.parts[-3:]]
    if other:
        return warning(
            f"PYTHONPATH has the folder of another installation: {other[0]}",
            "PYTHONPATH=$(otel-claude-stream path) of the environment that the application runs in",
        )
    return note("PYTHONPATH does not have the folder of `otel-claude-stream path`")


def _autoload(environ: Mapping[str, str]) -> Finding:
    """The third way: a line in the environment, and a variable."""
    switch = environ.get(AUTO, "").strip().lower()
    try:
        wanted = autoload.files(autoload.Environment.current())
        there = {path: path.read_text(encoding="utf-8") for path in wanted if path.exists()}
    except (CommandError, OSError, ValueError) as failure:
        return note(f"autoload cannot be used here: {failure}")
    if not there:
        text = "autoload is not installed in this environment"
        if switch in TRUE:
            return warning(f"{text}, so {AUTO}={switch} does nothing by itself", "otel-claude-stream autoload install")
        return note(text)
    if there != wanted:
        return warning("autoload was installed by another version", "otel-claude-stream autoload install")
    if switch in TRUE:
        return ok(f"autoload is installed, and {AUTO}={switch} switches it on")
    return note(f"autoload is installed, and does nothing while {AUTO} is not true", f"{AUTO}=true python app.py")


def _switches(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What would switch it off wherever it is on."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield warning("OTEL_SDK_DISABLED=true: OpenTelemetry records nothing at all", "unset OTEL_SDK_DISABLED")
    if (switch := environ.get(AUTO, "").strip().lower()) and switch not in (*TRUE, *FALSE):
        yield warning(f"{AUTO}={switch} is neither true nor false, and taken for false", f"{AUTO}=true")
