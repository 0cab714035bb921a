"""Entry point of ``python -m dashboards.pictures``, which writes the pictures into ``dashboards/pictures``.

It needs Node, Chromium, and ``promtool`` and ``prometheus``, for example from Debian's package ``prometheus``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.model import Board
from dashboards.live.browser import ARGUMENTS, INITIAL_SCRIPT, MILLISECONDS, WINDOW, bottom, wait_until_drawn
from dashboards.live.scenario_data import scenario_prometheus
from dashboards.live.server import address, serving
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt, find_tool
from tests.support.dashboards.scenarios import START

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER: Final = ROOT / "pictures"
MARGIN: Final = 12
ANIMATION: Final = 1500
"""Milliseconds in which curves grow."""


@dataclass(frozen=True)
class Picture:
    """A picture of a dashboard, with the job (or all of them) and the minutes of its scenario."""

    name: str
    board: str
    job: str
    minutes: tuple[int, int] = (60, 180)
    rows: tuple[int, int] = (0, 99)
    """The rows to show, from the first to before the second. From row 0, the picture has the variables too."""


PICTURES: Final = (
    Picture("overview", "overview", "$__all"),
    Picture("proxy-timeouts", "proxy-timeouts", "alb-otlp", rows=(0, 2)),
    Picture("proxy-timeouts-buffering", "proxy-timeouts", "buffering-otlp", rows=(2, 3)),
    Picture("overload-retries", "overload-retries", "incident-otlp", (90, 150), rows=(0, 3)),
    Picture("overload-retries-guarded", "overload-retries", "guarded-otlp", (110, 165), rows=(0, 3)),
    Picture("pipeline", "pipeline", "alb-otlp"),
)


def edges(page: Page, board: Board, rows: tuple[int, int]) -> tuple[float, float]:
    """Return the upper and the lower edge of some rows."""
    headings: Any = page.evaluate(
        """titles => titles.map(title => [...document.querySelectorAll('h2')]
            .find(heading => heading.innerText.trim() === title).parentElement.getBoundingClientRect().top)""",
        [row.title for row in board.rows],
    )
    tops = [float(top) for top in headings]
    first, end = rows
    low = tops[end] if end < len(tops) else bottom(page) + MARGIN
    return (0 if first == 0 else tops[first] - MARGIN), low - MARGIN / 2


def take(picture: Picture, browser: Browser, site: str, folder: Path) -> Path:
    """Take one picture and return its path."""
    board = next(board for board in BOARDS if board.file == picture.board)
    start, end = (START + minute * 60 for minute in picture.minutes)
    page = browser.new_page(viewport=WINDOW, timezone_id="UTC")
    page.add_init_script(INITIAL_SCRIPT)
    collector = {"collector": "collector-suffixed"} if picture.board == "pipeline" else {}
    page.goto(site + address(board, start, end, job=picture.job, **collector))
    wait_until_drawn(page, board)
    page.wait_for_timeout(ANIMATION)
    top, low = edges(page, board, picture.rows)
    path = folder / f"{picture.name}.png"
    clip: Any = {"x": 0, "y": top, "width": WINDOW["width"], "height": low - top}
    page.screenshot(path=path, clip=clip, timeout=MILLISECONDS)
    page.close()
    return path


def chosen(argv: Sequence[str] | None) -> list[Picture]:
    """Return the pictures that the arguments name, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.pictures",
        description="Take the pictures for README and runbook. Needs Node, Chromium, promtool and prometheus.",
    )
    names = [picture.name for picture in PICTURES]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"a picture to take (default: all): {', '.join(names)}"
    )
    wanted = parser.parse_args(argv).names
    if unknown := set(wanted) - set(names):
        parser.error(f"no picture is called {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    return [picture for picture in PICTURES if not wanted or picture.name in wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """Play the scenarios, start Prometheus and take the pictures. Return 1 if a tool is missing."""
    pictures = chosen(argv)
    from playwright.sync_api import sync_playwright  # only this command needs it

    try:
        chromium = shutil.which("chromium") or find_tool("chromium-browser")
        page = PAGE.build()
        with (
            scenario_prometheus() as prometheus,
            serving(page, prometheus.url, "/") as site,
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
            for picture in pictures:
                print(take(picture, browser, site, FOLDER))
            browser.close()
    except NotBuilt as error:
        print(f"cannot take the pictures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
