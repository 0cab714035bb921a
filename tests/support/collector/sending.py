"""OTLP documents in JSON, made by hand and sent over HTTP."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request

ERROR = 2
"""The status code of a span that failed."""
CUMULATIVE, DELTA = 2, 1
"""Temporalities."""
DICE = random.Random(20261120)
"""Source of ids, seeded, as sampling depends on them."""


def new_id(size):
    return DICE.getrandbits(8 * size).to_bytes(size, "big").hex()


def value(of):
    """Convert a Python value to an AnyValue of OTLP."""
    match of:
        case bool():
            return {"boolValue": of}
        case int():
            return {"intValue": str(of)}
        case float():
            return {"doubleValue": of}
        case str():
            return {"stringValue": of}
        case bytes():
            import base64

            return {"bytesValue": base64.b64encode(of).decode()}
        case list():
            return {"arrayValue": {"values": [value(item) for item in of]}}
        case dict():
            return {"kvlistValue": {"values": attributes(of)}}


def attributes(of):
    return [{"key": key, "value": value(item)} for key, item in of.items()]


def plain(of):
    """Convert attributes of a document that arrived to a dictionary."""
    return {item["key"]: next(iter(item.get("value", {}).values()), None) for item in of}


def event(name, **more):
    return {"name": name, "timeUnixNano": str(time.time_ns()), "attributes": attributes(more)}


def span(name="chat claude", *, trace=None, parent="", status=0, message="", events=(), links=(), **values):
    """Make one span. ``values`` are attributes; two underscores stand for a dot."""
    now = time.time_ns()
    return {
        "traceId": trace or new_id(16),
        "spanId": new_id(8),
        "parentSpanId": parent,
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": attributes({key.replace("__", "."): item for key, item in values.items()}),
        "events": list(events),
        "links": list(links),
        "status": {"code": status, "message": message},
    }


def traces(*spans, resource=None, scope="by.hand"):
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(resource or {"service.name": "sender"})},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }


def metrics(*found, resource=None):
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes(resource or {"service.name": "sender"})},
                "scopeMetrics": [{"scope": {"name": "by.hand"}, "metrics": list(found)}],
            }
        ]
    }


def point(amount, **values):
    """Make one data point of a sum or gauge, with attributes as for ``span``."""
    now = time.time_ns()
    return {
        "startTimeUnixNano": str(now - 10**9),
        "timeUnixNano": str(now),
        "asInt": str(amount),
        "attributes": attributes({key.replace("__", "."): item for key, item in values.items()}),
    }


def counter(name, *points):
    total = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True, "dataPoints": list(points)}
    return {"name": name, "unit": "{stream}", "sum": total}


def gauge(name, *points):
    return {"name": name, "unit": "s", "gauge": {"dataPoints": list(points)}}


def bucket(bounds, counts, **values):
    """Make one data point of a histogram."""
    made = point(0, **values)
    del made["asInt"]
    total = sum(counts)
    return {**made, "count": str(total), "sum": 4.0, "bucketCounts": [str(n) for n in counts], "explicitBounds": bounds}


def histogram(name, *points):
    return {"name": name, "unit": "s", "histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": list(points)}}


def logs(*records, resource=None):
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": attributes(resource or {"service.name": "sender"})},
                "scopeLogs": [{"scope": {"name": "by.hand"}, "logRecords": list(records)}],
            }
        ]
    }


def record(body, name="", **values):
    return {
        "timeUnixNano": str(time.time_ns()),
        "eventName": name,
        "body": value(body),
        "attributes": attributes({key.replace("__", "."): item for key, item in values.items()}),
    }


def post(url, signal, document, timeout=10.0, **headers):
    """Send a document. Returns status and body of the answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = urllib.request.Request(f"{url}/v1/{signal}", body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def send(url, signal, document):
    """Send a document, and require that it is accepted."""
    status, answer = post(url, signal, document)
    assert status == 200, (status, answer)
