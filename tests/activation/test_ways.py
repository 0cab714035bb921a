"""The ways to turn it on, on an application that does not know about us."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from tests.support.activation.environments import prepared
from tests.support.activation.harness import (
    APPS,
    Run,
    app,
    collecting,
    environment,
    instrument,
    one_stream,
    path_folder,
    python,
    run,
)
from tests.support.activation.together import Together

from otel_claude_stream._auto.start import is_disabled, wants_exporters

together = Together()
CHAT = app("chat.py")
HELLO = "print('Hello there.')"
ALONE = "import sys; print([name for name in sys.modules if name.startswith('otel')] or 'Hello there.')"
"""Says hello only if nothing of ours, or of OpenTelemetry's, has been imported."""

OFF = "from otel_claude_stream import _instrumentor; print(_instrumentor._hooks._watch or 'Hello there.')"
ON = "from otel_claude_stream import _instrumentor; print(_instrumentor._hooks._watch and 'Hello there.')"
"""Say hello only if nothing has been hooked, or if it has. Cheaper than a stream: they do not import the SDK."""


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:2] if part.isdigit())


# --- 1. opentelemetry-instrument


@together
def opentelemetry_instrument(api: str, tmp: Path) -> None:
    """An instrumentor before ours and one after it, both from the metadata, are loaded too."""
    for name in ("aaa_before", "zzz_after"):
        distribution(
            tmp,
            name,
            f"import sys; from otel_claude_stream.testing import Script\nclass I:\n"
            f"    def instrument(self, **_): print('{name}', flush=True)",
        )
    found = run(instrument(CHAT), api, PYTHONPATH=str(tmp))
    assert one_stream(found).resource["service.name"] == "app"
    assert sorted(found.out.splitlines()) == ["Hello there.", "aaa_before", "zzz_after"]


@together
def disabled_by_the_variable_of_opentelemetry(api: str, tmp: Path) -> None:
    silent(run(instrument("-c", OFF), api, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, claude_stream"))


@together
def disabled_by_our_own_variable(api: str, tmp: Path) -> None:
    silent(run(instrument("-c", OFF), api, OTEL_CLAUDE_STREAM_ENABLED="false"))


@together
def the_sdk_of_opentelemetry_disabled(api: str, tmp: Path) -> None:
    silent(run(instrument(CHAT), api, OTEL_SDK_DISABLED="true"))


@together
def without_anthropic_all_is_silent(api: str, tmp: Path) -> None:
    interpreter, _ = prepared(tmp / "venv", without="anthropic")
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
        silent(run(command, api, **more))


@together
def an_unsupported_anthropic_is_one_line(api: str, tmp: Path) -> None:
    """Found and supported are both in it; and nothing is instrumented."""
    pretended(tmp, "anthropic", "3.1.4")
    old = version("opentelemetry-instrumentation") < (0, 60)  # those log every conflict for debugging only
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


@together
def a_folder_on_the_path(api: str, tmp: Path) -> None:
    """With an endpoint and no protocol: OpenTelemetry's default is grpc, whose exporter `[otlp]` does not bring."""
    span = one_stream(run(python(CHAT), api, PYTHONPATH=path_folder(), OTEL_EXPORTER_OTLP_PROTOCOL=None))
    assert span.resource["service.name"] == "app"


@together
def beside_a_path_that_is_set_already(api: str, tmp: Path) -> None:
    (tmp / "greeting.py").write_text("text = 'mine'", encoding="utf-8")
    code = f"import greeting; print(greeting.text); {ON}"
    found = run(python("-c", code), api, PYTHONPATH=os.pathsep.join([str(tmp), path_folder()]))
    assert (found.code, found.out, found.err) == (0, "mine\nHello there.\n", "")


@together
def a_sitecustomize_that_is_there_already_runs_too(api: str, tmp: Path) -> None:
    (tmp / "sitecustomize.py").write_text("print('mine', __name__, flush=True); here = 1", encoding="utf-8")
    code = f"import sitecustomize; print(sitecustomize.here); {ON}"
    found = run(python("-c", code), api, PYTHONPATH=os.pathsep.join([path_folder(), str(tmp)]))
    assert (found.code, found.out, found.err) == (0, "mine sitecustomize\n1\nHello there.\n", "")


@together
def a_sitecustomize_that_raises_is_told_as_ever(api: str, tmp: Path) -> None:
    (tmp / "sitecustomize.py").write_text("raise ValueError('mine')", encoding="utf-8")
    with_us = run(python("-c", ON), api, PYTHONPATH=os.pathsep.join([path_folder(), str(tmp)]))
    without = run(python("-c", HELLO), api, PYTHONPATH=str(tmp))
    assert (with_us.code, with_us.out, with_us.err) == (0, without.out, without.err)
    assert "ValueError: mine" in with_us.err


@together
def with_opentelemetry_instrument_as_well(api: str, tmp: Path) -> None:
    """Whichever folder comes first: one instrumentation, one configuration."""
    from opentelemetry.instrumentation import auto_instrumentation

    theirs = str(Path(auto_instrumentation.__file__).parent)
    one_stream(run(python(CHAT), api, PYTHONPATH=os.pathsep.join([path_folder(), theirs])))
    one_stream(run(instrument(CHAT), api, PYTHONPATH=path_folder()))


@together
def children_inherit_the_folder(api: str, tmp: Path) -> None:
    one_stream(run(python(app("parent.py")), api, PYTHONPATH=path_folder()))


@together
def a_module_is_run(api: str, tmp: Path) -> None:
    one_stream(run(python("-m", "chat"), api, cwd=APPS, PYTHONPATH=path_folder()))


@together
def the_switch_is_off(api: str, tmp: Path) -> None:
    silent(run(python("-c", ALONE), api, PYTHONPATH=path_folder(), OTEL_CLAUDE_STREAM_AUTO="false"))


@together
def disabled_by_name(api: str, tmp: Path) -> None:
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "claude_stream"}
    silent(run(python("-c", OFF), api, PYTHONPATH=path_folder(), **disabled))


@together
def another_environment_does_not_mind(api: str, tmp: Path) -> None:
    """A child with another interpreter inherits the path and has not installed us."""
    found = run(python("-I", "-S", "-c", textwrap.dedent(f"""
        import sys, types
        sys.path.insert(0, {path_folder()!r})
        import sitecustomize
        print('Hello there.')
        """)), api)  # fmt: skip
    silent(found)


@together
def no_exporter_and_no_providers(api: str, tmp: Path) -> None:
    """Ours waits for providers that never come: nothing is configured, nothing is said."""
    silent(run(python(CHAT), api, export=False, PYTHONPATH=path_folder()))


@together
def an_application_with_telemetry_of_its_own(api: str, tmp: Path) -> None:
    """Before or after the import of the SDK, with exporter variables set or not: ours joins it."""
    for arguments, variables in (([], True), (["late"], True), ([], False)):
        with collecting() as theirs:
            found = run(
                python(app("own_telemetry.py"), *arguments),
                api,
                export=variables,
                PYTHONPATH=path_folder(),
                WHERE=theirs.url,
            )
        assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")
        (span,) = theirs.ours
        assert span.resource["service.name"] == "own"
        (work,) = [one for one in theirs.spans if one.name == "work"]
        assert span.parent_id == work.span_id
        assert ("own", "otel_claude_stream", "claude.stream.duration") in theirs.metrics
        assert found.collected.ours == []
        assert not [one for one in found.collected.metrics if one[1] == "otel_claude_stream"]


# --- 2 (b). A line in the environment


@together
def a_line_in_the_environment(api: str, tmp: Path) -> None:
    """Installed twice, used with the variable and without it, removed; the environment may be copied elsewhere."""
    interpreter, packages = prepared(tmp / "venv")
    line = packages / "otel-claude-stream.pth"

    def autoload(*arguments: str) -> tuple[int, str, str]:
        found = subprocess.run(
            [interpreter, "-m", "otel_claude_stream", "autoload", *arguments],
            capture_output=True, text=True, check=False, env=environment(api),
        )  # fmt: skip
        return found.returncode, found.stdout, found.stderr

    def alone(**more: str) -> None:
        silent(run([interpreter, "-c", ALONE], api, **more))

    assert autoload("status")[0] == 1
    code, out, _ = autoload("install", "--dry-run")
    assert (code, line.exists()) == (0, False)
    assert out.startswith(f"would write {line}:\nimport os; ")
    alone(OTEL_CLAUDE_STREAM_AUTO="true")
    assert autoload("install") == (0, f"wrote {line}\nit does nothing unless OTEL_CLAUDE_STREAM_AUTO=true\n", "")
    text = line.read_text(encoding="utf-8")
    assert (text.count("\n"), str(tmp) in text) == (1, False)
    assert autoload("install") == (0, f"already installed: {line}\n", "")
    assert autoload("status")[0] == 0
    alone()
    alone(OTEL_CLAUDE_STREAM_AUTO="false")
    one_stream(run([interpreter, app("parent.py")], api, OTEL_CLAUDE_STREAM_AUTO="true"))
    one_stream(run([interpreter, "-I", CHAT], api, OTEL_CLAUDE_STREAM_AUTO="true"))
    one_stream(run([interpreter, CHAT], api, OTEL_CLAUDE_STREAM_AUTO="true", PYTHONPATH=path_folder()))
    line.write_text(text + "# of another version\n", encoding="utf-8")
    assert autoload("status")[0] == 1
    assert autoload("remove") == (0, f"deleted {line}\n", "")
    assert autoload("remove") == (0, "nothing to remove\n", "")
    alone(OTEL_CLAUDE_STREAM_AUTO="true")


@together
def the_line_survives_the_package(api: str, tmp: Path) -> None:
    """Uninstalled without `autoload remove`: nothing breaks."""
    interpreter, packages = prepared(tmp / "venv")
    subprocess.run([interpreter, "-m", "otel_claude_stream", "autoload", "install"], check=True, capture_output=True)
    shutil.rmtree(packages / "otel_claude_stream")
    silent(run([interpreter, "-c", ALONE], api, OTEL_CLAUDE_STREAM_AUTO="true"))


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
def test_what_counts_as_exporter_variables(variables, wanted):
    assert wants_exporters(variables) == wanted


@pytest.mark.parametrize(("said", "disabled"), [("", False), ("*", True), ("flask, claude_stream", True), ("x", False)])
def test_what_counts_as_disabled(said, disabled):
    assert is_disabled({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": said}) == disabled


# --- What these tests need


def silent(found: Run) -> None:
    """The application did what it does; nothing of ours arrived, and nobody said anything."""
    assert (found.code, found.out, found.err) == (0, "Hello there.\n", "")
    assert found.collected.ours == []
    assert not [one for one in found.collected.metrics if one[1] == "otel_claude_stream"]


def pretended(folder: Path, name: str, number: str) -> None:
    """Metadata of a version that is not really there."""
    info = folder / f"{name}-{number}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n", encoding="utf-8")


def distribution(folder: Path, name: str, code: str) -> None:
    """An instrumentor of somebody else."""
    pretended(folder, name, "1.0")
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    points = f"[opentelemetry_instrumentor]\n{name} = {name}:I\n"
    (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")


running, test_way = together.test()
