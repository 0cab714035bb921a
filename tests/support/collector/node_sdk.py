"""The Anthropic SDK for TypeScript and OpenTelemetry's SDK for Node, installed once from the lock file.

``python -m tests.support.collector.node_sdk`` installs them into the user's cache and prints the path of the packages.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.dashboards.cached_builds import CachedBuild, find_tool, run_steps

SOURCES = Path(__file__).with_name("node")
APPLICATION = SOURCES / "app.mjs"


def install_packages(folder: Path) -> None:
    """Install the packages of the lock file, without running their scripts."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, folder)
    command = [find_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run_steps(folder, {"installing the packages of npm": command})


PACKAGES = CachedBuild(
    "node-sdk",
    "node_modules",
    lambda: find_tool("node") and (SOURCES / "package-lock.json").read_text(encoding="utf-8"),
    install_packages,
    "python -m tests.support.collector.node_sdk (a minute)",
)


if __name__ == "__main__":
    PACKAGES.main()
