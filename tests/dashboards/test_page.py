"""The dashboards in the components of Perses, in Chromium: no errors, the known answers, both themes."""

from __future__ import annotations

import re

import pytest
from dashboards.generator.boards import BOARDS
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
)

pytestmark = pytest.mark.slow


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


def test_an_error_of_prometheus_is_found_by_the_check(site):
    """The checks of the other tests are not blind."""
    with site.answering("**/api/v1/query_range*", status=400, json={"status": "error"}), pytest.raises(AssertionError):
        site.open("pipeline", JOBS["alb"])
