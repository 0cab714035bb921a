"""``otel-claude-stream autoload``: a line in this environment by which a variable alone instruments Python."""

from __future__ import annotations

import argparse
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_claude_stream.cli.activate.path import FOLDER
from otel_claude_stream.cli.errors import FAILED, OK, CommandError
from otel_claude_stream.cli.view.printable import printable

NAME: Final = "otel-claude-stream"
MODULE: Final = "_otel_claude_stream_autoload"
START_FILES: Final = (3, 15)
"""The first Python with `.start` files (PEP 829), where code in `.pth` files is deprecated."""

GUARD: Final = 'os.environ.get("OTEL_CLAUDE_STREAM_AUTO", "").strip().lower() in ("true", "1", "yes", "on")'

ABOUT: Final = """\
examples:
  otel-claude-stream autoload install              in an image, after pip install
  OTEL_CLAUDE_STREAM_AUTO=true python app.py       from then on, the variable is enough
  otel-claude-stream autoload status               whether it is installed
  otel-claude-stream autoload remove               before pip uninstall

The line runs in every Python process of this environment and does nothing unless the variable is true.
exit codes: 0 done (status: installed), 1 failed (status: not installed, or by another version), 2 wrong usage
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment, with its folder of packages, its version, and the marker of a package manager if any."""

    packages: Path
    version: tuple[int, ...]
    managed_by: Path | None

    @staticmethod
    def current() -> Environment:
        """Return that of this interpreter. Raises ``CommandError`` if Python reads no `.pth` files in its folder."""
        packages = Path(sysconfig.get_path("purelib"))
        folders = [*_folders(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
        read = {Path(folder).resolve() for folder in folders}
        if sys.flags.no_site or packages.resolve() not in read or not packages.is_dir():
            raise CommandError(
                f"{sys.executable} reads no .pth files in {packages}, so autoload cannot be used in this environment"
            )
        marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
        managed = sys.prefix == sys.base_prefix and marker.exists()
        return Environment(packages, sys.version_info[:2], marker if managed else None)


def _folders() -> Sequence[str]:
    return site.getsitepackages() if hasattr(site, "getsitepackages") else ()


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = ABOUT
    parser.add_argument("action", choices=("install", "remove", "status"))
    parser.add_argument("--dry-run", action="store_true", help="print the changes without making them")
    parser.add_argument("--force", action="store_true", help="install even if a package manager owns this Python")


def run(args: argparse.Namespace) -> int:
    """Carry out the action; return the exit code."""
    environment = Environment.current()
    match args.action:
        case "install":
            return install(environment, dry_run=args.dry_run, force=args.force)
        case "remove":
            return remove(environment, dry_run=args.dry_run)
        case _:
            return status(environment)


def files(environment: Environment) -> dict[Path, str]:
    """Return the contents of the files to write, by path: a `.pth` file, or a `.start` file and its module."""
    where = _location(environment.packages)
    if environment.version < START_FILES:
        line = f'import os; {GUARD} and __import__("sys").path.insert(0, os.path.join(sitedir, {where!r}))\n'
        return {environment.packages / f"{NAME}.pth": line}
    lines = (
        "import os",
        "",
        "",
        "def start():",
        f"    if {GUARD}:",
        "        try:",
        "            from otel_claude_stream._auto.start import start",
        "        except ImportError:",
        "            return",
        "        start()",
        "",
    )
    return {
        environment.packages / f"{MODULE}.py": "\n".join(lines),
        environment.packages / f"{NAME}.start": f"{MODULE}:start\n",
    }


def _location(packages: Path) -> str:
    """Return the folder relative to the packages if it is inside, since an environment may be copied elsewhere."""
    with suppress(ValueError):
        return FOLDER.relative_to(packages.resolve()).as_posix()
    return str(FOLDER)


def _all(environment: Environment) -> tuple[Path, ...]:
    return tuple(environment.packages / name for name in (f"{NAME}.pth", f"{NAME}.start", f"{MODULE}.py"))


def _current(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error


def install(environment: Environment, *, dry_run: bool, force: bool) -> int:
    """Write the files that are missing or differ. Raises ``CommandError`` if that is not allowed or fails."""
    if environment.managed_by is not None and not force:
        raise CommandError(
            f"a package manager owns this Python ({environment.managed_by}); use a virtual environment, "
            "or --force if nothing else uses this Python, as in an image"
        )
    wanted = {path: text for path, text in files(environment).items() if _current(path) != text}
    if not wanted:
        print(printable(f"already installed: {_start_file(environment)}"))
        return OK
    for path, text in wanted.items():
        if dry_run:
            print(printable(f"would write {path}:\n{text}"), end="")
        else:
            _write(path, text)
            print(printable(f"wrote {path}"))
    if not dry_run:
        print("it has no effect unless OTEL_CLAUDE_STREAM_AUTO=true")
    return OK


def remove(environment: Environment, *, dry_run: bool) -> int:
    """Delete the files. Raises ``CommandError`` if that fails."""
    there = [path for path in _all(environment) if path.exists()]
    if not there:
        print("nothing to remove")
    for path in there:
        if dry_run:
            print(printable(f"would delete {path}"))
            continue
        try:
            path.unlink()
        except OSError as error:
            raise CommandError(f"cannot delete {path}: {error.strerror}") from error
        print(printable(f"deleted {path}"))
    return OK


def status(environment: Environment) -> int:
    """Print whether it is installed; return the exit code."""
    found = {path: _current(path) for path in files(environment)}
    if all(text is None for text in found.values()):
        print(printable(f"not installed in {environment.packages}"))
        return FAILED
    if found != files(environment):
        print(printable(f"installed by another version: {_start_file(environment)}; run: {NAME} autoload install"))
        return FAILED
    switch = os.environ.get("OTEL_CLAUDE_STREAM_AUTO", "")
    print(printable(f"installed: {_start_file(environment)}; OTEL_CLAUDE_STREAM_AUTO is {switch or 'not set'} here"))
    return OK


def _start_file(environment: Environment) -> Path:
    """Return the file that the interpreter reads."""
    return list(files(environment))[-1]


def _write(path: Path, text: str) -> None:
    """Write a file atomically, since half a line would break every start of this Python."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
