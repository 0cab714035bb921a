"""The rate limits that a response reports are on the spans of the stream and of its attempts."""

from __future__ import annotations

import pytest
from tests.support.rig import HTTP, play, short
from tests.support.scenes import SCENES

from otel_claude_stream._core.stream.call import RateLimit
from otel_claude_stream._sdk.read.responses import reply_of

DATE = ("date", "Sat, 28 Nov 2026 13:00:00 GMT")
REMAINING, RESET = "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"

HEADERS = {
    "both": ([DATE, (REMAINING, "80000"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(80_000, 21.0)),
    "another time zone": ([DATE, (RESET, "2026-11-28T14:00:21.5+01:00")], RateLimit(None, 21.5)),
    "in the past": ([DATE, (RESET, "2026-11-28T12:59:59Z")], RateLimit(None, 0.0)),
    "nothing remains": ([(REMAINING, "0")], RateLimit(0, None)),
    "without a date": ([(REMAINING, "5"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(5, None)),
    "no time zone": ([DATE, (REMAINING, "5"), (RESET, "2026-11-28T13:00:21")], RateLimit(5, None)),
    "no time": ([DATE, (REMAINING, "5"), (RESET, "soon")], RateLimit(5, None)),
    "no number": ([DATE, (REMAINING, "-1"), (RESET, "2026-11-28T13:00:21Z")], RateLimit(None, 21.0)),
    "other digits": ([(REMAINING, "\u0665")], None),
    "a number of 100 digits": ([(REMAINING, "9" * 100)], None),
    "neither": ([(REMAINING, ""), (RESET, "")], None),
    "no header": ([DATE], None),
}


@pytest.mark.parametrize(("headers", "limit"), HEADERS.values(), ids=HEADERS)
def test_the_headers_of_a_rate_limit_are_read(headers, limit):
    reply = reply_of(HTTP.Response(200, headers=[(name, value.encode()) for name, value in headers]))
    assert reply.rate_limits == ({} if limit is None else {"input_tokens": limit})


def test_each_span_has_the_rate_limits_of_its_response(monkeypatch):
    """The span of the stream has those of the last response."""
    capture = play(monkeypatch, SCENES["rate limited"])
    found = {}
    for span in capture.spans():
        attributes = short(span["attributes"])
        names = [name for name in attributes if name.startswith((".rate_limit", ".retry.retry_after"))]
        found.setdefault(span["name"], []).append({name: attributes[name] for name in sorted(names)})
    refused = {
        ".rate_limit.remaining_requests": 0,
        ".rate_limit.requests_reset_after": 2.0,
        ".retry.retry_after": 2.0,
    }
    answered = {
        f".rate_limit.{name.format(kind)}": value
        for kind in ("requests", "tokens", "input_tokens", "output_tokens")
        for name, value in (("remaining_{}", 7), ("{}_reset_after", 30.0))
    } | {".retry.retry_after": 9.0}
    assert found == {"claude.stream.attempt": [refused, answered], "chat claude-test": [answered]}


def test_the_span_of_a_stream_has_the_retry_after_of_its_last_response(monkeypatch):
    (span,) = [span for span in play(monkeypatch, SCENES["gave up"]).spans() if span["name"].startswith("chat")]
    assert span["attributes"]["claude.stream.retry.retry_after"] == 0.25
