"""Opens dashboards in the page of Perses' components, and reads what its panels show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dashboards.generator.boards import BOARDS
from dashboards.generator.model import Board
from dashboards.live.browser import wait_until_drawn
from dashboards.live.server import address
from tests.support.dashboards.expected_answers import Expected
from tests.support.dashboards.prometheus_server import is_close
from tests.support.dashboards.scenarios import SCENARIOS, START

BY_FILE = {board.file: board for board in BOARDS}
JOBS = {scenario.job: scenario.name(scenario.protocols[0]) for scenario in SCENARIOS}

RECORD_TEXTS = """(() => {
  const drawn = new WeakMap();
  const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
  const texts = (canvas) => drawn.get(canvas) ?? drawn.set(canvas, []).get(canvas);
  CanvasRenderingContext2D.prototype.clearRect = function (...area) {
    drawn.set(this.canvas, []);
    return clearRect.apply(this, area);
  };
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
    texts(this.canvas).push({ text, align: this.textAlign, top: this.getTransform().transformPoint({ x, y }).y });
    return fillText.call(this, text, x, y, ...more);
  };
  window.drawnTexts = (panel) => [...panel.querySelectorAll('canvas')].flatMap(texts);
})()"""
"""Remembers the texts that are drawn on a canvas, because the document does not have them."""


@dataclass
class Site:
    """The page over a Prometheus with the scenarios. A test fails on each problem that the browser reports."""

    url: str
    context: Any
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("console", self._on_console)
        self.context.on("weberror", self._on_error)
        self.context.on("response", self._on_response)

    def close(self) -> None:
        """Close all windows, because a dashboard repeats its queries each minute."""
        for page in self.context.pages:
            page.close()
        for name, handler in (
            ("console", self._on_console),
            ("weberror", self._on_error),
            ("response", self._on_response),
        ):
            self.context.remove_listener(name, handler)

    def open(self, board: str, job: str, *, minute: float = 180, hours: float = 2, theme: str = "", **variables: str):
        """Open a dashboard for the hours before a minute, and wait until it is drawn."""
        page = self.context.new_page()
        end = START + minute * 60
        path = address(BY_FILE[board], end - hours * 3600, end, job=job, **variables)
        page.goto(f"{self.url}{path}{theme and f'&theme={theme}'}")
        self.wait(page, board)
        return page

    @contextmanager
    def answering(self, pattern: str, **answer: Any) -> Iterator[None]:
        """Answer some requests of the page in place of Prometheus."""
        self.context.route(pattern, lambda route: route.fulfill(**answer))
        yield
        self.context.unroute(pattern)

    def wait(self, page: Any, board: str) -> None:
        """Wait until a dashboard is drawn. Fail on errors of the page, of its requests and of its panels."""
        wait_until_drawn(page, BY_FILE[board])
        self.check(page)

    def check(self, page: Any) -> None:
        """Fail on errors of the page, of its requests and of its panels."""
        assert page.locator('[role="alert"]').all_inner_texts() == []
        assert self.problems == []

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _on_error(self, error: Any) -> None:
        # ECharts paints a large chart in steps, and the step after the chart is removed fails. Nothing is lost.
        stack = error.error.stack
        if "._paintList" not in stack:
            self.problems.append(f"error: {stack}")

    def _on_response(self, answer: Any) -> None:
        if answer.status >= 400:
            self.problems.append(f"{answer.status} {answer.url}")


SCROLL = """async (list) => {
  const top = list.scrollTop;
  list.scrollTop += list.clientHeight / 2;
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
  return list.scrollTop > top;
}"""
"""Scrolls a list by half of its height, and returns whether it moved."""


def panel(page: Any, title: str) -> Any:
    """Return the panel with this title."""
    heading = page.get_by_text(title, exact=True)
    return page.locator('[data-testid="panel"]').filter(has=heading).first


def lines(page: Any, title: str) -> list[str]:
    """Return the texts below the title of a panel."""
    return panel(page, title).inner_text().strip().split("\n")[1:]


def axis(page: Any, title: str) -> list[str]:
    """Return the texts at the left axis of a panel, from top to bottom."""
    texts = panel(page, title).evaluate("panel => window.drawnTexts(panel)")
    return [one["text"] for one in sorted(texts, key=lambda one: one["top"]) if one["align"] == "right"]


def number(text: str) -> float:
    """Read a figure of the page in the unit of the query."""
    found = re.fullmatch(r"(-?[\d.,]+)(%|ms|s|m|h| ?MB)?", text)
    assert found, text
    digits, unit = found.groups()
    scale = {"%": 0.01, "ms": 0.001, "m": 60, "h": 3600, "MB": 1e6}
    return float(digits.replace(",", "")) * scale.get((unit or "").strip(), 1)


def stat(page: Any, title: str) -> float | str:
    """Return the figure in a panel, or its text without data."""
    text = lines(page, title)[-1]
    return number(text) if re.match(r"-?\d", text) else text


def bars(page: Any, title: str) -> dict[str, float]:
    """Return the bars that are not zero, by the part of their names before the colon."""
    label = panel(page, title).locator('[role="img"]').get_attribute("aria-label")
    named = (part.rpartition(": ") for part in label.split("; "))
    return {name.partition(": ")[0]: value for name, _, text in named if (value := number(text))}


def rows(page: Any, title: str) -> list[list[str]]:
    """Return the texts of the cells of the table in a panel."""
    cells = "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText.trim()))"
    found: list[list[str]] = panel(page, title).locator("tbody tr").evaluate_all(cells)
    return found


def legend(page: Any, title: str) -> dict[str, float]:
    """Return the last value of each curve, from the table below it, which has only the rows in view."""
    found: dict[str, float] = {}
    scroller = panel(page, title).locator("[data-virtuoso-scroller]").first
    moved = True
    while moved:
        found.update({cells[-4]: number(cells[-2]) for cells in rows(page, title) if len(cells) >= 4})
        moved = scroller.evaluate(SCROLL)
    return found


def table(page: Any, title: str) -> dict[str, float]:
    """Return the counts in the table of cuts, by limit, phase and server."""
    return {f"{limit} {phase} {server}": number(count) for server, limit, phase, count, *_ in rows(page, title)}


READERS = {"bargauge": bars, "table": table, "timeseries": legend, "bars": legend}


def shown(page: Any, board: str, title: str) -> dict[str, float]:
    """Return what a panel shows, as `expected_answers` has it."""
    described = next(one for one in BY_FILE[board].panels if one.title == title)
    if described.kind == "stat":
        found = stat(page, title)
        return {"": found} if isinstance(found, float) else {}
    return {} if described.no_value in lines(page, title) else READERS[described.kind](page, title)


def answers(case: Expected, board: Board) -> dict[str, dict[str, float]]:
    """Return the answers of a case that a dashboard shows as figures, by the title of the panel."""
    kinds = {panel.title: panel.kind for panel in board.panels}
    job = JOBS.get(case.scenario, "absent").rpartition("-")[2]
    found = {}
    for name, answer in case.panels.items():
        file, _, title = name.partition("/")
        if file == board.file and kinds[title] != "heatmap":
            wanted = {legend.replace("{}", job): value for legend, value in answer.items()}
            bars_only = kinds[title] == "bargauge"
            found[title] = {legend: value for legend, value in wanted.items() if value or not bars_only}
    return found


def differences(page: Any, case: Expected, board: Board) -> list[str]:
    """Describe each panel whose figures differ by more than the tolerance of the answer and the digits shown."""
    wrong = []
    for title, wanted in answers(case, board).items():
        found = shown(page, board.file, title)
        close = found.keys() == wanted.keys() and all(
            is_close(found[name], value, 0.02) or abs(found[name] - value) < 0.006 for name, value in wanted.items()
        )
        if not close:
            wrong.append(f"{title}: {found} instead of {wanted}")
    return wrong
