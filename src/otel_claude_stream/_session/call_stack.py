"""Looks for a module further up this thread's stack, where neither a context nor a lock helps."""

from __future__ import annotations

import sys
from types import FrameType


def runs_above(module: str, most: int) -> bool | None:
    """Return whether code of `module` is among the nearest `most` callers; None if there are more callers."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to see the stack
    for _ in range(most):
        if frame is None:
            return False
        name = str(frame.f_globals.get("__name__", ""))
        if name == module or name.startswith(f"{module}."):
            return True
        frame = frame.f_back
    return None
