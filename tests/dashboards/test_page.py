"""The dashboards in the components of Perses, in Chromium: no errors, and the known answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.live.browser import ARGUMENTS, MILLISECONDS, WINDOW, wait_until_drawn
from dashboards.live.server import address, serving
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.expected_answers import EXPECTED
from tests.support.dashboards.prometheus_server import is_close
from tests.support.dashboards.scenarios import SCENARIOS, START

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BY_FILE = {board.file: board for board in BOARDS}
JOBS = {scenario.job: scenario.name(scenario.protocols[0]) for scenario in SCENARIOS}


@dataclass
class Site:
    """The page over a Prometheus with the scenarios. A test fails on each problem that the browser reports."""

    url: str
    context: Any
    problems: list[str]

    def open(self, board: str, job: str, *, minute: float = 180, hours: float = 2, theme: str = "", **variables: str):
        """Open a dashboard for the hours before a minute, and wait until it is drawn."""
        page = self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on(
            "response", lambda answer: answer.status >= 400 and self.problems.append(f"{answer.status} {answer.url}")
        )
        end = START + minute * 60
        path = address(BY_FILE[board], end - hours * 3600, end, job=job, **variables)
        page.goto(f"{self.url}{path}{theme and f'&theme={theme}'}")
        self.wait(page, board)
        return page

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _on_error(self, error: Any) -> None:
        # ECharts paints a large chart in steps, and the step after the chart is removed fails. Nothing is lost.
        if "._paintList" not in error.stack:
            self.problems.append(f"error: {error.stack}")

    def _on_response(self, answer: Any) -> None:
        if answer.status >= 400:
            self.problems.append(f"{answer.status} {answer.url}")

    def wait(self, page: Any, board: str) -> None:
        """Wait until a dashboard is drawn. Fail on errors of the page, of its requests and of its panels."""
        wait_until_drawn(page, BY_FILE[board])
        assert page.locator('[role="alert"]').all_inner_texts() == []
        assert self.problems == []


@pytest.fixture(scope="module")
def browser(require_tool) -> Iterator[Any]:
    chromium = require_tool("chromium", "chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(chromium), args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def site(browser, prometheus) -> Iterator[Site]:
    """Skips if the page has not been built."""
    try:
        page = PAGE.find()
    except NotBuilt as error:
        pytest.skip(str(error))
    with serving(page, prometheus.url, "/") as url:
        context = browser.new_context(viewport=WINDOW, timezone_id="UTC")
        context.set_default_timeout(MILLISECONDS)
        yield Site(url, context, [])
        context.close()


def panel(page, title):
    """Return the panel with this title."""
    heading = page.get_by_text(title, exact=True)
    return page.locator('[data-testid="panel"]').filter(has=heading).first


def lines(page, title):
    """Return the texts below the title of a panel."""
    return panel(page, title).inner_text().strip().split("\n")[1:]


def number(text):
    """Read a figure of the page in the unit of the query."""
    digits, unit = re.fullmatch(r"(-?[\d.,]+)(%|ms|s|m|h| ?MB)?", text).groups()
    scale = {"%": 0.01, "ms": 0.001, "m": 60, "h": 3600, "MB": 1e6}
    return float(digits.replace(",", "")) * scale.get((unit or "").strip(), 1)


def stat(page, title):
    text = lines(page, title)[-1]
    return number(text) if re.match(r"-?\d", text) else text


def bars(page, title):
    """Return the bars that are not zero, by the range of seconds in their names."""
    label = panel(page, title).locator('[role="img"]').get_attribute("aria-label")
    named = (part.rpartition(": ") for part in label.split("; "))
    return {name.partition(": ")[0]: value for name, _, text in named if (value := number(text))}


def rows(page, title):
    """Return the texts of the cells of the table in a panel."""
    cells = "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText.trim()))"
    return panel(page, title).locator("tbody tr").evaluate_all(cells)


def legend(page, title):
    """Return the last value of each curve, from the table below it."""
    return {name: number(last) for *_, name, _, last, _ in rows(page, title)}


def table(page, title):
    return {f"{limit} {phase} {server}": number(count) for server, limit, phase, count, *_ in rows(page, title)}


READERS = {"bargauge": bars, "table": table, "timeseries": legend, "bars": legend}


def shown(page, board, title):
    """Return what a panel shows, as `expected_answers` has it."""
    described = next(one for one in BY_FILE[board].panels if one.title == title)
    if described.kind == "stat":
        found = stat(page, title)
        return {} if found == described.no_value else {"": found}
    return {} if described.no_value in lines(page, title) else READERS[described.kind](page, title)


def close(found, wanted):
    """Whether two figures are equal within the tolerance of the answers and the digits of the page."""
    return found.keys() == wanted.keys() and all(
        is_close(found[name], value, 0.02) or abs(found[name] - value) < 0.006 for name, value in wanted.items()
    )


def case_of(scenario, minute=180.0, values=None):
    return next(one for one in EXPECTED if (one.scenario, one.minute, one.values) == (scenario, minute, values or {}))


CASES = [(case_of("alb"), "proxy-timeouts")]


@pytest.mark.parametrize(("case", "board"), CASES, ids=lambda value: getattr(value, "scenario", value))
def test_figures_on_the_page_are_the_known_answers(case, board, site):
    job = JOBS.get(case.scenario, "absent")
    page = site.open(board, job, minute=case.minute, hours=case.hours, **case.values)
    compared, wrong = 0, []
    for name, answer in case.panels.items():
        file, _, title = name.partition("/")
        described = next(one for one in BY_FILE[file].panels if one.title == title)
        if file != board or described.kind == "heatmap":
            continue
        wanted = {legend.replace("{}", job.rpartition("-")[2]): value for legend, value in answer.items()}
        if described.kind == "bargauge":
            wanted = {legend: value for legend, value in wanted.items() if value}
        found = shown(page, board, title)
        compared += 1
        if not close(found, wanted):
            wrong.append(f"{title}: {found} instead of {wanted}")
    assert not wrong, "\n".join(wrong)
    assert compared > 1


@pytest.mark.parametrize(("board", "theme"), [("pipeline", "dark")])
def test_a_dashboard_opens_without_errors_in_the_theme(board, theme, site):
    page = site.open(board, "incident-otlp", theme=theme)
    titles = [one.title for one in BY_FILE[board].panels]
    texts = [text.split("\n")[0] for text in page.locator('[data-testid="panel"]').all_inner_texts()]
    assert texts == titles
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", color)[:3])) / 3
    assert (brightness < 64) is (theme == "dark")
    assert page.get_by_role("button", name="Edit", exact=True).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= WINDOW["width"]


def test_an_error_of_prometheus_is_found_by_the_check(site, monkeypatch):
    """The checks of the other tests are not blind."""
    site.context.route("**/api/v1/query_range*", lambda route: route.fulfill(status=400, json={"status": "error"}))
    with pytest.raises(AssertionError):
        site.open("pipeline", "alb-otlp")
