"""Environments of the frameworks, made once and kept outside of the repository, by their requirements."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.frameworks.catalogue import ENVIRONMENTS

import otel_claude_stream

BASE = dict(os.environ)
"""Taken once, because fixtures change `os.environ`."""

CACHE = Path(BASE.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream" / "frameworks"
INSTALL_SECONDS = 600
NEWEST_VARIABLE = "FRAMEWORKS_NEWEST"
"""Set: ignore the pins, install the newest of everything that resolves together."""


class NotInstalled(Exception):
    """An environment could not be made. The message has the reason and the remedy."""


@functools.cache
def requirements(environment: str) -> tuple[str, ...]:
    """The packages of an environment, and those that our package needs."""
    listed = ENVIRONMENTS[environment]
    if BASE.get(NEWEST_VARIABLE):
        listed = tuple(re.sub(r"==.*", "", one) for one in listed if not one.startswith("anthropic=="))
    needed = importlib.metadata.requires("otel-claude-stream") or []
    ours = [one.partition(";")[0].strip() for one in needed if "extra" not in one or re.search(r"otlp|policy", one)]
    return (*listed, *sorted(ours))


def interpreter(environment: str) -> Path:
    """Return the Python of an environment; make the environment if it is missing.

    Called once for each environment, since a further attempt would fail too. Raises `NotInstalled`.
    """
    wanted = requirements(environment)
    key = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:16]
    folder = CACHE / f"{environment}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test runs
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _install(folder, wanted)
            except NotInstalled as error:
                raise NotInstalled(
                    f"the environment {environment!r} of tests/frameworks/catalogue.py cannot be installed: {error}\n"
                    "If the index lacks a version or its requirements conflict, pin another one there, or move the "
                    "framework to an environment of its own."
                ) from error
            (folder / "complete").touch()
    return folder / "bin" / "python"


def _install(folder: Path, wanted: tuple[str, ...]) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{BASE.get('PATH', os.defpath)}")
    if uv is None:
        raise NotInstalled("uv is not installed")
    # As in noxfile.py: uv reads none of pip's variables.
    mirrors = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS", "PIP_CERT": "SSL_CERT_FILE"}
    env = {**{ours: BASE[theirs] for theirs, ours in mirrors.items() if theirs in BASE}, **BASE}
    python = str(folder / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", python, *wanted],
    ):
        try:
            subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.CalledProcessError as error:
            raise NotInstalled((error.stderr or error.stdout).strip()[-500:]) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(str(error)) from error


def package_alone(folder: Path) -> Path:
    """Return a folder for `PYTHONPATH` with our package alone; its requirements are in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "otel_claude_stream"
    if not link.exists():
        link.symlink_to(Path(otel_claude_stream.__file__).parent)
    return folder
