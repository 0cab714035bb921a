"""``otel-claude-stream path``: the folder that, on PYTHONPATH, instruments every Python process."""

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

Child processes inherit it. If exporter variables are set, OpenTelemetry configures itself from them and instruments
all supported libraries. An application that configures OpenTelemetry itself keeps its providers, and only the
Anthropic SDK is instrumented. OTEL_CLAUDE_STREAM_AUTO=false switches it off.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add examples to the help; there are no arguments."""
    parser.epilog = ABOUT


def run(_: argparse.Namespace) -> int:
    """Print the folder. Raises ``CommandError`` if a list of paths cannot contain it."""
    if os.pathsep in str(FOLDER):
        raise CommandError(f"{FOLDER} contains {os.pathsep!r}, the separator of PYTHONPATH; install it elsewhere")
    print(FOLDER)
    return OK
