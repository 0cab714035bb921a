"""What a command ends with: exit codes, and failures that are told in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
SIGNALLED: Final = 128  # plus the number of the signal, as shells have it; 130 is Ctrl-C


class CommandError(Exception):
    """The command cannot go on; ``str()`` says why and what to do, in words for whoever typed it."""


class UsageError(CommandError):
    """An argument is wrong."""


NEEDED: Final = (
    ("anthropic", "instruments"),
    ("opentelemetry.sdk", "otlp"),
    ("opentelemetry.distro", "otlp"),
    ("opentelemetry.exporter.otlp.proto.http", "otlp"),
    ("opentelemetry.proto", "otlp"),
)
"""Modules that streams under observation need, and the extra that brings each."""


def check_installed(
    needed: tuple[tuple[str, str], ...] = NEEDED, *, there: Callable[[str], bool] | None = None
) -> None:
    """Raise ``CommandError``, naming the pip command, unless all of ``needed`` can be imported."""
    missing = [(module, extra) for module, extra in needed if not (there or importable)(module)]
    if missing:
        modules = ", ".join(module for module, _ in missing)
        extras = ",".join(sorted({extra for _, extra in missing}))
        raise CommandError(f"not installed: {modules}\nInstall them with: pip install 'otel-claude-stream[{extras}]'")


def importable(module: str) -> bool:
    """Whether a module is there, without importing it (its parent packages are)."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
