"""Find or build a current Prometheus 3 from its Go module, and print its path.

``python -m tests.dashboards.build_prometheus``. Debian's is of the 2.x series, which takes no OTLP. What
PROMETHEUS3_BIN names is taken, else Go compiles one, once (under ten minutes on two cores): without the cloud SDKs of
service discovery, and without its web pages, which no test needs. It is kept in the user's cache under a key made of
the module's version, the Go version and the platform.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "github.com/prometheus/prometheus"
VERSION = "v0.315.0"
"""Of the Go module: Prometheus 3.15."""
TAGS = "remove_all_sd"
GO_MOD = """\
module example.com/prometheus3

go 1.25

require github.com/prometheus/prometheus {version}

// Prometheus' own replacement, which does not reach those who require it.
replace cloud.google.com/go => cloud.google.com/go v0.123.0
"""
TOOLS = """\
//go:build tools

package tools

import _ "github.com/prometheus/prometheus/cmd/prometheus"
"""


class NoPrometheus(Exception):
    """There is none; ``str()`` says why."""


def go() -> str:
    """The Go tool; the official archive's place is not on everyone's path."""
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/go/bin")))
    if found is None:
        raise NoPrometheus("there is no Go to build Prometheus 3 with")
    return found


def cached() -> Path:
    """Where the build is kept. Raises `NoPrometheus` without Go, whose version is a part of the place."""
    asked = [go(), "env", "GOVERSION", "GOOS", "GOARCH"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    key = hashlib.sha256(f"{VERSION} {TAGS} {GO_MOD} {platform}".encode()).hexdigest()[:32]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "otel-claude-stream" / "prometheus" / key / "prometheus"


def found() -> Path:
    """A Prometheus 3 that is there already. Raises `NoPrometheus` if there is none."""
    if named := os.environ.get("PROMETHEUS3_BIN"):
        return Path(named)
    binary = cached()
    if not binary.exists():
        raise NoPrometheus("Prometheus 3 is not built: python -m tests.dashboards.build_prometheus (some ten minutes)")
    return binary


def build() -> Path:
    """Find it, or build it; whoever waits for another's build finds it done."""
    try:
        return found()
    except NoPrometheus:
        binary = cached()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (binary.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            with tempfile.TemporaryDirectory(dir=binary.parent) as name:
                compile_in(Path(name), binary)
    return binary


def compile_in(folder: Path, binary: Path) -> None:
    """Compile in an empty folder; the binary is moved to its place as a whole."""
    (folder / "go.mod").write_text(GO_MOD.format(version=VERSION), encoding="utf-8")
    (folder / "tools.go").write_text(TOOLS, encoding="utf-8")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath -buildvcs=false"}
    made = folder / "prometheus"
    for command in (
        [go(), "mod", "tidy"],
        [go(), "build", "-tags", TAGS, "-ldflags", "-s -w", "-o", str(made), f"{MODULE}/cmd/prometheus"],
    ):
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    made.replace(binary)


if __name__ == "__main__":
    try:
        print(build())
    except NoPrometheus as error:
        sys.exit(str(error))
