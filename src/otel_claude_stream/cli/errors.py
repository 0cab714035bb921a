"""Exit codes, and errors that end a command with a message."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
SIGNAL_BASE: Final = 128  # plus the number of the signal, as in shells; 130 is Ctrl-C
BROKEN_PIPE: Final = SIGNAL_BASE + 13  # SIGPIPE, as a shell reports it for other programs


class CommandError(Exception):
    """The command cannot continue; the message gives the reason and the remedy."""


class UsageError(CommandError):
    """An argument is invalid."""


TELEMETRY: Final = (
    ("opentelemetry.sdk", "otlp"),
    ("opentelemetry.distro", "otlp"),
    ("opentelemetry.exporter.otlp.proto.http", "otlp"),
    ("opentelemetry.proto", "otlp"),
)
"""Modules that the export of an instrumented child process needs, each with its extra."""
NEEDED: Final = (("anthropic", "instruments"), *TELEMETRY)
"""Modules that a stream in an instrumented child process needs, each with its extra."""


def check_installed(
    needed: tuple[tuple[str, str], ...] = NEEDED, *, is_importable: Callable[[str], bool] | None = None
) -> None:
    """Raise ``CommandError`` with the pip command unless all of ``needed`` can be imported."""
    missing = [(module, extra) for module, extra in needed if not (is_importable or importable)(module)]
    if missing:
        modules = ", ".join(module for module, _ in missing)
        extras = ",".join(sorted({extra for _, extra in missing}))
        raise CommandError(f"not installed: {modules}\nInstall them with: pip install 'otel-claude-stream[{extras}]'")


def importable(module: str) -> bool:
    """Whether a module can be imported. It is not imported, but its parent packages are."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
