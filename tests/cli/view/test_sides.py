"""Streams beside what the API and proxies recorded of them, found by request ID or by the span below the client's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support import cli_samples as samples
from tests.support.cli_samples import CUT, HEALTHY, span
from tests.support.report_pages import data_of, page_of

from otel_claude_stream.cli.otlp import decode
from otel_claude_stream.cli.otlp.decode import LogData, SpanData
from otel_claude_stream.cli.view.explanation import explanation, sections
from otel_claude_stream.cli.view.model import StreamView
from otel_claude_stream.cli.view.sides import API_SCOPE, API_SERVICE, Sides
from otel_claude_stream.cli.view.stream_store import PENDING, StreamStore
from otel_claude_stream.cli.view.telemetry import Telemetry

UNSET, OK, ERROR = 0, 1, 2
NETWORK = {
    **CUT,
    "claude.stream.abort.origin": "network",
    "claude.stream.abort.limit_match": "none",
    "claude.stream.abort.suspects": [],
    "claude.stream.abort.rule": "closed",
    "claude.stream.request_id": "req_1",
}
SPAN = "00f067aa0ba902b7"


def api_spans(*spans: dict[str, Any], service: str = API_SERVICE, scope: str = API_SCOPE) -> list[SpanData]:
    return list(decode.spans(samples.traces(*spans, scope=scope, service=service)))


def request(status: int = OK, request_id: str = "req_1", *, kind: int = 2, **more: Any) -> dict[str, Any]:
    """Return the API's span of one request, as its documentation has it."""
    attributes = {"anthropic.request.id": request_id} if request_id else {}
    found = span(attributes, name="anthropic.messages.create", **{"span_id": "a" * 16, "parent": SPAN, **more})
    return {**found, "kind": kind, "status": {"code": status}}


def joined(*api: dict[str, Any], stream: dict[str, Any] | None = None) -> StreamView:
    """Return one stream, which the network seems to have cut after two seconds, beside the API's spans."""
    store = StreamStore()
    store.add(samples.decoded(stream or span(NETWORK, seconds=2.0)))
    store.add(api_spans(*api))
    (view,) = store.views()
    return view


@pytest.mark.parametrize(
    ("api", "seconds", "evidence", "origin", "rule"),
    [
        (OK, 1.9, "completed", "intermediary", "api_completed"),
        (ERROR, 1.9, "failed", "anthropic", "api_failed"),
        (ERROR, 9.0, "failed", "intermediary", "api_outlived"),
        (UNSET, 1.9, "cancelled", "intermediary", "api_cancelled"),
    ],
)
def test_the_origin_follows_from_both_ends(api: int, seconds: float, evidence: str, origin: str, rule: str) -> None:
    view = joined(request(api, seconds=seconds))
    assert (view.api, view.origin, view.join_rule) == (evidence, origin, rule)
    assert ("api", evidence) in explanation(view).evidence
    assert view.advice != CUT["claude.stream.abort.advice"]


def test_without_a_span_of_this_request_there_is_no_evidence() -> None:
    """Another request of the trace has one, so the API's spans are known."""
    view = joined(request(OK, "req_2", parent="b" * 16))
    assert (view.api, view.origin, view.join_rule, view.sides) == ("absent", "network", "api_absent", ())
    assert ("api", "absent") in explanation(view).evidence


@pytest.mark.parametrize("order", [1, -1])
def test_spans_of_one_request_that_contradict_each_other_are_no_evidence(order: int) -> None:
    """The last one in the file must not decide. Both are shown."""
    spans = (request(OK, seconds=1.8), request(ERROR, seconds=1.9, span_id="b" * 16))
    view = joined(*spans[::order])
    assert (view.api, view.origin, view.join_rule) == ("absent", "network", "api_absent")
    assert [side.text for side in view.sides] == [
        "the API: request completed after 1.80 s; another span of this request differs",
        "the API: request failed after 1.90 s; another span of this request differs",
    ]
    times = (request(ERROR, seconds=1.9), request(ERROR, seconds=9.0, span_id="b" * 16))
    assert joined(*times[::order]).api == "absent", "only one of them outlived the client's request"


def test_spans_of_one_request_that_agree_count_once() -> None:
    """Also of one that the client has no ID of, and of one before the last."""
    same = [request(ERROR, seconds=1.8 + n / 10, span_id=f"{n + 1:016x}") for n in range(3)]
    for view in (joined(*same), joined(*same, stream=without_id())):
        assert (view.api, view.origin, len(view.sides)) == ("failed", "anthropic", 1)
    last = request(OK, "req_2", span_id="b" * 16, start=2.0)
    assert last_of(retried("req_1", "req_2"), *same, last) == ("completed", 2)
    assert last_of(retried("req_1", ""), *same, last) == ("completed", 2)
    assert last_of(retried("", ""), *same, last) == ("completed", 2)
    first = request(OK, span_id="b" * 16)
    assert last_of(retried("req_1", "req_2"), *same, first, request(OK, "req_2", span_id="c" * 16)) == ("completed", 3)


def test_without_any_span_of_the_api_nothing_is_added() -> None:
    view = joined()
    assert (view.api, view.origin, explanation(view).joined) == ("", "network", "")
    assert "api" not in dict(explanation(view).evidence)


@pytest.mark.parametrize(
    "forged",
    [
        api_spans(request(), service="shop"),
        api_spans(request(), scope="otel_claude_stream.x"),
        api_spans(request(kind=1)),  # a model run
    ],
)
def test_only_the_apis_own_spans_of_requests_count(forged: list[SpanData]) -> None:
    store = StreamStore()
    store.add(samples.decoded(span(NETWORK)))
    store.add(forged)
    assert [(view.api, view.origin) for view in store.views()] == [("", "network")]


def test_a_span_that_comes_hours_later_and_twice_is_joined_to_a_stream_of_long_ago() -> None:
    """The stream is not among the newest, whose spans are kept."""
    store = StreamStore()
    for n in range(PENDING + 10):
        store.add(samples.decoded(span({**NETWORK, "claude.stream.request_id": f"req_{n}"}, span_id=f"{n + 1:016x}")))
    assert store.views()[0].api == ""
    for _ in range(2):
        store.add(api_spans(request(OK, "req_0")))
    view, *others = store.views()
    assert (view.api, view.origin, len(view.sides)) == ("completed", "intermediary", 1)
    assert {other.api for other in others} == {"absent"}


def test_a_request_is_found_by_its_id_in_any_trace() -> None:
    """The API's span is in a trace of its own if the request had no traceparent."""
    view = joined({**request(), "traceId": "f" * 32, "parentSpanId": ""})
    assert view.api == "completed"


def without_id(attributes: dict[str, Any] = NETWORK, **more: Any) -> dict[str, Any]:
    return span({name: one for name, one in attributes.items() if name != "claude.stream.request_id"}, **more)


def test_a_request_without_a_response_is_found_below_its_span() -> None:
    """The client knows no ID of it."""
    assert joined(request(UNSET), stream=without_id()).api == "cancelled"
    assert joined(request(OK, "")).api == "completed"
    assert joined(request(OK, parent="b" * 16), stream=without_id()).api == "absent"


def test_a_request_is_found_below_the_sdks_own_span() -> None:
    """Its usage may be missing, since the stream was cut."""
    native = span({}, name="anthropic.messages.create", span_id="c" * 16, parent=SPAN)
    for order in (0, 1):
        store = StreamStore()
        parts = [samples.decoded(native, scope="com.anthropic.sdk.python"), samples.decoded(without_id())]
        for part in parts[::-1] if order else parts:
            store.add(part)
        store.add(api_spans(request(OK, "", parent="c" * 16)))
        assert [view.api for view in store.views()] == ["completed"]


def retried(*ids: str, requests: int = 2) -> list[dict[str, Any]]:
    """Return a stream that failed with its attempts, each with the ID of its response, if it got one."""
    spans = [without_id({**NETWORK, "claude.stream.attempt.count": requests}, seconds=4.0)]
    for n, found in enumerate(ids):
        more = {"claude.stream.request_id": found} if found else {}
        attributes = {"claude.stream.attempt.number": n + 1, "claude.stream.abort.reason": "connection_closed", **more}
        place = {"span_id": f"{n + 1}" * 16, "parent": SPAN, "start": 2.0 * n}
        spans.append(span(attributes, name="claude.stream.attempt", **place))
    return spans


def last_of(stream: list[dict[str, Any]], *api: dict[str, Any]) -> tuple[str, int]:
    store = StreamStore()
    store.add(samples.decoded(*stream))
    store.add(api_spans(*api))
    (view,) = store.views()
    return view.api, len(view.sides)


def test_the_last_request_of_several_decides() -> None:
    first = request(OK, "req_1", span_id="a" * 16)
    last = request(ERROR, "req_2", span_id="b" * 16, start=2.0)
    assert last_of(retried("req_1", "req_2"), last, first) == ("failed", 2)
    assert last_of(retried("req_1", ""), last, first) == ("failed", 2)
    assert last_of(retried("", ""), last, first) == ("failed", 2)


def test_a_missing_span_of_several_requests_is_no_evidence() -> None:
    """The other one must not be taken for it."""
    first = request(OK, "req_1")
    assert last_of(retried("req_1", "req_2"), first) == ("absent", 1)
    assert last_of(retried("req_1", ""), first) == ("absent", 1)
    assert last_of(retried("", ""), first) == ("absent", 0)


def test_the_advice_of_a_matching_limit_stays_when_a_hop_is_proven() -> None:
    limit = {**NETWORK, "claude.stream.abort.limit_match": "duration:2s"}
    assert joined(request(OK), stream=span(limit)).advice == CUT["claude.stream.abort.advice"]
    assert "request id" in joined(request(ERROR), stream=span(limit)).advice


def test_streams_that_did_not_fail_keep_their_verdict() -> None:
    healthy = joined(request(UNSET), stream=span({**HEALTHY, "claude.stream.request_id": "req_1"}))
    assert (healthy.api, healthy.origin, explanation(healthy).joined) == ("cancelled", "", "")
    odd = joined(
        request(OK), stream=span({**NETWORK, "claude.stream.outcome": "new", "claude.stream.abort.origin": "x"})
    )
    assert (odd.api, odd.origin) == ("", "x")
    unknown = joined(request(OK), stream=span({**NETWORK, "claude.stream.abort.origin": "x"}))
    assert (unknown.api, unknown.origin) == ("completed", "intermediary")


def test_the_explanation_has_the_rule_and_the_requests_of_the_api() -> None:
    story = explanation(joined(request(ERROR, seconds=1.9, start=0.05)))
    assert (1.95, "the API: request failed after 1.90 s") in [(one.at, one.what) for one in story.timeline]
    found = dict(sections(story))
    assert found["Ending"][0].endswith("caused by the API.")
    assert "The API failed too, so nothing in between has to be the cause." in found["Diagnosis"]
    assert found["Diagnosis"][-1].endswith("; api failed.")


NGINX = {
    "proxy.product": "nginx",
    "claude.stream.request_id": "req_1",
    "proxy.connection": "7",
    "http.response.status_code": 200,
    "proxy.seconds": 2.0,
}
CAUSE = {
    "proxy.product": "nginx",
    "proxy.connection": "7",
    "proxy.cause": "upstream_timed_out",
    "proxy.phase": "streaming",
}


def logs(*records: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    made = [
        {"timeUnixNano": str(samples.START + int(at * 1e9)), "attributes": samples.pairs(attributes)}
        for at, attributes in records
    ]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": made}]}]}


def test_client_proxy_and_api_are_in_one_lane() -> None:
    """The cause is in another line of nginx, which shares the connection. A line of another request does not count."""
    telemetry = Telemetry()
    document = logs((2.0, NGINX), (1.99, CAUSE), (900.0, {**CAUSE, "proxy.cause": "client_closed"}), (1.0, {"a": "b"}))
    telemetry.add("logs", document)
    telemetry.add("traces", samples.traces(span(NETWORK)))
    telemetry.add("traces", api_spans(request(OK, seconds=1.5)))
    found = telemetry.snapshot()
    _, (lane,) = data_of(page_of(*found.views))
    texts = [
        ["api", 0.0, 1.5, "the API: request completed after 1.50 s"],
        ["nginx", None, 1.99, "nginx: upstream timed out, streaming"],
        ["nginx", None, 2.0, "nginx: request logged, status 200, after 2.00 s"],
    ]
    assert sorted(lane["sides"], key=str) == sorted(texts, key=str)
    story = [what for _, what, _ in lane["story"]]
    assert [text for *_, text in texts if text in story] == [text for *_, text in texts]


def test_a_proxy_without_the_api_is_shown_and_decides_nothing() -> None:
    store = StreamStore()
    store.add(samples.decoded(span(NETWORK)))
    haproxy = {**NGINX, **CAUSE, "proxy.product": "haproxy", "claude.stream.request_id": "req_1"}
    for _ in range(2):  # two files may have the line
        store.add_lines([LogData(samples.START, haproxy)])
    (view,) = store.views()
    assert [side.text for side in view.sides] == ["haproxy: upstream timed out, streaming, status 200, after 2.00 s"]
    assert (view.sides[0].end, view.api, view.origin) == (2.0, "", "network")


def test_the_number_of_spans_and_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_claude_stream.cli.view.sides.MOST", 5)
    sides = Sides()
    sides.add_spans(api_spans(*(request(span_id=f"{n + 1:016x}") for n in range(9))))
    sides.add_lines([LogData(0, NGINX)] * 9)
    assert (len(sides._spans), len(sides._lines)) == (5, 5)


@pytest.mark.parametrize("value", ["x", True, [1], -1.0, float("inf"), {"a": 1}])
def test_odd_values_from_a_proxy_are_shown_without_harm(value: Any) -> None:
    record = {name: value if name != "claude.stream.request_id" else "req_1" for name in {**NGINX, **CAUSE}}
    record |= {"proxy.product": "\x1b[31m"}
    store = StreamStore()
    store.add(samples.decoded(span(NETWORK)))
    store.add_lines(decode.logs(json.loads(json.dumps(logs((1.0, record))))))
    (view,) = store.views()
    assert [side.text.isprintable() for side in view.sides] == [True]
