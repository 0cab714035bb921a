"""Find or build a current Prometheus 3 from its Go module, and print its path.

``python -m tests.dashboards.build_prometheus``. Debian packages the 2.x series, which does not accept OTLP. The script
uses the Prometheus that PROMETHEUS3_BIN names. Otherwise Go compiles one, in under ten minutes on two cores. It leaves
out the cloud SDKs of service discovery and the web pages, which no test needs. The result stays in the user's cache,
under a key made of the module's version, the Go version and the platform.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from collector.build import StepFailed, exclusive, run

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


class NoPrometheus(Exception):
    """There is no Prometheus 3; ``str()`` is the reason."""


def go_tool() -> str:
    """Find the Go tool, on PATH or where the official archive installs it."""
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/go/bin")))
    if found is None:
        raise NoPrometheus("there is no Go to build Prometheus 3 with")
    return found


def cached_binary() -> Path:
    """Return the path of the build. Raises `NoPrometheus` without Go, whose version is part of the key."""
    command = [go_tool(), "env", "GOVERSION", "GOOS", "GOARCH"]
    platform = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    key = hashlib.sha256(f"{VERSION} {TAGS} {GO_MOD} {platform}".encode()).hexdigest()[:32]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "otel-claude-stream" / "prometheus" / key / "prometheus"


def find_existing() -> Path:
    """Return the Prometheus 3 that exists already. Raises `NoPrometheus` if there is none."""
    if named := os.environ.get("PROMETHEUS3_BIN"):
        return Path(named)
    binary = cached_binary()
    if not binary.exists():
        raise NoPrometheus("Prometheus 3 is not built: python -m tests.dashboards.build_prometheus (some ten minutes)")
    return binary


def report_progress(line: str) -> None:
    """Report progress on the standard error, as the standard output is for the path."""
    print(f"build_prometheus: {line}", file=sys.stderr, flush=True)


def build() -> Path:
    """Find Prometheus 3 or build it. A second process waits for the first one's build."""
    try:
        return find_existing()
    except NoPrometheus:
        binary = cached_binary()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(binary.parent / "lock", report_progress):
        if not binary.exists():
            report_progress(f"building Prometheus {VERSION} into {binary.parent}: some ten minutes, once")
            for left in binary.parent.glob("unfinished-*"):  # by a build that was killed: this one has the lock
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=binary.parent) as name:
                compile_in(Path(name), binary)
    return binary


def compile_in(folder: Path, binary: Path) -> None:
    """Compile in an empty folder, then move the binary to its place as a whole."""
    (folder / "go.mod").write_text(GO_MOD.format(version=VERSION), encoding="utf-8")
    (folder / "tools.go").write_text(TOOLS, encoding="utf-8")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath -buildvcs=false"}
    made = folder / "prometheus"
    flags = ["-tags", TAGS, "-ldflags", "-s -w", "-o", str(made)]
    steps = {
        "step 1 of 2, fetching the modules": [go_tool(), "mod", "tidy"],
        "step 2 of 2, compiling": [go_tool(), "build", *flags, f"{MODULE}/cmd/prometheus"],
    }
    try:
        for step, command in steps.items():
            run(command, folder, environment, step, report_progress)
    except StepFailed as error:
        raise NoPrometheus(str(error)) from error
    made.replace(binary)


if __name__ == "__main__":
    try:
        print(build())
    except NoPrometheus as error:
        sys.exit(str(error))
