"""Waits in Chromium until a dashboard is drawn, for tests and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dashboards.generator.model import Board

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb")
"""Options of Chromium, so that it runs as root and without a GPU, with the same colours everywhere."""
WINDOW: Final[ViewportSize] = {"width": 1440, "height": 4000}
"""Higher than each dashboard, because panels load when they are visible."""
MILLISECONDS: Final = 120_000
INITIAL_SCRIPT: Final = """(() => {
  const { fetch } = window;
  let open = 0;
  let ended = 0;
  window.fetch = (...request) => {
    open += 1;
    return fetch(...request).finally(() => {
      open -= 1;
      ended = performance.now();
    });
  };
  window.hasBeenQuiet = (milliseconds) => open === 0 && performance.now() - ended > milliseconds;
  const style = document.createElement('style');
  style.textContent = '* { animation: none !important; transition: none !important; }';
  addEventListener('DOMContentLoaded', () => document.head.append(style));
})()"""
"""Counts open requests, because a browser reports only once for each page that there is none. Turns off animations,
which take half of the processor without a GPU."""
_QUIET: Final = 300
"""Milliseconds after an answer in which a panel may send its next query."""
_POLL: Final = 100
_DRAWN: Final = """([count, quiet]) => {
  if (!window.hasBeenQuiet(quiet)) return false;
  const panels = [...document.querySelectorAll('[data-testid="panel"]')];
  const isFull = (figure) => figure && (figure.innerText.trim() || figure.querySelector('canvas'));
  return panels.length === count && panels.every((one) => isFull(one.querySelector('figure')))
    && !document.querySelector('[aria-label="Loading..."], .MuiCircularProgress-root, .MuiSkeleton-root');
}"""
_BOTTOM: Final = """() => Math.ceil(Math.max(
    ...[...document.querySelectorAll('[data-testid="panel"]')].map((panel) => panel.getBoundingClientRect().bottom)))"""


def wait_until_drawn(page: Page, board: Board) -> None:
    """Wait until all panels of a dashboard have their data. The page must have the `INITIAL_SCRIPT`."""
    page.wait_for_function(_DRAWN, arg=[len(board.panels), _QUIET], polling=_POLL, timeout=MILLISECONDS)


def bottom(page: Page) -> int:
    """Return the lower edge of the last panel."""
    found: Any = page.evaluate(_BOTTOM)
    return int(found)
