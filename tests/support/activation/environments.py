"""Virtual environments for applications: copies of this one, and new ones with given packages.

New environments are cached outside of the repository, under a hash of their packages.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest
from tests.support.activation.harness import BASE

import otel_claude_stream

CACHE = Path(BASE.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream" / "neighbours"
INSTALL_SECONDS = 170


@functools.cache
def _lock(_: tuple[str, ...]) -> threading.Lock:
    return threading.Lock()


def interpreter_with(requirements: tuple[str, ...]) -> str:
    """Return the Python of an environment with these packages; skip the test if it cannot be created."""
    key = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:16]
    folder = CACHE / key
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _lock(requirements), (CACHE / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # against concurrent runs of the tests
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            reason = _install(folder, python, requirements)
            if reason:
                shutil.rmtree(folder, ignore_errors=True)
                pytest.skip(f"{', '.join(requirements)} could not be installed: {reason}")
            (folder / "complete").touch()
    return str(python)


def _install(folder: Path, python: Path, requirements: tuple[str, ...]) -> str:
    """Create an environment and install packages; return the reason of a failure, or an empty string."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{BASE.get('PATH', os.defpath)}")
    # As in noxfile.py, the settings of pip apply to uv too.
    mirrors = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS", "PIP_CERT": "SSL_CERT_FILE"}
    env = {**{ours: BASE[theirs] for theirs, ours in mirrors.items() if theirs in BASE}, **BASE}
    if uv:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *requirements],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", *requirements],
        ]
    try:
        for command in commands:
            subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        return (error.stderr or error.stdout).strip()[-300:]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def folder_with_package(folder: Path) -> str:
    """Return a folder for `PYTHONPATH` that contains this package, but not its dependencies."""
    (folder / "otel_claude_stream").symlink_to(Path(otel_claude_stream.__file__).parent)
    return str(folder)


def copied_environment(folder: Path, *, without: str = "") -> tuple[str, Path]:
    """Create a virtual environment with the packages of this one; return its Python and its site-packages.

    This package is copied, the others are linked. The package `without` is left out.
    """
    venv.create(folder, with_pip=False)
    (packages,) = (path for path in folder.rglob("site-packages") if path.is_dir() and not path.is_symlink())
    here = [Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for path in (path for parent in here for path in parent.iterdir()):
        excluded = path.name.startswith("_editable") or path.name in {"otel_claude_stream", "__pycache__", without}
        if not excluded and not (without and path.name.startswith(f"{without}-")):
            (packages / path.name).symlink_to(path)
    source = Path(otel_claude_stream.__file__).parent
    shutil.copytree(source, packages / "otel_claude_stream", ignore=shutil.ignore_patterns("__pycache__"))
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python"), packages
