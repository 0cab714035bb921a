"""The example application with the Anthropic SDK for Go, compiled once.

``python -m tests.support.collector.go_sdk`` compiles it into the user's cache and prints its path.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.dashboards.cached_builds import GO_ENVIRONMENT, CachedBuild, find_go, go_platform, run_steps

SOURCES = sorted(Path(__file__).with_name("go").iterdir())


def compile_application(folder: Path) -> None:
    """Compile the application with the modules of its lock file."""
    for source in SOURCES:
        shutil.copy(source, folder)
    run_steps(
        folder,
        {"compiling an application with the SDK for Go": [find_go(), "build", "-o", "application"]},
        **GO_ENVIRONMENT,
    )


APPLICATION = CachedBuild(
    "go-sdk",
    "application",
    lambda: "".join([go_platform(), *(source.read_text(encoding="utf-8") for source in SOURCES)]),
    compile_application,
    "python -m tests.support.collector.go_sdk (two minutes)",
)


if __name__ == "__main__":
    APPLICATION.main()
