"""The drill-down in the components of Perses shows tables of real traces, and the spans and events of a trace."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from dashboards.generator.perses_json import path as path_of
from dashboards.live.browser import INITIAL_SCRIPT, MILLISECONDS, WINDOW, wait_until_drawn
from dashboards.live.server import serving
from dashboards.live.traces import TempoApi
from tests.support.dashboards.demo_traces import attributes_of
from tests.support.dashboards.perses_page import BY_FILE, Site, panel

from otel_claude_stream._telemetry import schema

BOARD = BY_FILE["drill-down"]
NARROW = {"width": 480, "height": 900}
LIMIT = 50
"""Traces in a table, at most."""
ROWS = '[data-testid="virtuoso-item-list"] > div'


def answer_without_metrics(route: Any) -> None:
    """Answer a request to Prometheus as one without data does."""
    nothing: Any = [] if "/label/" in route.request.url else {"resultType": "matrix", "result": []}
    route.fulfill(json={"status": "success", "data": nothing})


@pytest.fixture(scope="module")
def traces_site(browser, page_of_perses, jaeger, stored):
    """The page over Jaeger with the traces of the demo, without metrics."""
    with serving(page_of_perses, "/prometheus", "/", TempoApi(jaeger.url)) as url:
        context = browser.new_context(viewport=WINDOW, timezone_id="UTC")
        context.add_init_script(INITIAL_SCRIPT)
        context.set_default_timeout(MILLISECONDS)
        context.route("**/prometheus/**", answer_without_metrics)
        yield url, context
        context.close()


@pytest.fixture
def site(traces_site):
    found = Site(*traces_site)
    yield found
    found.close()


def open_drill_down(site: Site, theme: str = "light") -> Any:
    page = site.context.new_page()
    end = time.time() * 1000
    times = f"start={end - 3_600_000:.0f}&end={end:.0f}"
    page.goto(f"{site.url}{path_of(BOARD)}?{times}&theme={theme}")
    wait_until_drawn(page, BOARD)
    site.check(page)
    return page


def open_trace(site: Site, trace_id: str, window: Any = WINDOW) -> Any:
    """Open a trace by its address."""
    page = site.context.new_page()
    page.set_viewport_size(window)
    queries = [{"kind": "TraceQuery", "spec": {"plugin": {"kind": "TempoTraceQuery", "spec": {"query": trace_id}}}}]
    page.goto(f"{site.url}/explore?data={quote(json.dumps({'queries': queries}))}")
    page.get_by_role("heading", name=f"Trace {trace_id}").wait_for()
    return page


def count(page: Any, title: str) -> int:
    """Return the number of traces in a table, or 0 if it has the words of a panel without data."""
    found = panel(page, title)
    described = next(one for one in BOARD.panels if one.title == title)
    if found.get_by_text(described.no_value, exact=True).count():
        return 0
    (total,) = re.findall(r"of (\d+)", found.locator(".MuiTablePagination-displayedRows").inner_text())
    return int(total)


EXPECTED: dict[str, Callable[[dict[str, Any], list[str]], bool]] = {
    "Failed streams": lambda values, events: values.get("claude.stream.outcome") == "failed",
    "Stalled streams": lambda values, events: schema.STALL.name in events,
    "Retried streams": lambda values, events: int(values.get("claude.stream.attempt.count", 0)) > 1,
    "Streams slow to start": lambda values, events: values.get("claude.stream.time_to_first_token", 0) > 10,
    "Completed with a partial answer": lambda values, events: (
        values.get("claude.stream.outcome") == "completed"
        and values.get("claude.stream.stop_reason") in ("max_tokens", "refusal", "model_context_window_exceeded")
    ),
}
"""Conditions that a span must meet for its trace to be in a table, without TraceQL."""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tables_have_the_traces_that_the_demo_sent(theme, site, sent):
    page = open_drill_down(site, theme)
    spans = [span for mode in sent.values() for span, _, _ in mode.spans]
    wanted = {}
    for title, meets in EXPECTED.items():
        wanted[title] = len(
            {
                span["traceId"]
                for span in spans
                if meets(
                    {key: value for key, (_, value) in attributes_of(span).items()},
                    [event["name"] for event in span.get("events", ())],
                )
            }
        )
    assert wanted["Failed streams"] > 10
    assert wanted["Retried streams"] > 10
    assert {title: count(page, title) for title in EXPECTED} == {title: min(n, LIMIT) for title, n in wanted.items()}


def test_a_click_on_a_trace_shows_its_spans_attributes_and_events(site, sent):
    """Goes from the table to the stream, its attempts, and the events of the stream, and back."""
    page = open_drill_down(site, "dark")
    before = parse_qs(urlsplit(page.url).query)
    link = panel(page, "Retried streams").locator('a[href^="/explore"]').first
    trace_id = re.search(r"%22([0-9a-f]{32})%22", link.get_attribute("href"))[1]
    spans = [span for mode in sent.values() for span, _, _ in mode.spans if span["traceId"] == trace_id]
    (stream,) = [span for span in spans if not span.get("parentSpanId")]
    link.click()
    page.wait_for_url("**/explore?**")
    rows = page.locator(ROWS)
    rows.nth(len(spans) - 1).wait_for()
    site.check(page)
    shown = [text.strip().partition(": ")[2].split("\n")[0] for text in rows.all_inner_texts()]
    assert shown[0] == stream["name"]
    assert sorted(shown) == sorted(span["name"] for span in spans)
    rows.first.click(position={"x": 120, "y": 10})
    events = page.get_by_role("tab", name=re.compile("events", re.IGNORECASE))
    events.wait_for()
    text = page.locator('[data-testid="panel"]').inner_text()
    assert "unknown" not in text.split("\n")
    for key, (kind, value) in attributes_of(stream).items():
        assert key in text
        assert kind not in ("stringValue", "doubleValue", "intValue") or str(value) in text
    events.click()
    entries = page.locator(".MuiListItemButton-root")
    ordered = sorted(stream["events"], key=lambda event: int(event["timeUnixNano"]))
    assert [text.partition(": ")[2].strip() for text in entries.all_inner_texts()] == [one["name"] for one in ordered]
    retry = next(n for n, event in enumerate(ordered) if event["name"] in (schema.RETRY.name, schema.RESUME.name))
    entries.nth(retry).click()
    page.get_by_text("claude.stream.retry.decision", exact=True).wait_for()
    detail = page.locator('[data-testid="panel"]').inner_text()
    assert set(attributes_of(ordered[retry])) <= set(detail.split("\n"))
    site.check(page)
    page.locator("nav").get_by_text("Drill-down").click()
    page.wait_for_url(f"**/{BOARD.uid}?**")
    assert {name: parse_qs(urlsplit(page.url).query).get(name) for name in before} == before
    assert not {"data", "explorer"} & parse_qs(urlsplit(page.url).query).keys()


def test_a_link_of_a_span_leads_to_the_trace_and_span_that_it_names(site, linked):
    span, target = linked
    page = open_trace(site, span["traceId"])
    page.locator(ROWS).first.click(position={"x": 120, "y": 10})
    page.get_by_role("tab", name=re.compile("links", re.IGNORECASE)).click()
    assert "a request that it repeats" in page.locator('[data-testid="panel"]').inner_text()
    page.locator('[data-testid="panel"]').get_by_text(target["spanId"], exact=True).click()
    page.get_by_role("heading", name=f"Trace {target['traceId']}").wait_for()
    page.get_by_role("heading", name=target["name"], exact=True).wait_for()
    site.check(page)


def test_the_spans_and_their_details_fit_into_a_narrow_window(site, sent):
    trace_id = sent["resume"].spans[0][0]["traceId"]
    page = open_trace(site, trace_id, NARROW)
    row = page.locator(ROWS).first
    row.click(position={"x": 120, "y": 10})
    details = page.get_by_role("tab", name="Attributes")
    details.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    above, below = row.bounding_box(), details.bounding_box()
    assert above["y"] + above["height"] < below["y"]
    assert below["x"] + below["width"] <= NARROW["width"]
    assert page.locator("[data-virtuoso-scroller]").bounding_box()["height"] > 200
    site.check(page)


@pytest.mark.parametrize(("query", "words"), [("", "No trace"), ("0" * 31 + "1", "Trace contains no spans")])
def test_the_page_of_a_trace_that_does_not_exist_has_words_for_it(query, words, site):
    page = open_trace(site, query) if query else site.context.new_page()
    if not query:
        page.goto(f"{site.url}/explore")
    page.get_by_text(re.compile(words)).first.wait_for()
    site.check(page)
