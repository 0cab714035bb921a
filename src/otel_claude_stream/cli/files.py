"""Files that commands write. Only the user may read them, since telemetry may describe people and their work."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

MODE: Final = 0o600


def open_private(path: Path) -> int:
    """Create or empty a file and return its descriptor. Raises ``OSError``.

    A file that exists becomes private too, unless it belongs to another user. A device or a pipe keeps its mode.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), MODE)
    if hasattr(os, "fchmod") and stat.S_ISREG(os.fstat(descriptor).st_mode):
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, MODE)
    return descriptor


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether a file written at one path would replace the file at the other one, for example through a link.

    A device or a pipe has no content to replace.
    """
    try:
        if one.exists() and other.exists():
            return one.samefile(other) and one.is_file()
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # a loop of links, which cannot be opened either
        return False
