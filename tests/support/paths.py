"""Paths that several tests need."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT.parent / "shared" / "recordings"
"""Recorded streams. They are kept beside the repository."""
