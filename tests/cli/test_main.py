from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.main import COMMANDS, main
from otel_claude_stream.version import __version__

CUT = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "cut.json"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown for command in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"otel-claude-stream {__version__}\n"
    assert main(["demo", "--help"]) == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["demo", "--loud"], "--loud"),
        (["demo", "--report", "a", "--no-report"], "not allowed with"),
        (["demo", "--report", "/no/such/folder/x.html"], "the folder /no/such/folder does not exist"),
        (["demo", "--report", "/"], "is a folder"),
        (["demo", "--otlp", "localhost:4318"], "http://localhost:4318"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_packages_are_named() -> None:
    with pytest.raises(CommandError, match=r"not installed: anthropic, opentelemetry\.sdk") as raised:
        check_installed(is_importable=lambda module: module not in ("anthropic", "opentelemetry.sdk"))
    assert "pip install 'otel-claude-stream[instruments,otlp]'" in str(raised.value)
    check_installed(is_importable=lambda module: True)
    check_installed((("json", "none"),))
    with pytest.raises(CommandError, match=r"no_such_package\.inside"):
        check_installed((("no_such_package.inside", "none"),))


def test_help_imports_no_large_package() -> None:
    code = (
        "import sys; from otel_claude_stream.cli.main import main; main(['--help']);"
        "print([name for name in ('anthropic', 'opentelemetry', 'rich', 'wrapt') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


INTERRUPTED = """
import os, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == os.environ["INTERRUPTED_IMPORT"]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv = ["otel-claude-stream", "doctor"]
"""
STARTS = {
    "module": "import runpy; runpy.run_module('otel_claude_stream', run_name='__main__')",
    "script": "from otel_claude_stream.__main__ import main; sys.exit(main())",
}


@pytest.mark.parametrize("module", ["otel_claude_stream.cli.main", "otel_claude_stream.cli.doctor.command"])
@pytest.mark.parametrize("start", STARTS)
def test_an_interrupt_during_the_imports_ends_without_a_traceback(start: str, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED + STARTS[start]],
        env={**os.environ, "INTERRUPTED_IMPORT": module},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "otel-claude-stream: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="the reading end is closed by POSIX means")
@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (["doctor", "--policy", "balanced"], {141}),
        (["schema"], {141}),
        (["path"], {141}),
        (["explain", str(CUT)], {141}),
        (["--help"], {0, 141}),  # argparse ignores the error, unless it comes with the flush at the end
        (["run", "--help"], {0, 141}),
    ],
    ids=["doctor", "schema", "path", "explain", "help", "help of a command"],
)
def test_a_reader_that_closes_the_pipe_ends_the_command_silently(
    arguments: list[str], codes: set[int], buffered: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "otel_claude_stream", *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode in codes
