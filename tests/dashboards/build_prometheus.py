"""Find or build a current Prometheus 3 from its Go module, and print its path.

``python -m tests.dashboards.build_prometheus``. Debian packages the 2.x series, which does not accept OTLP. The script
uses the Prometheus that PROMETHEUS3_BIN names. Otherwise Go compiles one, in under ten minutes on two cores. It leaves
out the cloud SDKs of service discovery and the web pages, which no test needs.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.dashboards.cached_builds import GO_ENVIRONMENT, CachedBuild, find_go, go_platform, run_steps

MODULE = "github.com/prometheus/prometheus"
VERSION = "v0.315.0"
"""The version of the Go module of Prometheus 3.15."""
TAGS = "remove_all_sd"
GO_MOD = """\
module example.com/prometheus3

go 1.25

require github.com/prometheus/prometheus {version}

// The replacement in the module of Prometheus, which does not apply to modules that require it.
replace cloud.google.com/go => cloud.google.com/go v0.123.0
"""
TOOLS = """\
//go:build tools

package tools

import _ "github.com/prometheus/prometheus/cmd/prometheus"
"""


def compile_in(folder: Path) -> None:
    """Compile in an empty folder."""
    (folder / "go.mod").write_text(GO_MOD.format(version=VERSION), encoding="utf-8")
    (folder / "tools.go").write_text(TOOLS, encoding="utf-8")
    flags = ["-tags", TAGS, "-ldflags", "-s -w", "-o", "prometheus"]
    steps = {
        "step 1 of 2, fetching the modules": [find_go(), "mod", "tidy"],
        "step 2 of 2, compiling": [find_go(), "build", *flags, f"{MODULE}/cmd/prometheus"],
    }
    run_steps(folder, steps, **GO_ENVIRONMENT)


PROMETHEUS = CachedBuild(
    "prometheus",
    "prometheus",
    lambda: f"{VERSION} {TAGS} {GO_MOD} {go_platform()}",
    compile_in,
    "python -m tests.dashboards.build_prometheus (some ten minutes)",
)


def find_existing() -> Path:
    """Return the Prometheus 3 that exists already. Raises `NotBuilt` if there is none."""
    return Path(named) if (named := os.environ.get("PROMETHEUS3_BIN")) else PROMETHEUS.find()


if __name__ == "__main__":
    if os.environ.get("PROMETHEUS3_BIN"):
        print(find_existing())
    else:
        PROMETHEUS.main()
