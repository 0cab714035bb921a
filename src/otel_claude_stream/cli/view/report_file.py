"""Where a report goes: the path checked before anything runs, the file written at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from otel_claude_stream.cli.errors import CommandError, UsageError
from otel_claude_stream.cli.view.report import Known, page
from otel_claude_stream.cli.view.telemetry import Snapshot

DEFAULT: Final = "claude-streams.html"


def checked(path: str, option: str) -> Path:
    """A file that can be written, as far as its folder tells. Raises ``UsageError``."""
    found = Path(path)
    if found.is_dir():
        raise UsageError(f"{option} {path}: that is a folder")
    if not found.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {found.parent}")
    return found


def write(path: Path, snapshot: Snapshot, title: str) -> None:
    """Write the report. Raises ``CommandError``."""
    known = Known(snapshot.summary, snapshot.internal_errors, snapshot.left_out, snapshot.without_marks)
    text = page(snapshot.views, title=title, known=known)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
