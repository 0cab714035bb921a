"""The traces that the demo sent, two spans with a link, and what spans contain, whatever their encoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MODES = ("observe", "retry", "resume")


@dataclass
class Sent:
    """The requests with traces that the demo sent in one mode, as JSON."""

    documents: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spans(self) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """All spans, with resource and scope."""
        return [
            (span, one.get("resource", {}), scope.get("scope", {}))
            for document in self.documents
            for one in document["resourceSpans"]
            for scope in one["scopeSpans"]
            for span in scope["spans"]
        ]


FLAGS = 0xFF
"""The bits of a span's or link's `flags` that W3C defines. Jaeger sets those about remote parents."""

JAEGER_NOTES = "@jaeger@"
"""Start of the attributes that Jaeger adds, for example if a child ends a millisecond after its parent."""


def value_of(value: dict[str, Any]) -> tuple[str, Any]:
    """Return the type and the content of an attribute's value."""
    ((kind, found),) = value.items()
    if kind == "arrayValue":
        return kind, [value_of(one) for one in found.get("values", ())]
    return kind, str(found) if kind == "intValue" else found


def attributes_of(owner: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return attributes by key, because Jaeger sorts them. Its own notes are left out."""
    kept = [one for one in owner.get("attributes", ()) if not one["key"].startswith(JAEGER_NOTES)]
    found = {one["key"]: value_of(one["value"]) for one in kept}
    assert len(found) == len(kept)
    return found


def contents(span: dict[str, Any], resource: dict[str, Any], scope: dict[str, Any]) -> dict[str, Any]:
    """Return all that a span has, in a form that two encodings share. Events are by time: Jaeger sorts them by name."""
    status = span.get("status", {})
    return {
        "trace": span["traceId"],
        "parent": span.get("parentSpanId", ""),
        "name": span["name"],
        "kind": span.get("kind", 0),
        "times": (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])),
        "status": (status.get("code", 0), status.get("message", "")),
        "attributes": attributes_of(span),
        "events": sorted(
            ((int(event["timeUnixNano"]), event["name"], attributes_of(event)) for event in span.get("events", ())),
            key=lambda event: event[:2],
        ),
        "links": [
            (link["traceId"], link["spanId"], link.get("flags", 0) & FLAGS, attributes_of(link))
            for link in span.get("links", ())
        ],
        "dropped": tuple(span.get(f"dropped{one}Count", 0) for one in ("Attributes", "Events", "Links")),
        "state": span.get("traceState", ""),
        "resource": attributes_of(resource),
        "scope": (scope.get("name", ""), scope.get("version", ""), attributes_of(scope)),
    }


def contents_by_id(resource_spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        span["spanId"]: contents(span, one.get("resource", {}), scope.get("scope", {}))
        for one in resource_spans
        for scope in one["scopeSpans"]
        for span in scope["spans"]
    }


RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "links"}}]}
SCOPE = {"name": "a scope", "version": "1.2", "attributes": [{"key": "part", "value": {"stringValue": "x"}}]}
LINKED: tuple[dict[str, Any], ...] = (
    {
        "traceId": "1234567890abcdef1234567890abcdef",
        "spanId": "1234567890abcdef",
        "traceState": "vendor=value",
        "name": "everything",
        "kind": 3,
        "startTimeUnixNano": "1700000000000000001",
        "endTimeUnixNano": "1700000001000000002",
        "attributes": [
            {"key": "text", "value": {"stringValue": "Reykjavík ☃"}},
            {"key": "integer", "value": {"intValue": str(2**60)}},
            {"key": "number", "value": {"doubleValue": 0.5}},
            {"key": "flag", "value": {"boolValue": False}},
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}},
        ],
        "events": [
            {
                "name": "an event",
                "timeUnixNano": "1700000000500000003",
                "attributes": [{"key": "position", "value": {"intValue": "7"}}],
            }
        ],
        "links": [
            {
                "traceId": "abcdefabcdefabcdefabcdefabcdef12",
                "spanId": "abcdefabcdef1234",
                "flags": 1,
                "attributes": [{"key": "why", "value": {"stringValue": "a request that it repeats"}}],
            }
        ],
        "droppedAttributesCount": 1,
        "droppedEventsCount": 2,
        "droppedLinksCount": 3,
        "status": {"code": 2, "message": "overloaded"},
    },
    {
        "traceId": "abcdefabcdefabcdefabcdefabcdef12",
        "spanId": "abcdefabcdef1234",
        "name": "the first request",
        "kind": 3,
        "startTimeUnixNano": "1699999990000000001",
        "endTimeUnixNano": "1699999991000000002",
        "status": {},
    },
)
"""A span with every type of value and a link, which the spans of the demo lack, and the span that it links to."""
