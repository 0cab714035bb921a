"""Compile the check of objectives with the Go SDK of OpenSLO, and print its path.

``python -m tests.dashboards.build_openslo_model``. It takes about a minute.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.dashboards.cached_builds import GO_ENVIRONMENT, CachedBuild, find_go, go_platform, run_steps

SOURCE = Path(__file__).with_name("openslo_model.go")
VERSION = "v0.9.2"
"""The version of OpenSLO's Go SDK."""
GO_MOD = f"""\
module example.com/openslomodel

go 1.26

require github.com/OpenSLO/go-sdk {VERSION}
"""


def compile_in(folder: Path) -> None:
    """Compile in an empty folder."""
    (folder / "go.mod").write_text(GO_MOD, encoding="utf-8")
    shutil.copy(SOURCE, folder / "main.go")
    steps = {
        "step 1 of 2, fetching the modules": [find_go(), "mod", "tidy"],
        "step 2 of 2, compiling the model of OpenSLO": [
            find_go(), "build", "-ldflags", "-s -w", "-o", "openslo-model", "."
        ],
    }  # fmt: skip
    run_steps(folder, steps, **GO_ENVIRONMENT)


OPENSLO_MODEL = CachedBuild(
    "openslo-model",
    "openslo-model",
    lambda: GO_MOD + SOURCE.read_text(encoding="utf-8") + go_platform(),
    compile_in,
    "python -m tests.dashboards.build_openslo_model (about a minute)",
)

if __name__ == "__main__":
    OPENSLO_MODEL.main()
