"""The dashboards in the components of Perses, in Chromium: no errors, the known answers, variables, links, themes."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.perses_json import path as path_of
from dashboards.live.browser import WINDOW
from tests.support.dashboards.expected_answers import EXPECTED, Expected
from tests.support.dashboards.perses_page import (
    BY_FILE,
    JOBS,
    answers,
    axis,
    differences,
    lines,
    panel,
    shown,
    stat,
)
from tests.support.dashboards.scenarios import SPECIAL_NAMES, START


def best_case(board, covered=frozenset()):
    """Return the case with figures for the most panels of a dashboard, not counting those that are covered."""
    return max(EXPECTED, key=lambda case: (len(answers(case, board).keys() - covered), len(answers(case, board))))


def case_of(scenario: str, minute: float = 180) -> Expected:
    return next(case for case in EXPECTED if (case.scenario, case.minute) == (scenario, minute))


VIEWS = [
    (board, theme, case)
    for board in BOARDS
    for light in [best_case(board)]
    for theme, case in (("light", light), ("dark", best_case(board, answers(light, board).keys())))
]
FURTHER = [(BY_FILE["proxy-timeouts"], "light", case_of(scenario)) for scenario in ("limits", "headroom", "buffering")]


def hours_of(case, board):
    """Return the hours to show, which are few for curves alone. A legend also has curves that ended before."""
    kinds = {panel.kind for panel in board.panels if panel.title in answers(case, board)}
    return case.hours if kinds - {"timeseries", "bars"} else 0.2


def has_metrics(panel):
    """Whether a panel queries Prometheus."""
    return bool(panel.queries) and all(query.form not in ("traces", "trace metrics") for query in panel.queries)


def range_of(text):
    """Return the seconds at the start of the name of a limit, which may be broken into lines."""
    return text.partition(" s:")[0] if re.match(r"[\d-]+ s:", text) else ""


def view_name(value):
    return getattr(value, "file", None) or getattr(value, "scenario", value)


@pytest.mark.parametrize(("board", "theme", "case"), [*VIEWS, *FURTHER], ids=view_name)
def test_every_dashboard_shows_the_known_answers_in_both_themes(board, theme, case, site):
    job = JOBS.get(case.scenario, "absent")
    page = site.open(board.file, job, minute=case.minute, hours=hours_of(case, board), theme=theme, **case.values)
    assert differences(page, case, board) == []
    assert answers(case, board)
    titles = [text.split("\n")[0] for text in page.locator('[data-testid="panel"]').all_inner_texts()]
    assert titles == [one.title for one in board.panels]
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", color)[:3])) / 3
    assert (brightness < 64) is (theme == "dark")
    assert page.get_by_role("button", name=re.compile("edit", re.IGNORECASE)).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= WINDOW["width"]
    for one in board.panels:
        labels = axis(page, one.title)
        if (
            one.kind in ("timeseries", "bars", "heatmap")
            and has_metrics(one)
            and one.no_value not in lines(page, one.title)
        ):
            assert len(labels) > 1, one.title
            assert len(labels) == len(set(labels)), f"{one.title}: {labels}"
        elif one.kind == "bargauge" and labels:
            legends = [query.legend for query in one.queries]
            drawn, wanted = ([text for text in map(range_of, texts) if text] for texts in (labels, legends))
            assert drawn == wanted


@pytest.mark.parametrize("board", BOARDS, ids=view_name)
def test_panels_without_data_show_words_of_their_own(board, site):
    nothing = {"status": "success", "data": {"resultType": "matrix", "result": []}}
    with site.answering("**/api/v1/query*", json=nothing):
        page = site.open(board.file, JOBS["alb"])
        for one in board.panels:
            if has_metrics(one):
                assert lines(page, one.title)[-1] == one.no_value, one.title


def test_cells_of_the_table_show_the_whole_remedy(site):
    page = site.open("proxy-timeouts", JOBS["alb"])
    cell = panel(page, "Cuts, by server, limit and phase").locator('[data-testid="0_remedy"] > div')
    assert "proxy_read_timeout" in cell.inner_text()
    assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth && cell.scrollHeight <= cell.clientHeight")


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


@pytest.mark.parametrize("board", LINKING, ids=view_name)
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


def test_an_error_of_prometheus_is_found_by_the_check(site):
    """The checks of the other tests are not blind."""
    with site.answering("**/api/v1/query_range*", status=400, json={"status": "error"}), pytest.raises(AssertionError):
        site.open("pipeline", JOBS["alb"])
