"""Build Jaeger v2 from its Go module, and print its path.

``python -m tests.dashboards.build_jaeger``. The module has no web pages: the tests read traces over the API.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.dashboards.cached_builds import GO_ENVIRONMENT, CachedBuild, find_go, go_platform, run_steps

COMMAND = "github.com/jaegertracing/jaeger/cmd/jaeger"
VERSION = "v1.76.0"
"""The version of the Go module. Its `cmd/jaeger` is Jaeger v2, a distribution of the Collector."""
GO_MOD = """\
module example.com/jaeger2

go 1.25
"""


def compile_in(folder: Path) -> None:
    """Compile in an empty folder."""
    (folder / "go.mod").write_text(GO_MOD, encoding="utf-8")
    steps = {
        "step 1 of 2, fetching the modules": [find_go(), "get", "-tool", f"{COMMAND}@{VERSION}"],
        "step 2 of 2, compiling": [find_go(), "build", "-ldflags", "-s -w", "-o", "jaeger", COMMAND],
    }
    run_steps(folder, steps, **GO_ENVIRONMENT)


JAEGER = CachedBuild(
    "jaeger",
    "jaeger",
    lambda: f"{VERSION} {GO_MOD} {go_platform()}",
    compile_in,
    "python -m tests.dashboards.build_jaeger (some ten minutes)",
)

if __name__ == "__main__":
    JAEGER.main()
