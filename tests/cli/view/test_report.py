"""The data of the report, and the file that holds it. test_page.py opens the page in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta, healthy, span
from tests.support.report_pages import column, data_of, fleet, page_of

from otel_claude_stream.cli.view.explanation import explanation, sections
from otel_claude_stream.cli.view.report import title_of
from otel_claude_stream.cli.view.summary import summarise

EVIL = "<script>alert('x')</script>\"'&{{script}}<!--data-->\x1b[31m\u202e\r\n"
SEEN = "<script>alert('x')</script>\"'&{{script}}<!--data-->\\x1b[31m\\u202e\\r"
TWO = (healthy(), span(CUT, [delta(0.1), delta(0.2)], start=1.0, seconds=2.2, span_id="1" * 16))


def test_the_columns_of_all_streams() -> None:
    head, lanes = data_of(page_of(*samples.views(*TWO), title="Two"))
    assert (head["title"], head["notes"]) == ("Two", [])
    assert (
        head["subtitle"]
        == "2 streams over 3.20 s · chat-worker · 21 September 2026, 14:13 UTC · otel-claude-stream 1.2.3"
    )
    assert head["first"] == samples.START / 1e6
    assert head["start"] == [0.0, 1.0]
    texts = {name: column(head, name) for name in head["texts"]}
    key = samples.TRACE + "/"
    assert texts == {
        "title": ["", ""],
        "note": ["", ""],
        "outcome": ["completed", "failed"],
        "reason": ["", "connection_closed"],
        "origin": ["", "intermediary"],
        "phase": ["finishing", "streaming"],
        "limit": ["", "idle:2s"],
        "suspects": ["", "nginx, AWS ALB"],
        "cuts": ["", ""],
        "advice": ["", "Raise the idle limit."],
        "model": ["claude-sonnet-5"] * 2,
        "server": ["127.0.0.1:4711"] * 2,
        "helper": ["", ""],
        "service": ["chat-worker"] * 2,
        "recovery": ["", ""],
        "policy": ["", ""],
        "trace": [key + "00f067aa0ba902b7", key + "1" * 16],
        "requests_ids": ["", ""],
    }
    assert head["figures"] == {
        "duration": [2.0, 2.2],
        "ttft": [0.4, 0.4],
        "silence": [0.4, 2.0],
        "requests": [1, 1],
        "input": [412, 412],
        "output": [96, None],
    }
    assert len(lanes) == 2


def test_the_lane_of_one_stream() -> None:
    (view,) = samples.views(TWO[1])
    head, (lane,) = data_of(page_of(view))
    assert head["kinds"] == [["text", "content_block_delta"]]
    assert lane["marks"] == [[0.1, 0, 4, None], [0.2, 0, 4, None]]
    assert (lane["headers"], lane["status"], lane["gaps"]) == (0.05, 200, [[0.2, 2.2, "silent"]])
    assert (lane["attempts"], lane["seams"]) == ([], [])
    story = explanation(view)
    assert lane["story"] == [[moment.at, moment.what, moment.kind] for moment in story.timeline]
    assert lane["sections"] == [[heading, list(paragraphs)] for heading, paragraphs in sections(story)]
    assert ["claude.stream.abort.suspects", "nginx, AWS ALB"] in lane["attributes"]
    assert len(lane["attributes"]) == len(CUT)


def test_attempts_have_all_that_is_known_of_them() -> None:
    retry = ("claude.stream.retry", 0.2, {"http.response.status_code": 529, "claude.stream.retry.delay": 0.5})
    view = samples.view(span({**HEALTHY, "claude.stream.attempt.count": 2}, [retry, delta(1.8)]))
    head, (lane,) = data_of(page_of(view))
    first, second = lane["attempts"]
    assert (first["number"], first["status"], first["delay"], first["start"], first["end"]) == (1, 529, 0.5, 0.0, 0.2)
    assert (second["number"], second["start"], second["end"]) == (2, 0.7, 2.0)
    assert column(head, "recovery") == ["retried by the SDK"]


def test_a_joined_mark_has_its_count_and_span() -> None:
    joined = delta(
        0.1, **{"claude.stream.event.coalesced": 7, "claude.stream.event.duration": 0.6, "claude.stream.event.gap": 0.1}
    )
    _, (lane,) = data_of(page_of(*samples.views(span(HEALTHY, [joined]))))
    assert lane["marks"] == [[0.1, 0, 4, 0.1, 7, 0.6]]


def test_self_contained() -> None:
    text = page_of(*samples.views(healthy()))
    assert not re.search(r"(src|href)\s*=\s*[\"'`](?!#)|url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    hashes = {
        name: base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for name, part in (("script", script), ("style", style))
    }
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "Copyright (c) 2015-present Jason Miller" in script


def test_nothing_from_telemetry_is_markup() -> None:
    hostile = {name: EVIL if isinstance(found, str) else found for name, found in CUT.items()}
    hostile |= {EVIL: EVIL, "claude.stream.abort.suspects": [EVIL], "claude.stream.request_id": EVIL}
    retry = ("claude.stream.retry", 0.1, {"claude.stream.retry.reason": EVIL, "claude.stream.request_id": EVIL})
    events = [retry, (f"claude.stream.{EVIL}", 0.2, {}), delta(0.3, EVIL)]
    view = samples.view(span(hostile, events, name=f"chat {EVIL}"))
    text = page_of(replace(view, title=EVIL, note=EVIL, service=EVIL, version=EVIL), title=EVIL)
    assert text.count("<script") == 2
    assert "alert('x')" not in text
    assert not set(text) & {"\x1b", "\u202e", "\r"}
    head, (lane,) = data_of(text)
    assert column(head, "title") == [f"{SEEN}\\n"]
    assert column(head, "reason") == [SEEN + "\\n"]
    shown = str((head, lane))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


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
    _, lanes = data_of(page_of(*samples.views(*spans), title="Unusual"))
    assert len(lanes) == len(spans)


def test_ten_thousand_events_stay_small() -> None:
    text = page_of(*samples.views(span(HEALTHY, [delta(n / 5000) for n in range(10_000)])))
    assert len(data_of(text)[1][0]["marks"]) == 10_000
    assert len(text) < 200_000


def test_texts_are_shared() -> None:
    views = fleet(200, events=2)
    head, lanes = data_of(page_of(*views))
    assert len(lanes) == 200
    assert sorted(head["texts"]["outcome"][0]) == ["closed", "completed", "failed"]
    assert Counter(column(head, "outcome")) == Counter(view.outcome for view in views)
    assert Counter(column(head, "limit")) == Counter(view.limit_match.replace("none", "") for view in views)


def test_notes_about_what_is_missing() -> None:
    (view,) = samples.views(span({**HEALTHY, "claude.stream.event.dropped": 3}, [delta(0.1)]))
    total = summarise([view] * 4)
    head, _ = data_of(page_of(view, summary=total, dropped=3, without_marks=2, internal_errors=2))
    dropped, without_marks, cut, errors = head["notes"]
    assert dropped.startswith("3 of 4 streams (4 completed) are left out, completed and old ones first")
    assert without_marks.startswith("2 older streams were kept without their events.")
    assert cut.startswith("1 stream had more events than OTEL_CLAUDE_STREAM_EVENT_BUDGET allows")
    assert errors == "The instrumentation counted 2 internal errors. Please report them."


def test_the_title_names_the_services() -> None:
    (view,) = samples.views(healthy())
    many = [replace(view, service=f"s{n}") for n in range(7)]
    assert title_of([view], "app") == "Claude streams of chat-worker"
    assert title_of(many, "app") == "Claude streams of s0, s1, s2, s3, s4, ..."
    assert title_of([replace(view, service="")], "app") == "Claude streams of app"
