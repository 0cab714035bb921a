"""A load generator, which sends spans as the package makes them, with new ids, as fast as they are accepted."""

from __future__ import annotations

import http.client
import os
import threading
import time
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.ports import HOST

from otel_claude_stream._telemetry import schema

BATCH = 512
"""Spans in a request, as in the largest batch of OpenTelemetry's batch processor."""
FAILED_SHARE = 0.05
"""Share of the streams that failed."""
VALUES = {"string": "a-value-of-usual-length", "int": 1234, "double": 1.25, "boolean": True}


def template():
    """Serialize one request of ``BATCH`` spans, half roots and half streams, with ids that can be found again."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key in ("service.name", "service.namespace", "service.instance.id", "telemetry.sdk.name", "host.name"):
        resource.resource.attributes.add(key=key).value.string_value = "a-value-of-usual-length"
    scope = resource.scope_spans.add()
    scope.scope.name = "otel_claude_stream"
    now = time.time_ns()
    for number in range(BATCH // 2):
        trace = b"TRACE-ID" + number.to_bytes(8, "big")
        times = {"start_time_unix_nano": now - 10**9, "end_time_unix_nano": now}
        root = scope.spans.add(
            trace_id=trace, span_id=b"ROOT" + number.to_bytes(4, "big"), name="POST /answer", **times
        )
        for key in ("http.request.method", "url.path", "http.route", "user_agent.original"):
            root.attributes.add(key=key).value.string_value = "a-value-of-usual-length"
        span = scope.spans.add(trace_id=trace, span_id=b"SPAN" + number.to_bytes(4, "big"), **times)
        span.parent_span_id, span.name, span.kind = root.span_id, "chat claude-sonnet-5", 3
        failed = number < BATCH // 2 * FAILED_SHARE
        for attribute in schema.CHAT_SPAN.attributes:
            if attribute.type in VALUES and (failed or attribute not in ONLY_ON_FAILURE):
                set_value(span.attributes.add(key=attribute.name).value, attribute)
        for event in schema.EVENTS[:8]:
            one = span.events.add(name=event.name, time_unix_nano=now)
            for attribute in event.attributes:
                if attribute.type in VALUES:
                    set_value(one.attributes.add(key=attribute.name).value, attribute)
    return request.SerializeToString()


ONLY_ON_FAILURE = {
    attribute
    for attribute in schema.CHAT_SPAN.attributes
    if ".abort." in attribute.name
    or attribute.name
    in {
        "error.type",
        "claude.stream.fault_after_stop",
        "claude.stream.resumed",
        "claude.stream.attempt.count",
        "http.request.resend_count",
    }
}


def set_value(value, attribute):
    """Set a value of the right type."""
    kind = {"string": "string_value", "int": "int_value", "double": "double_value", "boolean": "bool_value"}
    setattr(value, kind[attribute.type], VALUES[attribute.type])


class Payload:
    """Endless requests that differ in their ids, which are written over those of a template."""

    def __init__(self):
        self.body = bytearray(template())
        self.places = []
        at = self.body.find(b"TRACE-ID")
        while at >= 0:
            self.places.append(at)
            at = self.body.find(b"TRACE-ID", at + 8)
        self.bytes_per_span = len(self.body) / BATCH

    def next(self):
        """Return the next request. The two spans of a trace are neighbours, and get the same new trace id."""
        fresh = os.urandom(8 * BATCH // 2)
        for number, place in enumerate(self.places):
            at = number // 2 * 8
            self.body[place : place + 8] = fresh[at : at + 8]
        return bytes(self.body)


@dataclass
class Sent:
    """How much of the load was accepted and refused."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0


def send(port, *, seconds=None, spans=None, connections=2, per_second=None):
    """Send over some connections, for `seconds` or until `spans` were accepted."""
    sent, lock, begin = Sent(), threading.Lock(), time.perf_counter()
    stop = begin + seconds if seconds else float("inf")

    def is_over():
        return time.perf_counter() > stop or (spans is not None and sent.accepted >= spans)

    def work():
        payload = Payload()
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        due = time.perf_counter()
        while not is_over():
            if per_second:
                due += BATCH * connections / per_second
                time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("POST", "/v1/traces", payload.next(), {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            with lock:
                if answer.status == 200:
                    sent.accepted += BATCH
                else:
                    sent.refused += BATCH
            if answer.status != 200:
                time.sleep(0.1)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.seconds = time.perf_counter() - begin
    return sent
