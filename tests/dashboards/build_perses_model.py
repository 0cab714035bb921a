"""Compile the check of dashboards with the Go model of Perses, and print its path.

``python -m tests.dashboards.build_perses_model``. It takes about a minute.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.dashboards.cached_builds import GO_ENVIRONMENT, CachedBuild, find_go, go_platform, run_steps

SOURCES = Path(__file__).with_name("perses_model")


def compile_in(folder: Path) -> None:
    """Compile a copy of the sources."""
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    command = [find_go(), "build", "-ldflags", "-s -w", "-o", "perses-model", "."]
    run_steps(folder, {"compiling the model of Perses": command}, **GO_ENVIRONMENT)


PERSES_MODEL = CachedBuild(
    "perses-model",
    "perses-model",
    lambda: "".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir())) + go_platform(),
    compile_in,
    "python -m tests.dashboards.build_perses_model (about a minute)",
)

if __name__ == "__main__":
    PERSES_MODEL.main()
