"""The page of a running application in Chromium: what it shows, and that it agrees with itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import cli_samples as samples
from tests.support.live_pages import TITLE, open_stream, serving, state
from tests.support.report_pages import fleet, page_of

from otel_claude_stream.cli import loopback
from otel_claude_stream.cli.view.open_streams import OpenStream
from otel_claude_stream.testing import End, FakeAPI, Hang, Script

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Open = Callable[..., Any]
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\x1b[31m\u202e\r\n\ndata: x\n\n"
HANGING = (
    open_stream(1, "silent for 41.0 s, in thinking", hangs=41.0, area="silent", lasts=41.0, stall="30s"),
    open_stream(2, "back-off 3.00 s, attempt 2 after overloaded", hangs=2.0, area="backoff", lasts=2.0),
    open_stream(3, "no response for 8.00 s", hangs=8.0, area="asked", lasts=8.0),
    open_stream(4, "pings only for 12.0 s, in text", hangs=12.0, area="pings", lasts=12.0, stall="10s"),
)
APP = """
import sys, threading
import anthropic
def call(name, url):
    with anthropic.Anthropic(api_key="none", base_url=url, max_retries=2, timeout=60) as client:
        asked = [{"role": "user", "content": "a secret question"}]
        try:
            with client.messages.stream(model=name, max_tokens=9, messages=asked) as stream:
                for _ in stream.text_stream:
                    pass
        except Exception as error:
            print(type(error).__name__, flush=True)
calls = [threading.Thread(target=call, args=one.split("=", 1)) for one in sys.argv[1:]]
[one.start() for one in calls]
[one.join() for one in calls]
sys.exit(3)
"""


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Open a page. The test fails on an error of the script, a message on the console, or a request to elsewhere."""
    problems: list[str] = []
    contexts = []

    def opened(url: str, *, width: int = 1440, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", locale="en-GB"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith(url.partition("#")[0]) or problems.append(request.url)
        )
        page.goto(url)
        page.problems = problems
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def until(holds: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status(page: Any) -> str:
    return page.get_by_role("region", name="Now").get_by_role("status").inner_text()


def open_rows(page: Any) -> list[str]:
    """Return the texts of the open streams, with a space between the parts."""
    items = page.get_by_role("list", name="Open streams").get_by_role("listitem")
    return [re.sub(r"\s+", " ", text) for text in items.all_inner_texts()]


def lanes(page: Any) -> list[str]:
    """Return the labels of the streams that have ended."""
    return [row.get_attribute("aria-label") for row in page.locator(".lanes .row").all()]


def figures(page: Any) -> dict[str, Any]:
    """Return all numbers of the page at one moment."""
    page.wait_for_selector(".pulse")  # the script draws it after the page is loaded
    return page.evaluate("""() => ({
        status: document.querySelector('.pulse').textContent,
        open: document.querySelectorAll('.open-streams li:not(.rest)').length,
        card: +document.querySelector('.card .figure').textContent,
        lanes: +(document.querySelector('.lanes > li')?.ariaSetSize ?? 0),
        failed: +([...document.querySelectorAll('.outcomes li')].find(one => one.textContent.includes('failed'))
            ?.querySelector('b').textContent ?? 0),
        subtitle: parseInt(document.querySelector('header p').textContent) || 0,
    })""")


def test_open_streams_become_lanes(show: Open) -> None:
    views = samples.views(samples.healthy(), samples.span(samples.CUT, start=1.0, span_id="1" * 16))
    with serving() as (server, feed):
        feed.publish(state(), TITLE)
        page = show(server.url)
        until(lambda: status(page) == "Live: 0 open, 0 ended, 0 failed")
        assert page.locator(".none").inner_text() == "No stream has ended yet."
        feed.publish(state(streams=HANGING), TITLE)
        until(lambda: "4 open" in status(page))
        assert status(page) == "Live: 4 open, 4 without progress, 0 ended, 0 failed"
        assert page.title() == f"(4 open) {TITLE}"
        rows = open_rows(page)
        assert [row.split()[0] for row in rows] == ["claude-1", "claude-4", "claude-3", "claude-2"]
        assert "silent for 41.0 s, in thinking stall 30s 50.0 s req_0001" in rows[0]
        assert "back-off 3.00 s, attempt 2 after overloaded 50.0 s req_0002" in rows[3]
        shares = page.locator(".grows .area.silent").evaluate("one => one.clientWidth / one.parentElement.clientWidth")
        assert shares == pytest.approx(41 / 50, abs=0.02)
        feed.publish(state(*views, streams=HANGING[:1]), TITLE)
        until(lambda: "2 ended" in status(page))
        assert status(page) == "Live: 1 open, 1 without progress, 2 ended, 1 failed"
        assert len(open_rows(page)) == 1
        assert [label.split(",")[0] for label in lanes(page)] == [
            "claude-sonnet-5: completed", "claude-sonnet-5: failed (connection closed)",
        ]  # fmt: skip
        assert page.locator(".lanes .tick.text").count() == 1, "the events of the lane"
        feed.publish(state(*views), TITLE, 3)
        until(lambda: "ended with exit code 3" in status(page))
        assert page.title() == TITLE
    page.get_by_role("button", name=re.compile("failed")).last.click()
    assert page.get_by_text("Raise the idle limit.").last.is_visible(), "the page works after the end of the server"


def test_all_numbers_agree_at_every_moment(show: Open) -> None:
    views = fleet(60)
    with serving() as (server, feed):
        feed.publish(state(), TITLE)
        page = show(server.url)
        until(lambda: status(page).startswith("Live"))
        seen = set()
        for n in range(0, 61, 3):
            feed.publish(state(*views[:n], streams=tuple(map(open_stream, range(60 - n)))), TITLE)
            for _ in range(4):
                found = figures(page)
                ended, failed = (int(re.search(rf"(\d+) {word}", found["status"])[1]) for word in ("ended", "failed"))
                counted = int(re.search(r"(\d+) open", found["status"])[1])
                assert (found["card"], found["lanes"], found["subtitle"]) == (ended, ended, ended)
                assert found["failed"] == failed == sum(1 for view in views[:ended] if view.outcome == "failed")
                assert found["open"] == min(counted, 50)
                assert ended + counted in (60, 0)
                seen.add(ended)
                time.sleep(0.03)
        assert len(seen) > 3


def test_new_streams_move_neither_the_view_nor_the_active_lane(show: Open) -> None:
    views = fleet(60)
    late = [replace(view, key=f"{view.key}x", start=view.start - 1) for view in views[:20]]
    with serving() as (server, feed):
        feed.publish(state(*views), TITLE)
        page = show(f"{server.url}#open={views[30].key}")
        until(lambda: page.locator(".lanes > li.opened").count() == 1)
        page.locator("li.opened .row").focus()
        page.locator("li.opened").evaluate("one => scrollBy({ top: one.getBoundingClientRect().top - 60 })")
        page.wait_for_timeout(300)
        before = page.locator("li.opened").bounding_box()["y"]
        both = sorted([*views, *late], key=lambda view: view.start)
        feed.publish(state(*both, streams=HANGING), TITLE)
        until(lambda: page.locator("li.opened").get_attribute("aria-posinset") == str(both.index(views[30]) + 1))
        page.wait_for_timeout(300)
        assert page.locator("li.opened").bounding_box()["y"] == pytest.approx(before, abs=2)
        assert views[30].key in page.evaluate("decodeURIComponent(location.hash)")
        page.get_by_role("searchbox").fill("opus")
        feed.publish(state(*both), TITLE)
        page.wait_for_timeout(600)
        assert page.evaluate("document.activeElement.type") == "search", "the search keeps the focus"


def test_filters_stay_and_count_new_streams(show: Open) -> None:
    views = fleet(100)
    with serving() as (server, feed):
        feed.publish(state(*views[:50]), TITLE)
        page = show(f"{server.url}#outcome=failed")
        expected = [sum(1 for view in views[:n] if view.outcome == "failed") for n in (50, 100)]
        until(lambda: figures(page)["lanes"] == expected[0])
        feed.publish(state(*views), TITLE)
        until(lambda: figures(page)["lanes"] == expected[1])
        feed.publish(state(*views[90:]), TITLE)
        until(lambda: figures(page)["subtitle"] == 10)
        assert figures(page)["card"] == sum(1 for view in views[90:] if view.outcome == "failed")


def test_a_lost_connection_is_shown_and_made_up_for(show: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the same address that forgets its reader has all streams for it again."""
    views = fleet(30)
    monkeypatch.setattr(loopback.secrets, "token_urlsafe", lambda _: "t")
    with serving() as (server, feed):
        feed.publish(state(*views, streams=HANGING), TITLE)
        page = show(server.url)
        until(lambda: figures(page)["lanes"] == 30)
        port = server.server_port
    until(lambda: status(page).startswith("No connection"))
    assert (figures(page)["lanes"], len(open_rows(page))) == (30, 4), "what was known last"
    with serving(port) as (_, feed):
        feed.publish(state(*views[10:]), TITLE)
        until(
            lambda: status(page) == f"Live: 0 open, 20 ended, {sum(v.outcome == 'failed' for v in views[10:])} failed"
        )
        assert figures(page)["lanes"] == 20
    until(lambda: status(page).startswith("No connection"))
    refused = [text for text in page.problems if "ERR_CONNECTION_REFUSED" in text or "ERR_INCOMPLETE" in text]
    assert page.problems == refused, "the browser itself reports that the server is gone"
    page.problems.clear()


@pytest.mark.parametrize("width", [390, 860, 1440, 2200])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_scrolls_sideways(show: Open, width: int, dark: bool) -> None:
    long = open_stream(9, "silent for 41.0 s, in " + "x" * 300, model="m" * 300, request_id="r" * 300, hangs=1.0)
    with serving() as (server, feed):
        feed.publish(state(*fleet(20), streams=(*HANGING, long)), TITLE)
        page = show(server.url, width=width, dark=dark)
        until(lambda: len(open_rows(page)) == 5)
        assert page.evaluate(SIDEWAYS) == 0
        frame = page.locator(".open-streams").bounding_box()
        for part in page.locator(".open-streams li > *").all():
            box = part.bounding_box()
            assert frame["x"] <= box["x"] <= box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
        assert page.locator(".doing b").first.evaluate("one => getComputedStyle(one).color") != page.locator(
            ".title b"
        ).first.evaluate("one => getComputedStyle(one).color"), "a stream without progress is marked"


def test_hostile_names_are_text(show: Open) -> None:
    hostile = OpenStream(
        EVIL, EVIL, EVIL, None, 1.0, 5.0, f"silent in {EVIL}", 5.0, EVIL, area="silent", lasts=5.0, stall=EVIL
    )
    huge = replace(hostile, key="2", title="<b>" + "x" * 1_000_000)
    attributes = {name: EVIL if isinstance(value, str) else value for name, value in samples.CUT.items()}
    view = samples.view(samples.span(attributes, name=f"chat {EVIL}"))
    with serving() as (server, feed):
        feed.publish(state(replace(view, service=EVIL, title=EVIL), streams=(hostile, huge)), f"{TITLE} {EVIL}")
        page = show(server.url, width=700)
        until(lambda: page.locator(".open-streams li").count() == 2)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, b > b, main script").count() == 0
        assert page.evaluate(SIDEWAYS) == 0
        texts = page.locator(".open-streams").inner_text() + page.locator("h1").inner_text() + page.title()
        assert "<script>window.hacked=1</script>" in texts
        assert "\\x1b[31m\\u202e\\r\\n" in texts
        assert not set(texts) & {"\x1b", "\u202e", "\r"}


def test_a_page_of_another_site_cannot_read_the_events(browser: Any) -> None:
    """With the whole URL, which it does not have."""
    with serving() as (server, feed), serving() as (other, _):
        feed.publish(state(*fleet(3)), TITLE)
        context = browser.new_context(bypass_csp=True)
        page = context.new_page()
        page.goto(other.url)
        for path in ("", "events"):
            read = f"fetch('{server.url}{path}').then(one => one.text(), error => 'refused')"
            assert page.evaluate(read) == "refused"
        framed = page.evaluate(
            """url => new Promise(done => {
                const frame = document.createElement('iframe');
                frame.onload = () => done(frame.contentDocument === null ? 'closed' : frame.contentDocument.title);
                frame.src = url;
                document.body.append(frame);
            })""",
            server.url,
        )
        assert framed in ("closed", "")
        context.close()


def test_a_saved_report_opens_no_connection(browser: Any, tmp_path: Path) -> None:
    """The policy in the file forbids it, even if its data name one."""
    from otel_claude_stream.cli.view import report

    with serving() as (server, feed):
        feed.publish(state(*fleet(3)), TITLE)
        path = tmp_path / "report.html"
        text = report._filled(TITLE, "", f'{{"live": "{server.url}events", "title": "{TITLE}"}}')
        path.write_text(text, encoding="utf-8")
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(
            "addEventListener('securitypolicyviolation', one => { window.barred = one.violatedDirective })"
        )
        page.goto(path.as_uri())
        until(lambda: page.evaluate("window.barred") == "connect-src")
        assert page.locator(".lanes > li").count() == 0
        context.close()
    assert report.POLICY.search(page_of(*fleet(1)))


@pytest.mark.slow
def test_an_application_from_its_first_stream_to_its_end(show: Open, tmp_path: Path) -> None:
    """A stream that hangs, a retry, a stall and an end, read from the page, and a signal that ends the application."""
    answer = Script.message("The count was wrong, and the sea went quiet.", gap=0.05, input_tokens=40, output_tokens=50)
    routes = {
        "hanging": answer.cut_after(5, Hang(60.0)),
        "retried": [Script.http_error(529, headers=[("retry-after", "6")]), answer],
        "stalled": answer.insert_pause(6, 8.0),
        "ended": answer.cut_after(9, End()),
    }
    (tmp_path / "app.py").write_text(APP)
    with FakeAPI(routes) as api:
        app = [sys.executable, str(tmp_path / "app.py"), *(f"{name}={api.url_for(name)}" for name in routes)]
        env = {**os.environ, "OTEL_CLAUDE_STREAM_STALL_THRESHOLDS": "2s,4s", "OTEL_SERVICE_NAME": "mine"}
        command = [sys.executable, "-m", "otel_claude_stream", "run", "--web", "--", *app]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "Page: " in line)
            page = show(re.search(r"Page: (http://127\.0\.0\.1:\d+/[\w-]{32}/)\n", line)[1])
            shown: set[str] = set()
            until(lambda: shown.update(open_rows(page)) or "3 ended" in status(page), 240)
            found = "\n".join(shown)
            assert re.search(r"hanging .*silent for [\d.]+ s, in text", found)
            assert re.search(r"stalled .*silent for [\d.]+ s, in text stall 2s", found)
            assert re.search(r"retried .*back-off [\d.]+ s, attempt 2 after overloaded", found)
            assert status(page) == "Live: 1 open, 1 without progress, 3 ended, 1 failed"
            (last,) = open_rows(page)
            assert re.search(r"^hanging .*silent for [\d.]+ s, in text stall 4s", last)
            labels = sorted(label.partition(",")[0] for label in lanes(page))
            assert labels == ["ended: failed (truncated)", "retried: completed", "stalled: completed"]
            assert page.locator("h1").inner_text() == "Claude streams of mine"
            process.send_signal(signal.SIGTERM)
            until(lambda: "ended with exit code 143" in status(page))
            assert process.wait(30) == 143
            assert "Traceback" not in process.stderr.read()
