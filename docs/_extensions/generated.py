"""Parts of pages that are generated when the documentation is built, so that none of them can be out of date.

- ``{generated} NAME`` inserts a table of `tools/generate_docs.py`.
- ``{output} ARGUMENTS`` inserts the output of ``otel-claude-stream ARGUMENTS``.
- Pages beside what they describe, outside of `docs/`, are copied to `docs/_pages/`. Pages link to the originals, as a
  reader of the repository needs them, and the build leads these links to the copies.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tools import generate_docs

ROOT = Path(__file__).resolve().parents[2]
COPIES = ROOT / "docs" / "_pages"
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "SECURITY.md": "security.md",
    "collector/README.md": "collector.md",
    "dashboards/README.md": "dashboards.md",
    "dashboards/RUNBOOK.md": "runbook.md",
    "examples/README.md": "activation.md",
    "tools/README.md": "tools.md",
}
"""The name of the copy of each page."""
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
WIDTH = "88"
"""Columns of the outputs."""


class Generated(SphinxDirective):
    """A table of `tools/generate_docs.py`, by its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table. Raises `KeyError` if there is none of this name."""
        container = nodes.container()
        lines = generate_docs.TABLES[self.arguments[0]]().splitlines()
        self.state.nested_parse(StringList(lines, self.arguments[0]), 0, container)
        return list(container.children)


class Output(SphinxDirective):
    """The output of the command line with some arguments, run in the repository."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the output as a literal block."""
        text = output_of(self.arguments[0].split())
        return [nodes.literal_block(text, text, language="text")]


def output_of(arguments: list[str]) -> str:
    """Return what the command line prints. Raises `CalledProcessError` if it fails."""
    command = [sys.executable, "-m", "otel_claude_stream", *arguments]
    environment = {**os.environ, "COLUMNS": WIDTH}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def copy_pages(_app: Sphinx) -> None:
    """Write the copies of pages that are outside of `docs/`, unless they are unchanged."""
    COPIES.mkdir(exist_ok=True)
    for source, name in PAGES.items():
        text = adapted((ROOT / source).read_text(encoding="utf-8"), (ROOT / source).parent, COPIES)
        copy = COPIES / name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")


def lead_to_copies(app: Sphinx, docname: str, content: list[str]) -> None:
    """Adapt the links of a page below `docs/` that is no copy."""
    folder = Path(app.env.doc2path(docname)).resolve().parent
    if folder != COPIES:
        content[0] = adapted(content[0], folder, folder)


def adapted(text: str, folder: Path, place: Path) -> str:
    """Return the text of a page in a folder with links relative to its place, and to the copies.

    A folder without a page is not linked.
    """

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match[1], (folder / match[2]).resolve(), match[3] or ""
        if target.is_dir():
            target /= "README.md"
        if not target.exists():
            return words if target.name == "README.md" else match[0]
        name = PAGES.get(target.relative_to(ROOT).as_posix())
        path = os.path.relpath(COPIES / name if name else target, place)
        return f"[{words}]({path}{anchor})"

    return LINK.sub(link, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("generated", Generated)
    app.add_directive("output", Output)
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", lead_to_copies)
    return {"parallel_read_safe": True}
