"""Answers the requests that Perses sends to Tempo with the traces of a Jaeger, which has no TraceQL.

It evaluates the conditions of the dashboards itself: those joined by ``&&`` that one span must meet. This shows the
traces. It is no evidence that Tempo accepts the queries or finds the same traces.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, Final

TIMEOUT: Final = 30.0  # seconds
MOST_TRACES: Final = 1000  # read from Jaeger for each service
_CONDITION: Final = re.compile(r'\s*([\w.:]+)\s*(=~|!~|!=|>=|<=|=|>|<)\s*(?:"((?:[^"\\]|\\.)*)"|(-?[\d.]+))\s*')
_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES: Final = ("UNSET", "OK", "ERROR")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda found, wanted: found == wanted,
    "!=": lambda found, wanted: found != wanted,
    ">": lambda found, wanted: found > wanted,
    "<": lambda found, wanted: found < wanted,
    ">=": lambda found, wanted: found >= wanted,
    "<=": lambda found, wanted: found <= wanted,
    "=~": lambda found, wanted: re.fullmatch(wanted, found) is not None,
    "!~": lambda found, wanted: re.fullmatch(wanted, found) is None,
}

Span = tuple[dict[str, Any], dict[str, Any]]
"""A span and its resource, as OTLP in JSON has them."""


class UnknownQuery(ValueError):
    """A query with TraceQL that is not known here."""


def plain(value: dict[str, Any]) -> Any:
    """Return a value of OTLP in JSON, where 64-bit integers are texts."""
    ((kind, found),) = value.items()
    return int(found) if kind == "intValue" else found


def _shown(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value as text if it is a number with decimals, for which version 0.10 of the chart shows "unknown"."""
    if "doubleValue" in value:
        return {"stringValue": str(value["doubleValue"])}
    if "arrayValue" in value:
        return {"arrayValue": {"values": [_shown(one) for one in value["arrayValue"].get("values", ())]}}
    return value


def _values(field: str, span: Span) -> list[Any]:
    """Return the values that a field of TraceQL has in a span."""
    record, resource = span
    if field == "name":
        return [record["name"]]
    if field == "event:name":
        return [event["name"] for event in record.get("events", ())]
    scope, _, key = field.partition(".")
    owners = {"span": record, "resource": resource}
    if scope not in owners:
        raise UnknownQuery(f"the field {field} is not known")
    return [plain(one["value"]) for one in owners[scope].get("attributes", ()) if one["key"] == key]


def matcher(query: str) -> Callable[[Span], bool]:
    """Return a function that decides whether a span meets a query. Raises `UnknownQuery`."""
    found = re.fullmatch(r"\s*\{(.*)\}\s*(?:\|\s*select\([^)]*\)\s*)?", query, re.DOTALL)
    if found is None:
        raise UnknownQuery(f"the query {query} is not known")
    conditions: list[tuple[str, Callable[[Any, Any], bool], Any]] = []
    for part in found[1].split("&&") if found[1].strip() else ():
        condition = _CONDITION.fullmatch(part)
        if condition is None:
            raise UnknownQuery(f"the condition {part.strip()} is not known")
        field, operator, text, number = condition.groups()
        if text is None and "~" in operator:
            raise UnknownQuery(f"the pattern in {part.strip()} is not a text")
        wanted = float(number) if text is None else re.sub(r"\\(.)", r"\1", text)
        conditions.append((field, _COMPARE[operator], wanted))

    def matches(span: Span) -> bool:
        return all(
            any(isinstance(value, str) == isinstance(wanted, str) and compare(value, wanted) for value in values)
            for field, compare, wanted in conditions
            for values in [_values(field, span)]
        )

    return matches


def spans_of(resource_spans: list[dict[str, Any]]) -> Iterator[Span]:
    """Yield the spans of an answer of Jaeger."""
    for one in resource_spans:
        for scope in one["scopeSpans"]:
            for span in scope["spans"]:
                yield span, one.get("resource", {})


def _summary(trace_id: str, spans: list[Span]) -> dict[str, Any]:
    """Return a trace as Tempo's search does."""
    services: dict[str, dict[str, int]] = {}
    for span, resource in spans:
        (service, *_) = [*_values("resource.service.name", (span, resource)), "unknown"]
        stats = services.setdefault(service, {"spanCount": 0})
        stats["spanCount"] += 1
        if span.get("status", {}).get("code") == _CODES.index("ERROR"):
            stats["errorCount"] = stats.get("errorCount", 0) + 1
    known = {span["spanId"] for span, _ in spans}
    root = next((one for one in spans if one[0].get("parentSpanId") not in known), spans[0])
    start = min(int(span["startTimeUnixNano"]) for span, _ in spans)
    end = max(int(span["endTimeUnixNano"]) for span, _ in spans)
    return {
        "traceID": trace_id,
        "rootServiceName": next(iter(_values("resource.service.name", root)), "unknown"),
        "rootTraceName": root[0]["name"],
        "startTimeUnixNano": str(start),
        "durationMs": (end - start) // 1_000_000,
        "serviceStats": services,
    }


class TempoApi:
    """The requests of Perses to Tempo, answered from the Jaeger at a URL."""

    def __init__(self, jaeger: str) -> None:
        self._jaeger = jaeger

    def answer(self, path: str) -> Any:
        """Answer one request. Raises `UnknownQuery`."""
        plain_path, _, parameters = path.partition("?")
        if plain_path == "/api/search":
            asked = dict(urllib.parse.parse_qsl(parameters))
            limit = int(asked.get("limit", 20))
            return {"traces": self.search(asked["q"], int(asked["start"]), int(asked["end"]))[:limit]}
        if (trace := re.fullmatch(r"/api/traces/([0-9a-fA-F]{32})", plain_path)) is not None:
            return {"batches": self.trace(trace[1])}
        raise UnknownQuery(f"the path {plain_path} is not known")

    def search(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the traces with a span that meets the query, the latest first."""
        matches = matcher(query)
        found = []
        for service in self._get("services")["services"]:
            parameters = {
                "query.service_name": service,
                "query.start_time_min": datetime.fromtimestamp(start, timezone.utc).isoformat(),
                "query.start_time_max": datetime.fromtimestamp(end, timezone.utc).isoformat(),
                "query.num_traces": MOST_TRACES,
            }
            traces: dict[str, list[Span]] = {}
            for span, resource in spans_of(self._spans(f"traces?{urllib.parse.urlencode(parameters)}")):
                traces.setdefault(span["traceId"], []).append((span, resource))
            found += [_summary(trace_id, spans) for trace_id, spans in traces.items() if any(map(matches, spans))]
        return sorted(found, key=lambda one: int(one["startTimeUnixNano"]), reverse=True)

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return a trace as Tempo does, in values that Perses' chart of a trace can show."""
        found = self._spans(f"traces/{trace_id}")
        for span, resource in spans_of(found):
            span["events"] = sorted(span.get("events", ()), key=lambda event: int(event["timeUnixNano"]))
            span["kind"] = f"SPAN_KIND_{_KINDS[span.get('kind', 0)]}"
            status = span.setdefault("status", {})
            status["code"] = f"STATUS_CODE_{_CODES[status.get('code', 0)]}"
            for owner in (resource, span, *span["events"], *span.get("links", ())):
                for attribute in owner.get("attributes", ()):
                    attribute["value"] = _shown(attribute["value"])
        return found

    def _spans(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(path).get("result", {}).get("resourceSpans", [])
        return found

    def _get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self._jaeger}/api/v3/{path}", timeout=TIMEOUT) as answer:  # noqa: S310 - the URL is that of the Jaeger that was started
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:  # Jaeger's answer if there are no traces
                return {}
            raise
