"""The dashboards, one module for each."""

from __future__ import annotations

from typing import Final

from dashboards.generator.boards import drill_down, health, overload, overview, pipeline, timeouts
from dashboards.generator.model import Board

BOARDS: Final[tuple[Board, ...]] = (
    overview.BOARD,
    health.BOARD,
    timeouts.BOARD,
    overload.BOARD,
    drill_down.BOARD,
    pipeline.BOARD,
)
"""In the order in which an on-call engineer opens them."""
