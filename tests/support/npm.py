"""Packages of npm for tests that need them, cached outside of the repository by their version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


class Package:
    """A package of npm with its dependencies, and programs that use it.

    Skips the test, with a reason, if npm is not installed or cannot install the package.
    """

    def __init__(self, package: str, product: str) -> None:
        npm, self._node = shutil.which("npm"), shutil.which("node")
        if npm is None or self._node is None:
            pytest.skip(f"npm is not installed, which is needed for {product}")
        name, _, version = package.rpartition("@")
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._folder = cache / "otel-claude-stream" / "npm" / name.replace("/", "-") / version
        if not (self._folder / "node_modules" / name).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(self._folder), package]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode != 0:
                pytest.skip(f"npm cannot install {product}: {done.stderr.strip()[-200:]}")

    def run(self, program: str, stdin: object) -> Any:
        """Run a JavaScript program and return its output; input and output are JSON."""
        done = subprocess.run(
            [str(self._node), "--input-type=module", "-e", program],
            cwd=self._folder,
            input=json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The message of an error in a compiled program contains all of its source.
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)
