"""The page of the report in Chromium. It agrees with the streams, and it stays quiet, small and closed."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, span
from tests.support.report_pages import fleet, page_of

from otel_claude_stream.cli.explain.text import lines_of
from otel_claude_stream.cli.view.explanation import explanation
from otel_claude_stream.cli.view.model import StreamView

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Open = Callable[..., Any]
MOST_ELEMENTS = 3000
ELEMENTS = "document.getElementsByTagName('*').length"
FOCUSED = "document.activeElement.dataset.at"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CANARY = "window.hacked=1"
EVIL = f"</script><script>{CANARY}</script><img src=x onerror={CANARY}>\x1b[31m\u202e\r\n&lt;{{{{script}}}}<!--data-->"


@pytest.fixture
def show(browser, tmp_path: Path) -> Iterator[Open]:
    """Open a report. The test fails on an error of the script, a message on the console, or a request."""
    problems: list[str] = []
    contexts = []

    def opened(text: str, hash_text: str = "", *, width: int = 1440, height: int = 900, dark: bool = False) -> Any:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url.startswith(path.as_uri()) or problems.append(request.url))
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.cpu_time = lambda: cpu_time(session.send("Performance.getMetrics"))
        page.goto(f"{path.as_uri()}#{hash_text}")
        page.wait_for_selector("#app[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def attempt(number: int, start: float, end: float, status: int, **more: Any) -> dict[str, Any]:
    return span(
        {"claude.stream.attempt.number": number, "http.response.status_code": status, **more},
        name="claude.stream.attempt", start=start, seconds=end - start,
        span_id=f"{number:016x}", parent="00f067aa0ba902b7",
    )  # fmt: skip


def cpu_time(found: dict[str, Any]) -> float:
    """Return the seconds that the thread of the page has worked. Other tests on the machine do not change them."""
    return next(metric["value"] for metric in found["metrics"] if metric["name"] == "TaskDuration")


def until(page: Any, expression: str, value: object) -> None:
    """Wait for a value. The policy of the page forbids the waiting of Playwright, which evaluates a text within it."""
    deadline = time.monotonic() + 10
    while page.evaluate(expression) != value:
        assert time.monotonic() < deadline, f"{expression} is {page.evaluate(expression)!r}"
        page.wait_for_timeout(20)


def shown(page: Any) -> int:
    """Return the number of streams that the list announces."""
    return int(page.locator(".lanes > li").first.get_attribute("aria-setsize"))


def facet(page: Any, name: str) -> dict[str, int]:
    """Return the counts of a facet, with all of its values."""
    section = page.locator(f"section:has(#facet-{name})")
    if section.locator(".link", has_text="more").count():
        section.locator(".link").click()
    pairs = section.locator("li button").evaluate_all(
        "all => all.map(one => [one.title, one.querySelector('b').textContent])"
    )
    return {value: int(re.sub(r"\D", "", count)) for value, count in pairs}


def outcomes(views: list[StreamView]) -> dict[str, int]:
    return dict(Counter(view.outcome for view in views))


FLEETS = {number: fleet(number) for number in (1, 23, 500)}


@pytest.mark.parametrize("number", [1, 23, 500])
def test_counts_agree_with_the_streams(show: Open, number: int) -> None:
    views = FLEETS[number]
    page = show(page_of(*views))
    assert shown(page) == number
    assert page.locator(".card .figure").first.inner_text() == str(number)
    assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
    if number > 1:
        assert facet(page, "outcome") == outcomes(views)
        assert facet(page, "reason") == Counter(view.reason for view in views if view.reason)
        assert facet(page, "model") == Counter(view.model for view in views)
        assert facet(page, "limit") == Counter(
            view.limit_match for view in views if view.limit_match not in ("", "none")
        )
    else:
        assert page.locator(".facets, .chart").count() == 0
        assert page.locator(".more").count() == 1, "the only stream is open"


def test_facets_filter_and_the_location_keeps_them(show: Open) -> None:
    views = FLEETS[500]
    page = show(page_of(*views))
    page.locator("section:has(#facet-outcome) button", has_text="failed").click()
    page.locator("section:has(#facet-model) button", has_text="opus").click()
    failed = [view for view in views if view.outcome == "failed"]
    both = [view for view in failed if view.model == "claude-opus-5"]
    assert shown(page) == len(both)
    assert facet(page, "model") == Counter(view.model for view in failed), "a facet ignores its own filter"
    assert facet(page, "outcome") == outcomes([view for view in views if view.model == "claude-opus-5"])
    assert page.get_by_role("status").inner_text().startswith(f"{len(both)} of 500 streams")
    assert page.evaluate("location.hash") == "#outcome=failed&model=claude-opus-5"
    again = show(page_of(*views), "outcome=failed&model=claude-opus-5")
    assert shown(again) == len(both)
    page.go_back()
    until(page, "location.hash", "#outcome=failed")
    assert shown(page) == len(failed)
    page.get_by_role("button", name="Clear filters").click()
    assert shown(page) == 500


def test_the_search_finds_names_and_ids(show: Open) -> None:
    views = FLEETS[500]
    page = show(page_of(*views))
    page.keyboard.press("/")
    page.keyboard.type("req_00000123")
    assert shown(page) == 1
    page.get_by_role("searchbox").fill("OPUS truncated")
    expected = sum(1 for view in views if view.model == "claude-opus-5" and view.reason == "truncated")
    assert shown(page) == expected > 0
    page.get_by_role("searchbox").fill(views[7].key)
    assert shown(page) == 1
    page.get_by_role("searchbox").fill("no such thing")
    assert page.locator(".none").inner_text() == "No stream matches the filters."


def test_keys_alone(show: Open) -> None:
    views = FLEETS[500]
    page = show(page_of(*views))
    failed = [view for view in views if view.outcome == "failed"]
    page.keyboard.press("f")
    assert shown(page) == len(failed)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("End")
    until(page, FOCUSED, str(len(failed) - 1))
    page.keyboard.press("Home")
    until(page, FOCUSED, "0")
    page.keyboard.press("ArrowDown")
    until(page, FOCUSED, "1")
    page.keyboard.press("Enter")
    assert page.locator(".lanes > li.opened").get_attribute("aria-posinset") == "2"
    assert failed[1].key in page.evaluate("decodeURIComponent(location.hash)")
    page.keyboard.press("Escape")
    assert page.locator(".more").count() == 0
    page.keyboard.press("Escape")
    assert shown(page) == 500
    page.keyboard.press("?")
    assert page.locator(".keys").is_visible()


def test_the_sort_orders_all_streams(show: Open) -> None:
    views = FLEETS[500]
    page = show(page_of(*views))
    page.get_by_label("Sort").select_option("duration")
    longest = max(views, key=lambda view: view.duration)
    assert page.locator(".lanes > li [data-at='0'] .result small").inner_text().endswith(f"{longest.duration:.2f} s")
    page.get_by_role("button", name="Descending").click()
    shortest = min(views, key=lambda view: view.duration)
    assert page.locator(".lanes > li [data-at='0'] .result small").inner_text().endswith(f"{shortest.duration:.2f} s")
    assert page.evaluate("location.hash") == "#sort=duration"


def test_a_drag_over_the_chart_zooms(show: Open) -> None:
    views = FLEETS[500]
    page = show(page_of(*views))
    box = page.locator(".plot svg").bounding_box()
    left, inner = box["x"] + 34, box["width"] - 34
    page.mouse.move(left + inner * 0.25, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(left + inner * 0.5, box["y"] + 40, steps=3)
    page.mouse.up()
    until(page, "location.hash.includes('from=')", True)
    low, high = (float(value) for value in re.findall(r"=([\d.]+)", page.evaluate("location.hash")))
    starts = [(view.start - views[0].start) / 1e9 for view in views]
    assert (low, high) == (pytest.approx(starts[-1] * 0.25, rel=0.02), pytest.approx(starts[-1] * 0.5, rel=0.02))
    assert shown(page) == sum(1 for at in starts if low <= at <= high)
    page.locator(".plot").focus()
    page.keyboard.press("+")
    assert shown(page) < sum(1 for at in starts if low <= at <= high)
    page.get_by_role("button", name="Whole time").click()
    assert shown(page) == 500


@pytest.mark.parametrize("outcome", ["completed", "failed", "closed"])
def test_an_opened_lane_has_the_words_of_explain(show: Open, outcome: str) -> None:
    view = next(view for view in FLEETS[500] if view.outcome == outcome)
    page = show(page_of(*FLEETS[500]), f"open={view.key}")
    moments = page.locator(".moments li").evaluate_all(
        "all => all.map(one => [...one.children].map(part => part.textContent))"
    )
    texts = page.locator(".story section:nth-child(2) > div").all()
    printed = [line.text.strip() for line in lines_of(explanation(view))]
    begin, end = printed.index("Timeline") + 1, printed.index("Ending")
    assert [f"{at}  {what}" for at, what in moments] == [line for line in printed[begin:end] if line]
    rest = [line for part in texts for line in part.locator("h3, p").all_inner_texts()]
    assert rest == [line for line in printed[end:] if line]
    assert page.locator(".row[aria-expanded=true]").get_attribute("aria-label").startswith(f"{view.model}: {outcome}")
    page.get_by_role("button", name="All attributes of the span").click()
    assert page.locator(".attributes dt").all_inner_texts() == sorted(view.attributes)


@pytest.mark.parametrize("width", [390, 700, 1100, 1440, 2200])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_scrolls_sideways(show: Open, width: int, dark: bool) -> None:
    """Limit, request ID, and advice of a broken stream are within its row."""
    views = FLEETS[500]
    page = show(
        page_of(*views),
        f"outcome=failed&limit=idle:2s&open={next(v.key for v in views if v.limit_match == 'idle:2s')}",
        width=width,
        dark=dark,
    )
    assert page.evaluate(SIDEWAYS) == 0
    picture = page.locator(".picture").bounding_box()
    for part in page.locator(".cause").first.locator("> *").all():
        box = part.bounding_box()
        assert box["width"] > 20
        assert picture["x"] <= box["x"] < box["x"] + box["width"] <= picture["x"] + picture["width"] + 1
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(251, 250, 248)")


@pytest.mark.parametrize("width", [390, 700, 1440])
@pytest.mark.parametrize("number", [2, 5, 12])
def test_attempts_do_not_overlap(show: Open, width: int, number: int) -> None:
    refused = [attempt(n, (n - 1) * 0.02, (n - 1) * 0.02 + 0.01, 529) for n in range(1, number + 1)]
    failed = span(
        {**CUT, "http.response.status_code": 529, "claude.stream.attempt.count": number}, seconds=number * 0.02
    )
    views = samples.views(failed, *refused, span(HEALTHY, [delta(0.5)], start=1.0, seconds=9.0, span_id="f" * 16))
    page = show(page_of(*views), "axis=shared", width=width)
    boxes = [box.bounding_box() for box in page.locator(".row [class='attempt']").all()]
    track = page.locator(".track").first.bounding_box()
    assert len(boxes) in (number, 1)
    assert all(one["x"] + one["width"] < other["x"] for one, other in pairwise(boxes))
    assert boxes[-1]["x"] + boxes[-1]["width"] <= track["x"] + track["width"]
    sign = page.locator(".track .sign").first.bounding_box()
    assert boxes[-1]["x"] + boxes[-1]["width"] <= sign["x"] + 4


def test_the_lane_of_a_continued_stream(show: Open) -> None:
    resumed = {**HEALTHY, "claude.stream.attempt.count": 2, "claude.stream.recovery.action": "resume"}
    decided = ("claude.stream.retry", 1.0, {
        "claude.stream.retry.decision": "resume", "claude.stream.retry.blocked_by": "none",
        "claude.stream.attempt.number": 1,
    })  # fmt: skip
    seam = ("claude.stream.resume", 3.5, {"claude.stream.resume.seam": "anchor", "claude.stream.attempt.number": 2})
    texts = [delta(0.4), delta(0.99), delta(3.5), delta(3.8)]
    broken = {
        "claude.stream.abort.reason": "connection_closed",
        "claude.stream.abort.limit_match": "idle:60s",
        "claude.stream.abort.suspects": ["nginx"],
        "claude.stream.abort.advice": "Raise it.",
        "claude.stream.request_id": "req_broken",
    }
    view = samples.view(
        span(resumed, [*texts, decided, seam], seconds=4.0),
        attempt(1, 0.0, 1.0, 200, **broken),
        attempt(2, 2.5, 4.0, 200),
    )
    page = show(page_of(view, *FLEETS[23]), f"open={view.key}")
    lane = page.locator(".close-up .track")
    box = lane.bounding_box()
    share = lambda part: round((part["x"] + part["width"] / 2 - box["x"]) / (box["width"] - 18), 2)  # noqa: E731
    assert share(lane.locator("path.broken").bounding_box()) == 0.25
    assert share(lane.locator("path.seam.fits").bounding_box()) == pytest.approx(0.875, abs=0.01)
    assert lane.locator(".band").count() == 2
    assert lane.locator(".band.later, .gap.seam").count() == 2
    assert lane.locator("[class='attempt']").count() == 0
    assert page.locator(".requests li").all_inner_texts()[0] == (
        "request 1: 200, connection closed, consistent with idle:60s (nginx), 1.00 s req_broken"
    )
    cause = page.locator(".opened .cause > *").all_inner_texts()
    assert cause == ["resumed after a cut at idle:60s (nginx)", "req_broken", "Raise it."]
    assert facet(page, "limit")["idle:60s"] == 1
    label = page.locator(".row[aria-expanded=true]").get_attribute("aria-label")
    assert "2 HTTP requests, continued" in label


def test_streams_that_lie_far_apart_begin_at_zero(show: Open) -> None:
    far = samples.views(samples.healthy(), samples.healthy(start=3600.0, span_id="1" * 16))
    page = show(page_of(*far))
    bands = [band.bounding_box()["x"] for band in page.locator(".row .band").all()]
    assert bands[0] == bands[1]
    page.get_by_label("Axis").select_option("shared")
    bands = [band.bounding_box()["x"] for band in page.locator(".row .band").all()]
    assert bands[1] > bands[0] + 300


def test_pointing_at_an_event_describes_it(show: Open) -> None:
    (view,) = samples.views(span(HEALTHY, [delta(0.5, **{"claude.stream.event.gap": 0.1})]))
    page = show(page_of(view))
    box = page.locator(".close-up .track").bounding_box()
    page.mouse.move(box["x"] + (box["width"] - 18) / 4, box["y"] + 20)
    assert page.locator("#tip").inner_text() == "0.50 s: text delta, 4 characters, after 100 ms"


def test_hostile_names_do_nothing(show: Open) -> None:
    hostile = {name: EVIL if isinstance(found, str) else found for name, found in CUT.items()}
    hostile |= {EVIL: EVIL, "claude.stream.abort.suspects": [EVIL] * 9, "claude.stream.request_id": EVIL}
    events = [
        ("claude.stream.retry", 0.1, {"claude.stream.retry.reason": EVIL}),
        (f"claude.stream.{EVIL}", 0.2, {}),
        delta(0.3, EVIL),
    ]
    view = samples.view(span(hostile, events, name=f"chat {EVIL}"))
    huge = "<b>" + "x" * 1_000_000
    evil = replace(view, title=EVIL, note=EVIL, service=EVIL)
    views = [evil, replace(view, key="2", title=huge, note=huge, service=huge), *FLEETS[23]]
    for width in (390, 1440):
        page = show(page_of(*views, title=EVIL), f"open={evil.key}&reason={EVIL}".replace("&lt;", ""), width=width)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, b > b, main script").count() == 0
        assert page.evaluate(SIDEWAYS) == 0
        assert "<script>" in page.locator("h1").inner_text()
        assert page.evaluate(ELEMENTS) < MOST_ELEMENTS


@pytest.mark.slow
def test_ten_thousand_streams(show: Open) -> None:
    views = fleet(10_000)
    began = time.process_time()
    text = page_of(*views)
    assert time.process_time() - began < 10
    assert len(text) < 15_000_000
    page = show(text)
    assert page.cpu_time() < 2
    assert facet(page, "outcome") == outcomes(views)
    assert shown(page) == 10_000
    for at in (0.1, 0.5, 1.0):
        page.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {at})")
        page.wait_for_timeout(50)
        assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
        assert page.locator(".lanes > li").count() > 5
    page.keyboard.press("f")
    assert shown(page) == outcomes(views)["failed"]
    page.get_by_role("searchbox").fill("req_00009")
    assert shown(page) == sum(1 for view in views[9000:] if view.outcome == "failed")


def test_paper_has_the_first_rows(show: Open) -> None:
    page = show(page_of(*FLEETS[500]))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".lanes.printed > li").count() == 60
    assert page.get_by_text("The first 60 of 500 streams.").is_visible()
    assert not page.locator(".facets").is_visible()
    assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".lanes.printed").count() == 0


def test_the_built_page_is_up_to_date(require_tool, tmp_path: Path) -> None:
    """The sources build to the same bytes with the locked versions, and their types are right."""
    npm = require_tool("npm", "npm")
    web = Path(__file__).parents[3] / "src" / "otel_claude_stream" / "cli" / "view" / "web"
    copy = shutil.copytree(web, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "check"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report.html").read_bytes() == (web.parent / "report.html").read_bytes()
