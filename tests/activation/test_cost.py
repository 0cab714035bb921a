"""What being installed costs, apart from time: which modules a process imports that never asked for us."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.support.activation.harness import TIMEOUT, environment, path_folder

from otel_claude_stream.cli import autoload

MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules(interpreter: str, *before: str, **more: str) -> set[str]:
    done = subprocess.run(
        [interpreter, *before, "-c", MODULES],
        env=environment("http://127.0.0.1:1", **more), capture_output=True, text=True, check=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.stderr == ""
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> tuple[str, Path]:
    """An environment with nothing in it: its Python, and its folder of packages."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    (packages,) = (path for path in folder.rglob("site-packages") if not path.is_symlink())
    return str(next(folder.glob("[bS][ic][nr]*/python*"))), packages


@pytest.mark.parametrize("python", [(3, 14), (3, 15)], ids=["pth", "start"])
def test_the_line_imports_nothing_unless_switched_on(empty, python):
    """Not even a module of the standard library that a bare Python would not import."""
    interpreter, packages = empty
    anything = packages / "anything.pth"  # Python 3.13 imports a codec for the first of them, whatever it says
    anything.write_text("# nothing\n", encoding="utf-8")
    bare = modules(interpreter)
    anything.unlink()
    written = autoload.files(autoload.Environment(packages, python, None))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    try:
        # Pythons before 3.15 do not read a `.start` file: what one of those would do with its line is done here. (The
        # first name that `pkgutil` resolves takes a regular expression.)
        called = "import pkgutil; pkgutil.resolve_name('_otel_claude_stream_autoload:start')(); "
        if python >= (3, 15):
            done = subprocess.run(
                [interpreter, "-c", "import pkgutil, re, sys; before = set(sys.modules); " + called
                 + "print(set(sys.modules) - before)"],
                env=environment(""), capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout == "{'_otel_claude_stream_autoload'}\n"
        else:
            assert modules(interpreter) == bare
            assert modules(interpreter, OTEL_CLAUDE_STREAM_AUTO="no") == bare
    finally:
        for path in written:
            path.unlink()


def test_the_start_file_starts(api):
    """As Python 3.15 calls it."""
    lines = autoload.files(autoload.Environment(Path("/packages"), (3, 15), None))
    module, point = lines.values()
    assert point == "_otel_claude_stream_autoload:start\n"
    code = module + "start()\nimport sys\nprint('otel_claude_stream._auto.start' in sys.modules)"
    for value, expected in (("true", "True"), ("", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(api, OTEL_CLAUDE_STREAM_AUTO=value), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == (f"{expected}\n", "")


def test_no_way_imports_the_sdk():
    """Nor does ours import an HTTP client: which one the SDK uses is not known before."""
    started = modules(sys.executable, PYTHONPATH=path_folder())
    assert "otel_claude_stream._instrumentor" in started
    assert not {"anthropic", "httpx", "httpx2", "otel_claude_stream.testing", "otel_claude_stream.cli"} & started
    assert not {name for name in started if name.startswith("opentelemetry.sdk")}  # without exporters, none of it


HANDLES_STREAMS = {
    f"otel_claude_stream.{name}"
    for name in ("_sdk.attach.assembly", "_sdk.attach.sdk_hooks", "_session", "_core.stream.message_state")
}


def test_what_handles_streams_comes_with_the_sdk():
    """A process without the SDK pays for the hooks alone; one with it does not wait for the rest in its first call."""
    assert not HANDLES_STREAMS & modules(sys.executable, PYTHONPATH=path_folder())
    for first, then in (("anthropic", "instrument()"), ("instrument()", "anthropic")):
        steps = {
            "anthropic": "import anthropic",
            "instrument()": "import otel_claude_stream as o; o.ClaudeStreamInstrumentor().instrument()",
        }
        done = subprocess.run(
            [sys.executable, "-c", f"{steps[first]}\n{steps[then]}\n{MODULES}"],
            env=environment(""), capture_output=True, text=True, check=True, timeout=TIMEOUT,
        )  # fmt: skip
        assert set(json.loads(done.stdout)) >= HANDLES_STREAMS, (first, then)


def test_a_package_that_cannot_handle_streams_leaves_the_application_alone():
    """Of a broken installation, say: the SDK is imported and works, and one line says that it is not watched."""
    code = """
import sys
sys.modules["otel_claude_stream._sdk.attach.assembly"] = None  # an import of it raises
import otel_claude_stream
otel_claude_stream.ClaudeStreamInstrumentor().instrument()
import anthropic
client = anthropic.Anthropic(api_key="test", base_url="http://127.0.0.1:1", max_retries=0)
try:
    client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}], stream=True)
except anthropic.APIConnectionError:
    print("as without it")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("", OTEL_CLAUDE_STREAM_STRICT=""), capture_output=True, text=True, timeout=TIMEOUT, check=True,
    )  # fmt: skip
    assert done.stdout == "as without it\n"
    (line,) = done.stderr.splitlines()
    assert "otel-claude-stream failed in instrument" in line
