"""``otel-claude-stream schema``: the JSON Schema of retry policy files, for editors."""

from __future__ import annotations

import argparse
from typing import Final

from otel_claude_stream._config.policy.schema import schema_text
from otel_claude_stream.cli.errors import OK

ABOUT: Final = """\
example:
  otel-claude-stream schema > retry-policy.schema.json

Editors with YAML support (VS Code with its YAML extension, Neovim, JetBrains) complete keys and show mistakes if the
first line of the file is
  # yaml-language-server: $schema=retry-policy.schema.json

`otel-claude-stream doctor --policy FILE` also finds mistakes that no schema can express: limits that contradict each
other, rules that can never match, watchdogs that abort healthy streams.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add an example to the help; there are no arguments."""
    parser.epilog = ABOUT


def run(_: argparse.Namespace) -> int:
    """Print the schema."""
    print(schema_text(), end="")
    return OK
