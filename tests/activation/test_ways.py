"""The ways to activate the instrumentation of an application without a change of its code."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from tests.support.activation.concurrent_cases import ConcurrentCases
from tests.support.activation.environments import copied_environment
from tests.support.activation.harness import (
    APPS,
    ProcessResult,
    app,
    assert_one_stream,
    collecting,
    environment,
    instrument,
    path_folder,
    python,
    run,
)

from otel_claude_stream._auto.start import _set_exporter_defaults, is_disabled, wants_exporters

cases = ConcurrentCases()
CHAT = app("chat.py")
HELLO = "print('Hello there.')"
ALONE = "import sys; print([name for name in sys.modules if name.startswith('otel')] or 'Hello there.')"
"""Prints the greeting only if no module of this package or of OpenTelemetry has been imported."""

OFF = "from otel_claude_stream import _instrumentor; print(_instrumentor._hooks._lazy or 'Hello there.')"
ON = "from otel_claude_stream import _instrumentor; print(_instrumentor._hooks._lazy and 'Hello there.')"
"""These print the greeting only if no hooks are installed, or if they are. They do not import the SDK."""


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:2] if part.isdigit())


# --- 1. opentelemetry-instrument


@cases
def opentelemetry_instrument(api: str, tmp: Path) -> None:
    """Other instrumentors in the metadata are loaded too."""
    for name in ("aaa_before", "zzz_after"):
        write_instrumentor(
            tmp,
            name,
            f"import sys; from otel_claude_stream.testing import Script\nclass I:\n"
            f"    def instrument(self, **_): print('{name}', flush=True)",
        )
    found = run(instrument(CHAT), api, PYTHONPATH=str(tmp))
    assert assert_one_stream(found).resource["service.name"] == "app"
    assert sorted(found.out.splitlines()) == ["Hello there.", "aaa_before", "zzz_after"]


@cases
def disabled_by_the_variable_of_opentelemetry(api: str, tmp: Path) -> None:
    assert_no_telemetry(run(instrument("-c", OFF), api, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, claude_stream"))


@cases
def disabled_by_our_variable(api: str, tmp: Path) -> None:
    assert_no_telemetry(run(instrument("-c", OFF), api, OTEL_CLAUDE_STREAM_ENABLED="false"))


@cases
def the_sdk_of_opentelemetry_disabled(api: str, tmp: Path) -> None:
    assert_no_telemetry(run(instrument(CHAT), api, OTEL_SDK_DISABLED="true"))


@cases
def no_effect_without_anthropic(api: str, tmp: Path) -> None:
    interpreter, _ = copied_environment(tmp / "venv", without="anthropic")
    for command, more in (
        (instrument("-c", HELLO, interpreter=interpreter), {}),
        ([interpreter, "-c", HELLO], {"PYTHONPATH": path_folder()}),
        (
            [
                interpreter,
                "-c",
                "from otel_claude_stream import ClaudeStreamInstrumentor as I; I().instrument();" + HELLO,
            ],
            {},
        ),
    ):
        assert_no_telemetry(run(command, api, **more))


@cases
def an_unsupported_anthropic_is_one_log_line(api: str, tmp: Path) -> None:
    """The line names the version that was found and the supported ones."""
    write_metadata(tmp, "anthropic", "3.1.4")
    old = version("opentelemetry-instrumentation") < (0, 60)  # those log conflicts at level DEBUG
    for command, more in (
        (instrument("-c", OFF), {"PYTHONPATH": str(tmp)}),
        (
            python("-c", OFF),
            {"PYTHONPATH": os.pathsep.join([path_folder(), str(tmp)]), "OTEL_EXPORTER_OTLP_ENDPOINT": None},
        ),
    ):
        found = run(command, api, **more)
        assert (found.code, found.out, found.collected.ours) == (0, "Hello there.\n", [])
        by_opentelemetry = more["PYTHONPATH"] == str(tmp)
        if by_opentelemetry and old:
            continue
        (line,) = found.err.splitlines()
        assert "3.1.4" in line
        assert "<3" in line.replace(" ", "")
        assert ">=0.50" in line.replace(" ", "")


# --- 2 (a). A folder on PYTHONPATH


@cases
def a_folder_on_the_path(api: str, tmp: Path) -> None:
    """Without a protocol, OpenTelemetry's default is grpc. Where this package configures it, HTTP is."""
    span = assert_one_stream(run(python(CHAT), api, PYTHONPATH=path_folder(), OTEL_EXPORTER_OTLP_PROTOCOL=None))
    assert span.resource["service.name"] == "app"


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [("http://collector:4318", "http/protobuf"), ("https://host", "http/protobuf"), ("http://collector:4317", None)],
)
def test_the_default_protocol_is_http_unless_the_port_is_that_of_grpc(endpoint, protocol):
    """Both exporters are installed here. OpenTelemetry's own default is gRPC for every port."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    _set_exporter_defaults(environ)
    assert environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == protocol


@cases
def a_folder_beside_other_folders_on_the_path(api: str, tmp: Path) -> None:
    (tmp / "greeting.py").write_text("text = 'mine'", encoding="utf-8")
    code = f"import greeting; print(greeting.text); {ON}"
    found = run(python("-c", code), api, PYTHONPATH=os.pathsep.join([str(tmp), path_folder()]))
    assert (found.code, found.out, found.err) == (0, "mine\nHello there.\n", "")


@cases
def another_sitecustomize_runs_too(api: str, tmp: Path) -> None:
    (tmp / "sitecustomize.py").write_text("print('mine', __name__, flush=True); here = 1", encoding="utf-8")
    code = f"import sitecustomize; print(sitecustomize.here); {ON}"
    found = run(python("-c", code), api, PYTHONPATH=os.pathsep.join([path_folder(), str(tmp)]))
    assert (found.code, found.out, found.err) == (0, "mine sitecustomize\n1\nHello there.\n", "")


@cases
def an_exception_of_another_sitecustomize_is_reported(api: str, tmp: Path) -> None:
    (tmp / "sitecustomize.py").write_text("raise ValueError('mine')", encoding="utf-8")
    with_us = run(python("-c", ON), api, PYTHONPATH=os.pathsep.join([path_folder(), str(tmp)]))
    without = run(python("-c", HELLO), api, PYTHONPATH=str(tmp))
    assert (with_us.code, with_us.out, with_us.err) == (0, without.out, without.err)
    assert "ValueError: mine" in with_us.err


@cases
def with_opentelemetry_instrument_as_well(api: str, tmp: Path) -> None:
    """Whichever folder comes first, everything is instrumented and configured once."""
    from opentelemetry.instrumentation import auto_instrumentation

    theirs = str(Path(auto_instrumentation.__file__).parent)
    assert_one_stream(run(python(CHAT), api, PYTHONPATH=os.pathsep.join([path_folder(), theirs])))
    assert_one_stream(run(instrument(CHAT), api, PYTHONPATH=path_folder()))


@cases
def children_inherit_the_folder(api: str, tmp: Path) -> None:
    assert_one_stream(run(python(app("parent.py")), api, PYTHONPATH=path_folder()))


@cases
def a_module_run_with_m(api: str, tmp: Path) -> None:
    assert_one_stream(run(python("-m", "chat"), api, cwd=APPS, PYTHONPATH=path_folder()))


@cases
def switched_off_by_the_variable(api: str, tmp: Path) -> None:
    assert_no_telemetry(run(python("-c", ALONE), api, PYTHONPATH=path_folder(), OTEL_CLAUDE_STREAM_AUTO="false"))


@cases
def disabled_by_name(api: str, tmp: Path) -> None:
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "claude_stream"}
    assert_no_telemetry(run(python("-c", OFF), api, PYTHONPATH=path_folder(), **disabled))


@cases
def no_effect_in_an_environment_without_the_package(api: str, tmp: Path) -> None:
    """A child with another interpreter inherits the path."""
    found = run(python("-I", "-S", "-c", textwrap.dedent(f"""
        import sys, types
        sys.path.insert(0, {path_folder()!r})
        import sitecustomize
        print('Hello there.')
        """)), api)  # fmt: skip
    assert_no_telemetry(found)


@cases
def no_exporter_and_no_providers(api: str, tmp: Path) -> None:
    """Nothing is configured or logged."""
    assert_no_telemetry(run(python(CHAT), api, export=False, PYTHONPATH=path_folder()))


@cases
def an_application_that_sets_providers(api: str, tmp: Path) -> None:
    """Its providers are used, before or after the import of the SDK, with exporter variables or without."""
    for arguments, variables in (([], True), (["late"], True), ([], False)):
        with collecting() as theirs:
            found = run(
                python(app("sets_providers.py"), *arguments),
                api,
                export=variables,
                PYTHONPATH=path_folder(),
                COLLECTOR_URL=theirs.url,
            )
        assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")
        (span,) = theirs.ours
        assert span.resource["service.name"] == "from-code"
        (work,) = [one for one in theirs.spans if one.name == "work"]
        assert span.parent_id == work.span_id
        assert ("from-code", "otel_claude_stream", "claude.stream.duration") in theirs.metrics
        assert found.collected.ours == []
        assert not [one for one in found.collected.metrics if one[1] == "otel_claude_stream"]


# --- 2 (b). A line in the environment


@cases
def autoload_is_installed_used_and_removed(api: str, tmp: Path) -> None:
    """Installation can be repeated, and the `.pth` file contains no path, so the environment can be copied."""
    interpreter, packages = copied_environment(tmp / "venv")
    line = packages / "otel-claude-stream.pth"

    def autoload(*arguments: str) -> tuple[int, str, str]:
        found = subprocess.run(
            [interpreter, "-m", "otel_claude_stream", "autoload", *arguments],
            capture_output=True, text=True, check=False, env=environment(api),
        )  # fmt: skip
        return found.returncode, found.stdout, found.stderr

    def assert_not_imported(**more: str) -> None:
        assert_no_telemetry(run([interpreter, "-c", ALONE], api, **more))

    assert autoload("status")[0] == 1
    code, out, _ = autoload("install", "--dry-run")
    assert (code, line.exists()) == (0, False)
    assert out.startswith(f"would write {line}:\nimport os; ")
    assert_not_imported(OTEL_CLAUDE_STREAM_AUTO="true")
    assert autoload("install") == (0, f"wrote {line}\nit has no effect unless OTEL_CLAUDE_STREAM_AUTO=true\n", "")
    text = line.read_text(encoding="utf-8")
    assert (text.count("\n"), str(tmp) in text) == (1, False)
    assert autoload("install") == (0, f"already installed: {line}\n", "")
    assert autoload("status")[0] == 0
    assert_not_imported()
    assert_not_imported(OTEL_CLAUDE_STREAM_AUTO="false")
    assert_one_stream(run([interpreter, app("parent.py")], api, OTEL_CLAUDE_STREAM_AUTO="true"))
    assert_one_stream(run([interpreter, "-I", CHAT], api, OTEL_CLAUDE_STREAM_AUTO="true"))
    assert_one_stream(run([interpreter, CHAT], api, OTEL_CLAUDE_STREAM_AUTO="true", PYTHONPATH=path_folder()))
    line.write_text(text + "# of another version\n", encoding="utf-8")
    assert autoload("status")[0] == 1
    assert autoload("remove") == (0, f"deleted {line}\n", "")
    assert autoload("remove") == (0, "nothing to remove\n", "")
    assert_not_imported(OTEL_CLAUDE_STREAM_AUTO="true")


@cases
def a_leftover_autoload_file_is_harmless(api: str, tmp: Path) -> None:
    """The package was uninstalled without `autoload remove`."""
    interpreter, packages = copied_environment(tmp / "venv")
    subprocess.run([interpreter, "-m", "otel_claude_stream", "autoload", "install"], check=True, capture_output=True)
    shutil.rmtree(packages / "otel_claude_stream")
    assert_no_telemetry(run([interpreter, "-c", ALONE], api, OTEL_CLAUDE_STREAM_AUTO="true"))


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://localhost:4318/v1/logs"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "METRICS", "LOGS")}, False),
        ({"OTEL_CONFIG_FILE": "otel.yaml"}, True),
        ({"OTEL_CONFIG_FILE": "otel.yaml", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_exporter_variables_are_detected(variables, wanted):
    assert wants_exporters(variables) == wanted


@pytest.mark.parametrize(
    ("value", "disabled"), [("", False), ("*", True), ("flask, claude_stream", True), ("x", False)]
)
def test_the_variable_that_disables_instrumentations_is_parsed(value, disabled):
    assert is_disabled({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": value}) == disabled


# --- Helpers


def assert_no_telemetry(found: ProcessResult) -> None:
    """Assert that an application ran as usual, without a log line and without telemetry of this package."""
    assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")
    assert found.collected.ours == []
    assert not [one for one in found.collected.metrics if one[1] == "otel_claude_stream"]


def write_metadata(folder: Path, name: str, number: str) -> None:
    """Write the metadata of a distribution that is not installed."""
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n", encoding="utf-8")


def write_instrumentor(folder: Path, name: str, code: str) -> None:
    """Write a distribution with an instrumentor."""
    write_metadata(folder, name, "1.0")
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    points = f"[opentelemetry_instrumentor]\n{name} = {name}:I\n"
    (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")


running, test_way = cases.test()
