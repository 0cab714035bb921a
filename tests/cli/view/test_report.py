from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, healthy, span

from otel_claude_stream.cli.view.lanes import Axis, axis_labels, axis_over, text_alternative
from otel_claude_stream.cli.view.report import MOST_LANES, Totals, page
from otel_claude_stream.cli.view.summary import summarise

EVIL = "<script>alert('x')</script>\"'&{{script}}"
VOID = {"meta", "br", "link", "input", "img", "hr"}


class Structure(HTMLParser):
    """Checks that elements are nested properly, and collects their tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text: str) -> list[tuple[str, dict[str, str | None]]]:
    found = Structure()
    found.feed(text)
    found.close()
    assert found.open == []
    return found.tags


def test_the_whole_page() -> None:
    views = samples.views(healthy(), span(CUT, [delta(0.1), delta(0.2)], start=1.0, seconds=2.2, span_id="1" * 16))
    text = page(views, title="Streams")
    tags = parsed(text)
    labels = [attrs["aria-label"] for tag, attrs in tags if tag == "summary" and "aria-label" in attrs]
    assert labels == [
        "claude-sonnet-5: completed, first token after 400 ms; 2.00 s in all.",
        ("claude-sonnet-5: failed (connection closed), first token after 400 ms, silence for 2.00 s; 2.20 s in all."),
    ]
    assert "Raise the idle limit." in text
    assert "idle:2s (nginx, AWS ALB)" in text
    assert "{{" not in text


def test_self_contained() -> None:
    text = page(samples.views(healthy()), title="Streams")
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)|url\(|@import|https?://", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_everything_from_telemetry_is_escaped() -> None:
    hostile = {name: EVIL if isinstance(found, str) else found for name, found in CUT.items()}
    hostile |= {EVIL: EVIL, "claude.stream.abort.suspects": [EVIL], "claude.stream.request_id": EVIL}
    retry = ("claude.stream.retry", 0.1, {"claude.stream.retry.reason": EVIL, "claude.stream.request_id": EVIL})
    events = [retry, (f"claude.stream.{EVIL}", 0.2, {}), delta(0.3, EVIL)]
    view = samples.view(span(hostile, events, name=f"chat {EVIL}"))
    text = page([replace(view, title=EVIL, note=EVIL, service=EVIL, version=EVIL)], title=EVIL)
    parsed(text)
    assert text.count("<script") == 1
    assert "alert('x')" not in text


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [span(name="", seconds=0.0)],
        [span({**HEALTHY, "claude.stream.outcome": "exploded"}, [delta(9.0)], seconds=-1.0)],
        [span({**CUT, "http.response.status_code": 529}, seconds=0.001)],
        [span({**HEALTHY, "claude.stream.event.dropped": 3}, [delta(0.1)])],
        [healthy(start=-1e9)],
    ],
)
def test_unusual_data(spans) -> None:
    assert parsed(page(samples.views(*spans), title="Unusual"))


def test_ten_thousand_events_stay_small() -> None:
    text = page(samples.views(span(HEALTHY, [delta(n / 5000) for n in range(10_000)])), title="Many")
    parsed(text)
    assert len(text) < 800_000


def test_the_number_of_lanes_is_limited() -> None:
    views = samples.views(*(span(HEALTHY, span_id=f"{n + 1:016x}") for n in range(MOST_LANES + 1)))
    text = page(views, title="Many")
    assert text.count('<li><details><summary aria-label="') == MOST_LANES
    assert text.count('<th scope="row"') == MOST_LANES + 1
    assert f"last {MOST_LANES} of {MOST_LANES + 1} streams" in text


def test_internal_errors_are_reported() -> None:
    assert "counted 2 internal errors" in page((), title="Unusual", totals=Totals(summarise(()), internal_errors=2))


@pytest.mark.parametrize("length", [0.001, 0.3, 1.0, 7.3, 59.0, 3600.0, 1e6])
def test_axis(length: float) -> None:
    labels = axis_labels(Axis(0.0, length))
    assert 1 <= len(labels) <= 14
    assert all(0 <= at <= length * 1.001 for at, _ in labels)


def test_attempts_and_gaps_as_text() -> None:
    retry = ("claude.stream.retry", 0.2, {"http.response.status_code": 529, "claude.stream.retry.delay": 0.5})
    view = samples.view(span({**HEALTHY, "claude.stream.attempt.count": 2}, [retry, delta(1.8)]))
    assert text_alternative(view) == (
        "claude-sonnet-5: completed, 2 HTTP requests, first token after 400 ms, "
        "waiting for the first token for 1.75 s; 2.00 s in all."
    )
    text = page([view], title="Retried")
    assert "request 1: 529" in text
    assert axis_over([view]).length == 2.0


def test_the_end_marker_is_behind_the_box_of_a_failed_request() -> None:
    """The box is wider than the few milliseconds that the request took."""
    early = span({**CUT, "http.response.status_code": 529}, seconds=0.01)
    text = page(samples.views(early, healthy(span_id="1" * 16)), title="Refused")
    assert 'class="end failed behind" style="left:max(0.5000%,0.0000% + 27px)"' in text
    late = page(samples.views(early), title="Refused")
    assert '<div class="attempt" style="right:0.0000%;width:100.0000%"' in late
    assert 'class="end failed behind" style="left:100.0000%"' in late
