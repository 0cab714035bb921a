"""The overlay for the SDKs' own spans makes metrics under the names of the package, and counts each stream once."""

from __future__ import annotations

import re

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.exposition import samples, sorted_samples
from tests.support.collector.running import FILES, GATEWAY, PROMETHEUS, QUICK, eventually

from otel_claude_stream._core.diagnosis.evidence import PROVIDER_REASONS
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, LimitKind, label_of
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

pytestmark = pytest.mark.slow

OVERLAY = FILES / "sdk-spans.yaml"
SCOPE = "com.anthropic.sdk.typescript"
OK, ERROR = 1, 2
FIRST = {"gen_ai.response.id": "msg_1"}
TOKEN = {**FIRST, "gen_ai.response.time_to_first_chunk": 1.2}
STOPPED = {**TOKEN, "anthropic.message.stop_reason": "end_turn"}


def sdk_span(status=OK, error=None, http=200, seconds=3.0, **attributes):
    """A span as the SDKs create it for a streamed message."""
    found = {"gen_ai.operation.name": "chat", "gen_ai.request.stream": True, "gen_ai.request.model": "claude"}
    found |= {"server.address": "api.anthropic.com", **attributes}
    found |= {"error.type": error} if error else {}
    found |= {"http.response.status_code": http} if http else {}
    made = sending.span("anthropic.messages.create", status=status, **found)
    made["startTimeUnixNano"] = str(int(made["endTimeUnixNano"]) - int(seconds * 1e9))
    return made


def failed(reason, phase, origin="unknown", limit="none"):
    return ("failed", reason, phase, origin, limit)


CLOSED = ("closed", "caller_closed")
COMPLETED = ("completed", None, None, None, None)
VERDICTS = {
    "ok": (sdk_span(**STOPPED), COMPLETED),
    "only message_stop is missing": (sdk_span(ERROR, "api_error", **STOPPED), COMPLETED),
    "closed after the stop reason": (sdk_span(0, **STOPPED), COMPLETED),
    "closed": (sdk_span(0, **TOKEN), (*CLOSED, "streaming", "caller", "none")),
    "closed before a response": (sdk_span(0, http=None), (*CLOSED, "awaiting_response", "caller", "none")),
    "529": (sdk_span(ERROR, "overloaded_error", 529), failed("overloaded", "awaiting_response", "anthropic")),
    "overloaded in the stream": (
        sdk_span(ERROR, "overloaded_error", **TOKEN), failed("overloaded", "streaming", "anthropic"),
    ),
    "429": (sdk_span(ERROR, "rate_limit_error", 429), failed("rate_limited", "awaiting_response", "anthropic")),
    "500": (sdk_span(ERROR, "api_error", 500), failed("api_error", "awaiting_response", "anthropic")),
    "504 of the API": (
        sdk_span(ERROR, "timeout_error", 504), failed("timeout_error", "awaiting_response", "anthropic"),
    ),
    "400": (
        sdk_span(ERROR, "invalid_request_error", 400), failed("request_rejected", "awaiting_response", "anthropic"),
    ),
    "504 of a gateway": (sdk_span(ERROR, "504", 504), failed("gateway_error", "awaiting_response", "intermediary")),
    "504 of a gateway at 29 s": (
        sdk_span(ERROR, "504", 504, 29.1), failed("gateway_error", "awaiting_response", "intermediary", "duration:29s"),
    ),
    "truncated": (sdk_span(ERROR, "api_error", **TOKEN), failed("truncated", "streaming")),
    "truncated at 30 s": (
        sdk_span(ERROR, "api_error", 200, 30.2, **TOKEN), failed("truncated", "streaming", limit="duration:30s"),
    ),
    "truncated at 30 s after a retry": (
        sdk_span(ERROR, "api_error", 200, 30.2, **TOKEN, **{"http.request.resend_count": 1}),
        failed("truncated", "streaming"),
    ),
    "overloaded at 30 s": (
        sdk_span(ERROR, "overloaded_error", 200, 30.2, **TOKEN), failed("overloaded", "streaming", "anthropic"),
    ),
    "cut": (sdk_span(ERROR, "client_error", **TOKEN), failed("connection_closed", "streaming")),
    "cut before a token": (
        sdk_span(ERROR, "connection_error", **FIRST), failed("connection_closed", "awaiting_first_token"),
    ),
    "no connection": (sdk_span(ERROR, "connection_error", None), failed("connect_failed", "connecting", "network")),
    "no response in time": (
        sdk_span(ERROR, "client_timeout_error", None), failed("response_timeout", "awaiting_response", "client"),
    ),
    "no event in time": (
        sdk_span(ERROR, "client_timeout_error"), failed("first_event_timeout", "awaiting_first_event", "client"),
    ),
    "silent": (sdk_span(ERROR, "client_timeout_error", **TOKEN), failed("silent", "streaming", "client")),
    "an error without a response": (sdk_span(ERROR, "client_error", None), failed("stream_error", "awaiting_response")),
    "an unknown type": (sdk_span(ERROR, "future_error", **TOKEN), failed("stream_error", "streaming")),
    "an error without a type": (sdk_span(ERROR, **TOKEN), failed("stream_error", "streaming")),
    "a forged verdict": (
        sdk_span(ERROR, "api_error", **TOKEN, **{"claude.stream.abort.reason": "x" * 99, "claude.stream.phase": "y"}),
        failed("truncated", "streaming"),
    ),
    "a status that is text": (
        sdk_span(ERROR, "504", "504"), failed("gateway_error", "awaiting_response", "intermediary"),
    ),
}  # fmt: skip
"""By case, the span and its outcome, reason, phase, origin and limit."""


def verdicts(collector):
    """The outcome and the abort of each model that was counted."""
    outcomes = {
        found["gen_ai_request_model"]: found["claude_stream_outcome"]
        for found, _ in samples(collector, "claude_stream_duration_seconds_count")
    }
    names = ("abort_reason", "phase", "abort_origin", "abort_limit_match")
    aborts = {
        found["gen_ai_request_model"]: tuple(found[f"claude_stream_{name}"] for name in names)
        for found, _ in samples(collector, "claude_stream_aborts_total")
    }
    return {model: (outcome, *aborts.get(model, (None,) * 4)) for model, outcome in outcomes.items()}


def test_status_and_error_type_become_outcome_reason_phase_origin_and_limit(start, backend):
    collector = start(GATEWAY, PROMETHEUS, OVERLAY, **QUICK)
    spans = []
    for name, (span, _) in VERDICTS.items():
        kept = [one for one in span["attributes"] if one["key"] != "gen_ai.request.model"]
        model = {"gen_ai.request.model": name.replace(" ", "-")}
        spans.append({**span, "attributes": [*kept, *sending.attributes(model)]})
    sending.send(collector.url, "traces", sending.traces(*spans, scope=SCOPE))
    wanted = {name.replace(" ", "-"): verdict for name, (_, verdict) in VERDICTS.items()}
    assert eventually(lambda: len(verdicts(collector)) == len(wanted))
    assert verdicts(collector) == wanted


def counted(collector, name):
    """The sum of a metric for each job."""
    found = {}
    for labels, value in samples(collector, name):
        found[labels["job"]] = found.get(labels["job"], 0.0) + value
    return found


COUNT = "claude_stream_duration_seconds_count"


def test_each_stream_counts_once_in_any_language_and_version(start, backend):
    """Spans of streams that the package measures, of calls without a stream and of other libraries do not count."""
    collector = start(GATEWAY, PROMETHEUS, OVERLAY, **{**QUICK, "OTELCOL_HEALTHY_PERCENT": "0"})
    whole = sdk_span(**STOPPED)
    plain = sending.span("anthropic.messages.create", **{"gen_ai.operation.name": "chat"})
    measured = sdk_span(**STOPPED, **{"claude.stream.source": "instrumentation"})
    unknown = [sdk_span(**STOPPED) for _ in range(30)]
    senders = {
        "python": ("com.anthropic.sdk.python", [whole, plain]),
        "bedrock": ("com.anthropic.sdk.python.bedrock", [whole]),
        "new": ("com.anthropic.sdk.zig", [sending.span("messages.stream", **{"gen_ai.request.stream": True})]),
        "instrumented": ("com.anthropic.sdk.python", [measured]),
        "other": ("com.anthropic.sdkx", [whole]),
        "theirs": ("opentelemetry.instrumentation.anthropic", [whole]),
    }
    for service, (scope, spans) in senders.items():
        document = sending.traces(*spans, resource={"service.name": service}, scope=scope)
        sending.send(collector.url, "traces", document)
    for number, span in enumerate(unknown):
        document = sending.traces(span, resource={"service.name": "unknown"}, scope=f"com.anthropic.sdk.x{number}")
        document["resourceSpans"][0]["scopeSpans"][0]["scope"]["version"] = f"99.{number}.0-next"
        sending.send(collector.url, "traces", document)
    wanted = {"python": 1.0, "bedrock": 1.0, "new": 1.0, "unknown": 30.0}
    assert eventually(lambda: counted(collector, COUNT) == wanted), counted(collector, COUNT)
    assert sum(line.startswith(f"{COUNT}{{") and 'job="unknown"' in line for line in collector.scraped()) == 1
    outcomes = {found["job"]: found["claude_stream_outcome"] for found, _ in samples(collector, COUNT)}
    assert outcomes == {**dict.fromkeys(wanted, "completed"), "new": "closed"}  # its status is unset


def test_processes_without_an_instance_id_are_added_up(start, backend):
    """Their resources differ in the process and the host, which are no labels."""
    collector = start(GATEWAY, PROMETHEUS, OVERLAY, **QUICK, OTELCOL_INSTANCE="gateway-1")
    for number in range(20):
        span = sdk_span(seconds=number + 0.5, **STOPPED)
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            span[name] = str(int(span[name]) - number * 10**9)  # older than those before
        resource = {"service.name": "shop", "process.pid": number, "host.name": f"host-{number}"}
        sending.send(collector.url, "traces", sending.traces(span, resource=resource, scope=SCOPE))
    labels = {"job": "shop", "gen_ai_request_model": "claude", "server_address": "api.anthropic.com"}
    labels |= {"claude_stream_source": "sdk", "claude_stream_outcome": "completed"}
    assert eventually(lambda: samples(collector, COUNT) == [(labels, 20.0)]), collector.scraped()
    assert any('collector="gateway-1"' in line for line in collector.scraped())
    by_bound = {found["le"]: value for found, value in samples(collector, COUNT.replace("count", "bucket"))}
    assert (by_bound["0.5"], by_bound["1"], by_bound["10"], by_bound["20"]) == (1.0, 1.0, 10.0, 20.0)


def test_requests_and_retries_come_from_the_number_of_resends(start, backend):
    """Only the status of the last request is known."""
    collector = start(GATEWAY, PROMETHEUS, OVERLAY, **QUICK)
    again = {"http.request.resend_count": 2}
    spans = [sdk_span(**STOPPED), sdk_span(**STOPPED, **again), sdk_span(ERROR, "overloaded_error", 529, **again)]
    sending.send(collector.url, "traces", sending.traces(*spans, scope=SCOPE))
    common = {"job": "sender", "gen_ai_request_model": "claude", "server_address": "api.anthropic.com"}
    common |= {"claude_stream_source": "sdk", "claude_stream_retry_layer": "sdk"}
    requests = [
        ({**common, "http_response_status_code": "200"}, 2.0),
        ({**common, "http_response_status_code": "529"}, 1.0),
        (common, 4.0),
    ]
    assert eventually(lambda: sorted_samples(collector, "claude_stream_requests_total") == requests)
    assert sorted_samples(collector, "claude_stream_retries_total") == [(common, 4.0)]
    assert counted(collector, "claude_stream_time_to_first_token_seconds_count") == {"sender": 2.0}
    assert counted(collector, "claude_stream_attempt_aborts_total") == {"sender": 1.0}
    # The age of the last of several requests is not known.
    assert counted(collector, "claude_stream_abort_elapsed_seconds_count") == {}


# --- The file and the tables of the package ---------------------------------------------------------------------------
def overlay():
    return yaml.safe_load(OVERLAY.read_text())


def statements():
    """Value and condition of each statement that sets an attribute of the verdict, by attribute."""
    found = {}
    for line in overlay()["processors"]["transform/sdk_verdict"]["trace_statements"]:
        if match := re.match(r'set\(span\.attributes\["([\w.]+)"\], "([\w:]+)"\)(?: where (.*))?$', line):
            found.setdefault(match[1], []).append((match[2], match[3] or ""))
    return found


def test_the_metrics_are_those_of_the_schema():
    """They have the unit, description and buckets of the package, and the labels that an SDK's span can give."""
    specs = {spec.name: spec for spec in schema.METRICS}
    unknown = {a.BLOCK_TYPE.name, a.RETRY_REASON.name, a.RETRY_DECISION.name, a.LABEL.name}
    for metric in overlay()["connectors"]["signal_to_metrics/sdk"]["spans"]:
        spec = specs[metric["name"]]
        assert (metric["unit"], metric["description"]) == (spec.unit, spec.doc)
        assert tuple(metric.get("histogram", {}).get("buckets", ())) == spec.buckets
        labels = {one["key"] for one in metric["attributes"]} - {a.SOURCE.name}
        statuses = {a.STATUS_CODE.name} if "resend_count" in str(metric) else set()
        assert labels == {attribute.name for attribute in spec.attributes} - unknown - statuses


def test_the_values_of_the_verdict_are_those_of_the_package():
    """Each error type of the API has the reason that the classifier gives it."""
    closed = {a.OUTCOME: Outcome, a.PHASE: Phase, a.REASON: AbortReason, a.ORIGIN: Origin}
    for attribute, values in closed.items():
        assert {value for value, _ in statements()[attribute.name]} <= {value.value for value in values}
    reasons = dict(reversed(statements()[a.REASON.name]))
    types = {kind: reason.value for kind, reason in PROVIDER_REASONS.items() if re.match("[a-z_]+$", kind)}
    types = {kind: reason for kind, reason in types.items() if kind.endswith("_error") or kind == "request_too_large"}
    assert {kind: reason for kind, reason in types.items() if kind not in reasons[reason]} == {}


def test_the_limits_are_those_of_the_package_on_the_whole_response():
    """Where two windows overlap, the nearer limit matches."""
    limits = {label_of(x): x for x in KNOWN_LIMITS if x.kind is LimitKind.DURATION and not x.of_client}
    ordered = sorted(limits.values(), key=lambda limit: limit.seconds)
    windows = {}
    for number, limit in enumerate(ordered):
        low, high = limit.earliest, limit.latest
        if number:
            low = max(low, (ordered[number - 1].seconds + limit.seconds) / 2)
        if limit is not ordered[-1]:
            high = min(high, (limit.seconds + ordered[number + 1].seconds) / 2)
        windows[label_of(limit)] = (low, high)
    found = {
        value: tuple(float(number) for number in re.findall(r"\d+\.\d+", condition))
        for value, condition in statements()[a.LIMIT_MATCH.name]
        if value != "none"
    }
    assert found == windows
