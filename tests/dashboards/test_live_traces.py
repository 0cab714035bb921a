"""The requests of Perses to Tempo are answered from Jaeger's API, which has no TraceQL."""

from __future__ import annotations

import copy
import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.perses_json import build
from dashboards.live.server import serving
from dashboards.live.traces import TempoApi, UnknownQuery, matcher

RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]}


def span(number, *, parent="", outcome="failed", attempts=1, error=False, event="claude.stream.abort"):
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:015x}{'b' if parent else 'a'}",
        "parentSpanId": parent,
        "name": "claude.stream.attempt" if parent else "messages",
        "kind": 3,
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + number * 1_000_000_000),
        "endTimeUnixNano": str(1_700_000_000_500_000_000 + number * 1_000_000_000),
        "attributes": [
            {"key": "claude.stream.outcome", "value": {"stringValue": outcome}},
            {"key": "claude.stream.attempt.count", "value": {"intValue": str(attempts)}},
            {"key": "claude.stream.share", "value": {"doubleValue": 0.5}},
        ],
        "events": [{"name": event, "timeUnixNano": "1", "attributes": []}],
        "status": {"code": 2} if error else {},
    }


SPANS = [
    span(1),
    span(2, outcome="completed", attempts=2),
    span(2, parent=f"{2:015x}a", outcome="completed", error=True, event="claude.stream.stall"),
]


class Handler(BaseHTTPRequestHandler):
    """Answers as Jaeger does, with 404 if it finds nothing."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(self.path)
        if path == "/api/v3/services":
            self.answer(200, {"services": ["chat", "empty"]})
            return
        spans = [one for one in SPANS if path in ("/api/v3/traces", f"/api/v3/traces/{one['traceId']}")]
        if "empty" in self.path or not spans:
            self.answer(404, {"error": "No traces found"})
            return
        scopes = [{"scope": {"name": "s"}, "spans": copy.deepcopy(spans)}]
        self.answer(200, {"result": {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": scopes}]}})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextmanager
def jaeger():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server, TempoApi(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def search(api, query, **more):
    asked = {"q": query, "start": 1_700_000_000, "end": 1_700_000_010, **more}
    return [one["traceID"][-1] for one in api.answer(f"/api/search?{urlencode(asked)}")["traces"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('{ span.claude.stream.outcome = "failed" }', ["1"]),
        ('{ span.claude.stream.outcome != "failed" }', ["2"]),
        ('{ span.claude.stream.outcome =~ "fail.*|completed" }', ["2", "1"]),
        ('{ span.claude.stream.outcome =~ "complete" }', []),
        ('{ span.claude.stream.outcome !~ "fail.*" }', ["2"]),
        ("{ span.claude.stream.attempt.count > 1 }", ["2"]),
        ("{ span.claude.stream.attempt.count >= 1 && span.claude.stream.share <= 0.5 }", ["2", "1"]),
        ("{ span.claude.stream.attempt.count < 1 }", []),
        ('{ event:name = "claude.stream.stall" }', ["2"]),
        ('{ event:name = "claude.stream.stall" && span.claude.stream.attempt.count > 1 }', []),
        ('{ name = "claude.stream.attempt" && resource.service.name = "chat" }', ["2"]),
        ("{ span.claude.stream.outcome > 1 }", []),
        ('{ span.absent = "x" }', []),
        ("{ }", ["2", "1"]),
        ('{ span.claude.stream.outcome = "failed" } | select(span.server.address, name)', ["1"]),
    ],
)  # fmt: skip
def test_a_search_finds_traces_with_a_span_that_meets_all_conditions(query, found):
    with jaeger() as (_, api):
        assert search(api, query) == found


@pytest.mark.parametrize(
    "query",
    [
        '{ span.a = "x" || span.b = "y" }',
        '{ span.a = "x" } | rate() by (span.a)',
        '{ span.a = "x" } && { span.b = "y" }',
        "duration > 1s",
        '{ link.a = "x" }',
        "{ span.a = true }",
        "{ span.a =~ 1 }",
    ],
)
def test_a_query_that_is_not_known_is_refused_instead_of_answered_wrongly(query):
    with pytest.raises(UnknownQuery):
        matcher(query)((SPANS[0], RESOURCE))


def test_every_query_of_traces_in_the_dashboards_is_known():
    queries = [
        query["spec"]["plugin"]["spec"]["query"]
        for board in BOARDS
        for panel in build(board)["spec"]["panels"].values()
        for query in panel["spec"].get("queries", ())
        if query["kind"] == "TraceQuery"
    ]
    assert len(queries) >= 6
    for query in queries:
        matcher(query)((SPANS[0], RESOURCE))


def test_a_search_summarises_traces_as_tempo_does_the_latest_first():
    with jaeger() as (server, api):
        found = api.answer("/api/search?q=%7B%7D&start=1700000000&end=1700000010&limit=1")
    assert found == {
        "traces": [
            {
                "traceID": f"{2:032x}",
                "rootServiceName": "chat",
                "rootTraceName": "messages",
                "startTimeUnixNano": "1700000002000000000",
                "durationMs": 500,
                "serviceStats": {"chat": {"spanCount": 2, "errorCount": 1}},
            }
        ]
    }
    assert "query.start_time_min=2023-11-14T22%3A13%3A20%2B00%3A00" in server.asked[1]
    assert "query.start_time_max=2023-11-14T22%3A13%3A30%2B00%3A00" in server.asked[1]


def test_a_trace_has_the_names_of_enums_and_decimals_as_text():
    with jaeger() as (_, api):
        (batch,) = api.answer(f"/api/traces/{2:032x}")["batches"]
        assert api.answer(f"/api/traces/{9:032x}") == {"batches": []}
    spans = batch["scopeSpans"][0]["spans"]
    assert [one["kind"] for one in spans] == ["SPAN_KIND_CLIENT"] * 2
    assert [one["status"]["code"] for one in spans] == ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"]
    assert spans[0]["attributes"][1:] == [
        {"key": "claude.stream.attempt.count", "value": {"intValue": "2"}},
        {"key": "claude.stream.share", "value": {"stringValue": "0.5"}},
    ]


def test_the_page_gets_traces_from_its_own_server(tmp_path):
    (tmp_path / "index.html").write_text("the page", encoding="utf-8")
    with jaeger() as (_, api), serving(tmp_path, "http://127.0.0.1:9090", "/", api) as site:

        def fetch(path):
            with urllib.request.urlopen(site + path, timeout=10) as answer:
                return answer.read().decode()

        assert json.loads(fetch("/settings.json"))["tempo"] == "/tempo"
        assert json.loads(fetch(f"/tempo/api/traces/{1:032x}"))["batches"]
        assert fetch("/explore?explorer=Tempo-TempoExplorer") == "the page"
        for path in ("search?q=nonsense&start=1&end=2", "v2/search/tags"):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                fetch(f"/tempo/api/{path}")
