"""The modules that a process imports if it does not use the SDK."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.support.activation.harness import TIMEOUT, environment, path_folder

from otel_claude_stream.cli.activate import autoload

MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def imported_modules(interpreter: str, *before: str, **more: str) -> set[str]:
    done = subprocess.run(
        [interpreter, *before, "-c", MODULES],
        env=environment("http://127.0.0.1:1", **more), capture_output=True, text=True, check=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.stderr == ""
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> tuple[str, Path]:
    """The Python and the site-packages of an empty environment."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    (packages,) = (path for path in folder.rglob("site-packages") if not path.is_symlink())
    return str(next(folder.glob("[bS][ic][nr]*/python*"))), packages


@pytest.mark.parametrize("python", [(3, 14), (3, 15)], ids=["pth", "start"])
def test_the_autoload_file_imports_nothing_unless_switched_on(empty, python):
    """This includes modules of the standard library that Python does not import itself."""
    interpreter, packages = empty
    anything = packages / "anything.pth"  # Python 3.13 imports a codec for the first `.pth` file
    anything.write_text("# nothing\n", encoding="utf-8")
    bare = imported_modules(interpreter)
    anything.unlink()
    written = autoload.files(autoload.Environment(packages, python, None))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    try:
        # Python before 3.15 does not read `.start` files, so the test does what 3.15 does. The call imports `re`.
        called = "import pkgutil; pkgutil.resolve_name('_otel_claude_stream_autoload:start')(); "
        if python >= (3, 15):
            done = subprocess.run(
                [interpreter, "-c", "import pkgutil, re, sys; before = set(sys.modules); " + called
                 + "print(set(sys.modules) - before)"],
                env=environment(""), capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout == "{'_otel_claude_stream_autoload'}\n"
        else:
            assert imported_modules(interpreter) == bare
            assert imported_modules(interpreter, OTEL_CLAUDE_STREAM_AUTO="no") == bare
    finally:
        for path in written:
            path.unlink()


def test_the_start_file_starts_the_instrumentation(api):
    """The test calls it as Python 3.15 does."""
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


def test_activation_does_not_import_the_sdk_or_an_http_client():
    started = imported_modules(sys.executable, PYTHONPATH=path_folder())
    assert "otel_claude_stream._instrumentor" in started
    assert not {"anthropic", "httpx", "httpx2", "otel_claude_stream.testing", "otel_claude_stream.cli"} & started
    assert not {name for name in started if name.startswith("opentelemetry.sdk")}  # not needed without exporters


HANDLES_STREAMS = {
    f"otel_claude_stream.{name}"
    for name in ("_sdk.attach.assembly", "_sdk.attach.sdk_hooks", "_session.session", "_core.stream.message_state")
}


def test_the_handling_of_streams_is_imported_with_the_sdk():
    """A process without the SDK imports the hooks only. With the SDK, the first call does not wait for imports."""
    assert not HANDLES_STREAMS & imported_modules(sys.executable, PYTHONPATH=path_folder())
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


def test_a_broken_installation_does_not_disturb_the_application():
    """With a broken installation the SDK works, and one log line reports the problem."""
    code = """
import sys
sys.modules["otel_claude_stream._sdk.attach.assembly"] = None  # makes its import raise
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
