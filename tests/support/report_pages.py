"""Reports for tests: their streams, their files, and the data in them."""

from __future__ import annotations

import base64
import json
import random
import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, delta

from otel_claude_stream.cli.view.model import StreamView, stream_view
from otel_claude_stream.cli.view.report import page
from otel_claude_stream.cli.view.summary import summarise
from otel_claude_stream.cli.view.telemetry import Snapshot

MODELS = ("claude-sonnet-5", "claude-opus-5", "claude-haiku-4-5")
FAILURES = ("connection_closed", "overloaded", "truncated", "silent", "gateway_error")


def snapshot(views: Iterable[StreamView], **more: Any) -> Snapshot:
    """Return the state in which a command has received these streams."""
    kept = tuple(views)
    return Snapshot(
        **{"views": kept, "summary": summarise(kept), "open": None, "oldest": None, "internal_errors": 0, **more}
    )


def page_of(*views: StreamView, title: str = "Streams", **more: Any) -> str:
    """Return the report of these streams."""
    return page(snapshot(views, **more), title)


def data_of(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the data of a report: its head, and the lanes."""
    (packed,) = re.findall(r'<script type="application/octet-stream" id="data">([A-Za-z0-9+/=]*)</script>', text)
    head, *lanes = map(json.loads, zlib.decompress(base64.b64decode(packed)).decode("ascii").split("\n"))
    return head, lanes


def column(head: dict[str, Any], name: str) -> list[str]:
    """Return a column of text, with a value for each stream."""
    values, places = head["texts"][name]
    return [values[place] for place in places]


def fleet(number: int, *, events: int = 20, seed: int = 1) -> list[StreamView]:
    """Return streams of several models, servers and methods, of which about one in five failed or was closed."""
    rnd = random.Random(seed)
    deltas = [delta(0.4 + n * 0.05, **{"claude.stream.event.gap": 0.05}) for n in range(events)]
    (good, cut) = samples.decoded(
        samples.span(HEALTHY, deltas),
        samples.span({**CUT, "claude.stream.abort.rule": "closed"}, deltas, span_id="1" * 16),
    )
    views = []
    for n in range(number):
        start = samples.START + round(n * 0.31e9)
        outcome = rnd.choices(("completed", "failed", "closed"), (8, 1.5, 0.5))[0]
        more: dict[str, Any] = {
            "gen_ai.request.model": rnd.choice(MODELS),
            "server.address": rnd.choice(("api.anthropic.com", "gateway.internal")),
            "server.port": 443,
            "claude.stream.api": "messages",
            "claude.stream.helper": rnd.choice(("create", "stream")),
            "claude.stream.time_to_first_token": round(0.2 + rnd.random(), 3),
            "claude.stream.request_id": f"req_{n:08d}",
            "claude.stream.outcome": outcome,
        }
        if outcome == "failed":
            more["claude.stream.abort.reason"] = rnd.choice(FAILURES)
            more["claude.stream.abort.limit_match"] = rnd.choice(("idle:2s", "none"))
        elif outcome == "closed":
            more |= {"claude.stream.abort.reason": "caller_closed", "claude.stream.abort.origin": "caller"}
            more |= {"claude.stream.abort.limit_match": "none", "claude.stream.abort.advice": ""}
        template = good if outcome == "completed" else cut
        shift = start - template.start
        moved = tuple(replace(event, time=event.time + shift) for event in template.events)
        views.append(
            stream_view(
                replace(
                    template, span_id=f"{n + 1:016x}", name=f"chat {more['gen_ai.request.model']}", start=start,
                    end=start + round((1.5 + rnd.random() * 4) * 1e9), events=moved,
                    attributes={**template.attributes, **more},
                )
            )
        )  # fmt: skip
    return views
