"""``otel-claude-stream path``: the folder that starts the instrumentation of every Python that has it on its path."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

import otel_claude_stream
from otel_claude_stream.cli.errors import OK, CommandError

FOLDER: Final = Path(otel_claude_stream.__file__).resolve().parent / "_auto" / "site"

ABOUT: Final = """\
example:
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
  PYTHONPATH=$(otel-claude-stream path) python app.py
  PYTHONPATH=$(otel-claude-stream path)${PYTHONPATH:+:$PYTHONPATH} gunicorn app:app

Children inherit it. Where exporter variables are set, OpenTelemetry configures itself from them and instruments what
it finds; an application that sets up its own telemetry is only joined. OTEL_CLAUDE_STREAM_AUTO=false switches it off.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments, an example."""
    parser.epilog = ABOUT


def run(_: argparse.Namespace) -> int:
    """Print the folder. Fails where a path list could not hold it."""
    if os.pathsep in str(FOLDER):
        raise CommandError(f"{FOLDER} contains {os.pathsep!r}, which separates the folders of PYTHONPATH")
    print(FOLDER)
    return OK
