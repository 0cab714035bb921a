"""The front page fits into one window, and leads to the dashboards that answer the next question."""

from __future__ import annotations

import json

import pytest
from dashboards.generator.boards import BOARDS, overview
from dashboards.generator.command import ROOT
from dashboards.live.browser import ARGUMENTS, bottom, wait_until_drawn
from dashboards.live.server import address, serving
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.scenarios import START

WINDOW = {"width": 1440, "height": 900}
GRAFANA_ROW = 38
"""Pixels of a row of Grafana's grid with its gap."""
GRAFANA_BARS = 150
"""Pixels above the panels: navigation, variables and padding."""


def test_the_front_page_is_the_first_dashboard_and_links_to_three_others():
    assert BOARDS[0] is overview.BOARD
    links = {panel.link_to for panel in overview.BOARD.panels}
    assert links == {"claude-stream-health", "claude-stream-timeouts", "claude-stream-overload"}


def test_all_panels_fit_into_one_window_of_grafana():
    found = json.loads((ROOT / "grafana" / "overview.json").read_text(encoding="utf-8"))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in found["panels"])
    assert GRAFANA_BARS + GRAFANA_ROW * rows <= WINDOW["height"]


def test_all_panels_fit_into_one_window_of_perses(prometheus, require_tool):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = require_tool("chromium", "chromium")
    try:
        built = PAGE.find()
    except NotBuilt as error:
        pytest.skip(str(error))
    with serving(built, prometheus.url, "/") as site, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=list(ARGUMENTS))
        page = browser.new_page(viewport=WINDOW, timezone_id="UTC")
        page.goto(site + address(overview.BOARD, START + 60 * 60, START + 180 * 60, job="incident-otlp"))
        wait_until_drawn(page, overview.BOARD)
        assert bottom(page) <= WINDOW["height"]
        size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert size == [WINDOW["width"], WINDOW["height"]]
        browser.close()
