"""Builds that are made once, and stay in the user's cache under a key made of everything that they depend on."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collector.build import StepFailed, exclusive, run

GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath -buildvcs=false"}


class NotBuilt(Exception):
    """A build does not exist or cannot be made; ``str()`` is the reason."""


def report_progress(line: str) -> None:
    """Report progress on the standard error, as the standard output is for the path."""
    print(f"build: {line}", file=sys.stderr, flush=True)


def find_tool(name: str, *folders: str) -> str:
    """Find a program on PATH or in some folders. Raises `NotBuilt` if it is not installed."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *folders)))
    if found is None:
        raise NotBuilt(f"{name} is not installed")
    return found


def find_go() -> str:
    """Find the Go tool, on PATH or where the official archive installs it."""
    return find_tool("go", "/usr/local/go/bin")


def go_platform() -> str:
    """Return the version of Go and the platform, on which a build depends."""
    command = [find_go(), "env", "GOVERSION", "GOOS", "GOARCH"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@dataclass(frozen=True)
class CachedBuild:
    """A file or folder that is built once."""

    name: str
    """Folder in the cache."""
    result: str
    """Name of the file or folder that `make` creates in the folder that it is given."""
    inputs: Callable[[], str]
    """Everything that the build depends on."""
    make: Callable[[Path], None]
    command: str
    """The command that builds it, and how long that takes."""

    @property
    def path(self) -> Path:
        """Where the result is, or will be. Raises `NotBuilt` without the tools."""
        key = hashlib.sha256(self.inputs().encode()).hexdigest()[:32]
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return root / "otel-claude-stream" / self.name / key / self.result

    def find(self) -> Path:
        """Return the path of the existing result. Raises `NotBuilt` if there is none."""
        path = self.path
        if not path.exists():
            raise NotBuilt(f"{self.name} is not built: {self.command}")
        return path

    def build(self) -> Path:
        """Find the result or build it. A second process waits for the first one's build."""
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.parent / "lock", report_progress):
            if not path.exists():
                report_progress(f"building {self.name} into {path.parent}, once")
                for left in path.parent.glob("unfinished-*"):  # by a build that was killed: this one has the lock
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
                    self.make(Path(folder))
                    (Path(folder) / self.result).replace(path)
        return path

    def main(self) -> None:
        """Build and print the path, or exit with the reason."""
        try:
            print(self.build())
        except NotBuilt as error:
            sys.exit(str(error))


def run_steps(folder: Path, steps: dict[str, list[str]], **environment: str) -> None:
    """Run the commands of a build in a folder. Raises `NotBuilt` with the output of the one that fails."""
    for step, command in steps.items():
        try:
            run(command, folder, {**os.environ, **environment}, step, report_progress)
        except StepFailed as error:
            raise NotBuilt(str(error)) from error
