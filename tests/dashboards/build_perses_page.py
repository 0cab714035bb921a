"""Build the page of Perses' components with Node, and print the path of its folder.

``python -m tests.dashboards.build_perses_page``. The packages of npm take half a gigabyte and two minutes, once for
each lock file. The page takes a quarter of a minute, once for each change of its sources. Neither is committed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dashboards.generator.command import ROOT
from tests.support.dashboards.cached_builds import CachedBuild, find_tool, run_steps

SOURCES = ROOT / "page"
COMMAND = "python -m tests.dashboards.build_perses_page (some three minutes)"
SCHEMA = "schema.json"
"""The JSON Schema of the types of Perses, in the folder of the page."""


def source_files() -> list[Path]:
    """Return the sources, without packages of npm that someone has installed there."""
    return sorted(path for path in SOURCES.rglob("*") if path.is_file() and "node_modules" not in path.parts)


def install_packages(folder: Path) -> None:
    """Install the packages of the lock file, without running their scripts."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, folder)
    command = [find_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run_steps(folder, {"step 1 of 3, installing the packages of Perses": command})


PACKAGES = CachedBuild(
    "perses-packages",
    "node_modules",
    lambda: (SOURCES / "package-lock.json").read_text(encoding="utf-8"),
    install_packages,
    COMMAND,
)


def build_page(folder: Path) -> None:
    """Build the page and the schema in a copy of the sources."""
    packages = PACKAGES.build()
    for path in source_files():
        target = folder / path.relative_to(SOURCES)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    (folder / "node_modules").symlink_to(packages)
    npm = find_tool("npm")
    steps = {
        "step 2 of 3, building the page": [npm, "run", "--silent", "build"],
        "step 3 of 3, making the schema": [npm, "run", "--silent", "schema", "--", "--out", f"web/{SCHEMA}"],
    }
    run_steps(folder, steps)


PAGE = CachedBuild(
    "perses-page",
    "web",
    lambda: "\0".join(f"{path.relative_to(SOURCES)}\0{path.read_text(encoding='utf-8')}" for path in source_files()),
    build_page,
    COMMAND,
)

if __name__ == "__main__":
    PAGE.main()
