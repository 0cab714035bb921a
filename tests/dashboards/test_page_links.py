"""The variables and links of the dashboards in the components of Perses, in Chromium."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.perses_json import path as path_of
from tests.support.dashboards.perses_page import JOBS, panel, shown, stat
from tests.support.dashboards.scenarios import SPECIAL_NAMES, START

pytestmark = pytest.mark.slow


def choose(page, site, board, variable, *options):
    """Click values in the list of a variable, and wait until the dashboard is drawn again."""
    before = page.url
    page.get_by_role("combobox", name=variable).click()
    for option in options:
        page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: url != before and f"var-{variable.lower()}=" in url)
    site.wait(page, board)


def test_each_variable_changes_the_figures_and_stays_in_the_address(site):
    """The load balancer cuts eleven streams, and the NAT seven streams of one of two servers."""
    page = site.open("proxy-timeouts", JOBS["alb"])
    assert stat(page, "Cuts at a known limit") == 11
    choose(page, site, "proxy-timeouts", "Job", JOBS["nat"])
    assert stat(page, "Cuts at a known limit") == 18
    choose(page, site, "proxy-timeouts", "Server", "api.anthropic.com")
    assert stat(page, "Cuts at a known limit") == 7
    assert shown(page, "proxy-timeouts", "Silence before the cut") == {"349-352 s": 7}
    page.reload()
    site.wait(page, "proxy-timeouts")
    assert stat(page, "Cuts at a known limit") == 7


def test_the_model_variable_leaves_the_curves_of_one_model(site):
    page = site.open("stream-health", f"{JOBS['alb']},{JOBS['special']}")
    models = [{name.rpartition(" ")[0] for name in shown(page, "stream-health", "Time to first token, by model")}]
    choose(page, site, "stream-health", "Model", "claude-sonnet-5")
    models.append({name.rpartition(" ")[0] for name in shown(page, "stream-health", "Time to first token, by model")})
    assert models == [{"claude-sonnet-5", *SPECIAL_NAMES}, {"claude-sonnet-5"}]


def test_the_collector_variable_changes_the_figures(site):
    page = site.open("pipeline", JOBS["alb"], collector="collector-suffixed")
    assert stat(page, "Items not delivered") == pytest.approx(120, rel=0.02)
    choose(page, site, "pipeline", "Collector", "collector-plain", "collector-suffixed")
    assert stat(page, "Items not delivered") == 0


TARGETS = {board.uid: board for board in BOARDS}
LINKING = [board for board in BOARDS if any(one.link_to for one in board.panels)]


def link_of(page, title):
    """Return path and parameters of the link in the heading of a panel, which the page has for two widths."""
    hrefs = panel(page, title).locator("header a[href]").evaluate_all("links => links.map(one => one.href)")
    (found,) = map(urlsplit, set(hrefs))
    return found.path, parse_qs(found.query)


def follow_link(page, title):
    """Click the link in the heading of a panel, which a narrow panel has in a menu."""
    found = panel(page, title)
    found.hover()
    visible = found.locator("header a[href]:visible")
    if not visible.count():
        found.get_by_role("button", name="show panel actions").click()
        visible = page.locator(".MuiPopover-root a[href]")
    visible.click()


@pytest.mark.parametrize("board", LINKING, ids=lambda board: board.file)
def test_links_of_panels_lead_to_dashboards_with_variables_and_times(board, site):
    """Reads all links of a dashboard, and follows one to each of its targets."""
    page = site.open(board.file, JOBS["alb"], server="gw.example.com", theme="dark")
    times = {"start": [f"{(START + 3600) * 1000}"], "end": [f"{(START + 3 * 3600) * 1000}"]}
    chosen = {"var-job": [JOBS["alb"]], "var-server": ["gw.example.com"]}
    linking = {one.title: TARGETS[one.link_to] for one in board.panels if one.link_to}
    for title, target in linking.items():
        everything = {f"var-{one.name}": [one.all_value] for one in target.variables if not one.hidden}
        assert link_of(page, title) == (path_of(target), {**times, **everything, **chosen}), title
    assert page.locator('[data-testid="panel"]:has(header a[href])').count() == len(linking)
    for title, target in {target: (title, target) for title, target in reversed(linking.items())}.values():
        follow_link(page, title)
        page.wait_for_url(f"**{path_of(target)}?**")
        site.wait(page, target.file)
        followed = parse_qs(urlsplit(page.url).query)
        kept = {**times, **chosen, "var-model": ["$__all"], "theme": ["dark"]}
        assert {name: followed.get(name) for name in kept} == kept
        assert page.locator("nav [aria-current]").inner_text() == target.title.partition(": ")[2].capitalize()
        page.go_back()
        panel(page, title).locator("header a[href]").first.wait_for(state="attached")


def test_links_between_dashboards_keep_variables_times_and_theme(site):
    page = site.open("drill-down", JOBS["alb"], theme="dark")
    times = re.findall(r"(?:start|end)=\d+", page.url)
    page.locator("nav").get_by_text("Overload and retries").click()
    page.wait_for_url("**/claude-stream-overload?**")
    site.wait(page, "overload-retries")
    assert re.findall(r"(?:start|end)=\d+", page.url) == times
    assert f"var-job={JOBS['alb']}" in page.url
    assert "theme=dark" in page.url
    page.locator("nav").get_by_text("light", exact=True).click()
    page.wait_for_url("**theme=light**")
    site.wait(page, "overload-retries")
    assert re.findall(r"(?:start|end)=\d+", page.url) == times
