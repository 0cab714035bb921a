"""The configuration of the documentation's build: Sphinx with MyST for Markdown and the theme Furo."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]  # the tables come from `tools`

project = "otel-claude-stream"
author = "The otel-claude-stream authors"
copyright = author  # noqa: A001 - Sphinx requires the name
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generated",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "otel-claude-stream"
html_copy_source = False
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}

# Addresses of machines, and of this site, which a release checks.
linkcheck_ignore = [r"https?://(localhost|127\.)", r"https://otel-claude-stream\.readthedocs\.io/"]

# A reference that leads nowhere is an error. Types of other packages have no page here, and no inventory is downloaded.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(anthropic|httpx2?|opentelemetry|ssl|wrapt)\b.*"),
    (r"py:.*", r"(collections|concurrent|contextlib|datetime|enum|os|pathlib|threading|types)\..*"),
    (r"py:.*", r"typing(_extensions)?\..*"),
    (r"py:.*", r"otel_claude_stream\._.*"),
    (r"py:(class|exc|obj|data)", r"[A-Za-z]*"),
]
