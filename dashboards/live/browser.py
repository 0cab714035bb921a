"""Waits in Chromium until a dashboard is drawn, for tests and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dashboards.generator.model import Board

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb")
"""Options of Chromium, so that it runs as root and without a GPU, with the same colours everywhere."""
WINDOW: Final[ViewportSize] = {"width": 1440, "height": 3400}
"""Higher than each dashboard, because panels load when they are visible."""
MILLISECONDS: Final = 120_000
_DRAWN: Final = """count => document.querySelectorAll('[data-testid="panel"]').length === count
    && !document.querySelector('[aria-label="Loading..."], .MuiCircularProgress-root, .MuiSkeleton-root')"""
_BOTTOM: Final = """() => Math.ceil(Math.max(
    ...[...document.querySelectorAll('[data-testid="panel"]')].map((panel) => panel.getBoundingClientRect().bottom)))"""


def wait_until_drawn(page: Page, board: Board) -> None:
    """Wait until all panels of a dashboard have their data."""
    for _ in range(2):  # a panel may load after the first answers
        page.wait_for_function(_DRAWN, arg=len(board.panels), timeout=MILLISECONDS)
        page.wait_for_load_state("networkidle", timeout=MILLISECONDS)


def bottom(page: Page) -> int:
    """Return the lower edge of the last panel."""
    found: Any = page.evaluate(_BOTTOM)
    return int(found)
