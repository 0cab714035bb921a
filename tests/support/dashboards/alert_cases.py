"""Test cases for the alerts, with input series a minute apart in the notation of promtool."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.generator.names import label, metric
from dashboards.generator.promql import MODEL, SERVER

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

CALL = {"job": "chat", "instance": "a", MODEL: "claude-sonnet-5", SERVER: "gw.example.com"}


def series(spec, suffix="", /, le=None, **labels):
    """Return the text of a series of the schema. Keywords such as `reason` name attributes of the schema."""
    all_labels = {**CALL, **{label(getattr(a, name.upper())): value for name, value in labels.items()}}
    if le is not None:
        all_labels["le"] = le
    return other_series(f"{metric(spec)}{suffix}", **all_labels)


def other_series(name, **labels):
    """Return the text of a series that is not in the schema."""
    return f"{name}{{{','.join(f'{key}={chr(34)}{value}{chr(34)}' for key, value in labels.items())}}}"


REQUESTS = series(schema.REQUESTS, status_code="200", retry_layer="sdk")
COMPLETED = series(schema.DURATION, "_count", outcome="completed")
FAILED = series(schema.ABORTS, reason="connection_closed", phase="streaming", origin="unknown", limit_match="none")
CLOSED = series(schema.ABORTS, reason="caller_closed", phase="streaming", origin="caller", limit_match="none")
AT_60_S = series(
    schema.ATTEMPT_ABORTS, reason="connection_closed", phase="streaming", origin="intermediary", limit_match="idle:60s"
)
IN_MID_STREAM = series(schema.ABORTS, reason="overloaded", phase="streaming", origin="anthropic", limit_match="none")
BEFORE_STREAM = series(
    schema.ABORTS, reason="overloaded", phase="awaiting_response", origin="anthropic", limit_match="none"
)
RETRIED = series(schema.RETRIES, retry_reason="overloaded", retry_decision="retry", retry_layer="sdk")
FIRST_TOKENS = series(schema.TIME_TO_FIRST_TOKEN, "_count", block_type="text")
STALLED = series(schema.STALLS, stall_threshold="60s", stall_kind="silent")
OLDEST = series(schema.OLDEST_AGE)
GAPS = series(schema.CHUNK_GAP, "_count")


def in_time(le="10.0"):
    return series(schema.TIME_TO_FIRST_TOKEN, "_bucket", le=le, block_type="text")


@dataclass(frozen=True)
class Case:
    """Input series, and the alerts that fire at some minutes. No other alert fires at those minutes."""

    name: str
    alert: str
    series: dict[str, str]
    firing: dict[int, list[dict[str, str]]]


def firing_alert(alert, severity, **labels):
    return {"alertname": alert, "severity": severity, "component": "claude-stream", "job": "chat", **labels}


GATEWAY = {SERVER: "gw.example.com"}
SONNET = {MODEL: "claude-sonnet-5"}
PAGE = firing_alert("AbortBudgetBurn", "page")
TICKET = firing_alert("AbortBudgetBurn", "ticket")
SLOW_PAGE = firing_alert("FirstTokenObjectiveBurn", "page")
SLOW_TICKET = firing_alert("FirstTokenObjectiveBurn", "ticket")
CUT = firing_alert("ProxyTimeoutSignature", "ticket", **GATEWAY, **{label(a.LIMIT_MATCH): "idle:60s"})
BROKEN = firing_alert("OverloadedMidStream", "page", **SONNET)
AMPLIFIED = firing_alert("RetryAmplificationHigh", "ticket", **GATEWAY)
SPENT = firing_alert("RetryBudgetExhausted", "ticket", **GATEWAY, **SONNET)
STALLS = firing_alert("StreamStalled", "ticket", **GATEWAY)

CASES = (
    Case(
        "half of the streams fail for two hours",
        "AbortBudgetBurn",
        {
            REQUESTS: "0+10x1000",
            FAILED: "0x60 5+5x119 605x800",
            COMPLETED: "0+10x60 610+5x119 1215+10x800",
        },
        {
            60: [],
            63: [],  # the short window burns, the long one does not yet
            83: [PAGE],
            90: [PAGE, TICKET],
            170: [PAGE, TICKET],
            # Failures end at 180. The short window recovers five minutes later, and the page fires for ten more.
            205: [TICKET],
            245: [],
            600: [],
        },
    ),
    Case(
        "one stream an hour, and it fails",
        "AbortBudgetBurn",
        {REQUESTS: "0x60 1x60 2x60", FAILED: "0x60 1x60 2x60", COMPLETED: "0x180"},
        {61: [], 70: [], 125: [], 180: []},
    ),
    Case("no streams", "AbortBudgetBurn", {REQUESTS: "7x400", FAILED: "5x400", COMPLETED: "2x400"}, {300: []}),
    Case(
        "callers close their streams",
        "AbortBudgetBurn",
        {REQUESTS: "0+10x400", CLOSED: "0+9x400", FAILED: "0x400", COMPLETED: "0+1x400"},
        {300: []},
    ),
    Case(
        "a process restarts, and its counters with it",
        "AbortBudgetBurn",
        {REQUESTS: "1000+10x100 0+10x200", FAILED: "900x100 0x200", COMPLETED: "0+10x100 0+10x200"},
        {100: [], 103: [], 110: [], 200: []},
    ),
    Case(
        "every first token is late for two hours",
        "FirstTokenObjectiveBurn",
        {
            REQUESTS: "0+10x1000",
            FIRST_TOKENS: "0+10x1000",
            in_time(): "0+10x60 600x120 610+10x800",
        },
        {60: [], 125: [SLOW_PAGE, SLOW_TICKET], 175: [SLOW_PAGE, SLOW_TICKET], 205: [SLOW_TICKET], 260: [], 800: []},
    ),
    Case(
        "first tokens are in time, with the other spelling of the bound",
        "FirstTokenObjectiveBurn",
        {REQUESTS: "0+10x400", FIRST_TOKENS: "0+10x400", in_time("10"): "0+10x400"},
        {300: []},
    ),
    Case(
        "four late first tokens of four",
        "FirstTokenObjectiveBurn",
        {REQUESTS: "0x10 4x300", FIRST_TOKENS: "0x10 1 2 3 4x300", in_time(): "0x310"},
        {12: [], 15: [], 60: []},
    ),
    Case(
        "three cuts at 60 s, the first of which created the series",
        "ProxyTimeoutSignature",
        {REQUESTS: "0+1x400", COMPLETED: "0+1x400", AT_60_S: "_x60 1x9 2x9 3x300"},
        {75: [], 80: [], 83: [CUT], 110: [CUT], 150: [], 300: []},
    ),
    Case(
        "two cuts at 60 s",
        "ProxyTimeoutSignature",
        {REQUESTS: "0+1x400", COMPLETED: "0+1x400", AT_60_S: "_x60 1x9 2x300"},
        {75: [], 90: [], 200: []},
    ),
    Case(
        "cuts at no known limit",
        "ProxyTimeoutSignature",
        {REQUESTS: "0+50x400", COMPLETED: "0+50x400", FAILED: "0x60 0+1x9 9x300"},
        {65: [], 69: [], 200: []},
    ),
    Case(
        "a process that Prometheus has just discovered",
        "ProxyTimeoutSignature",
        {REQUESTS: "_x60 5000x200", COMPLETED: "_x60 5000x200", AT_60_S: "_x60 50x200"},
        {63: [], 90: [], 200: []},
    ),
    Case(
        "a tenth of the streams end with overloaded_error, for ten minutes",
        "OverloadedMidStream",
        {REQUESTS: "0+10x400", COMPLETED: "0+10x60 610+9x9 700+10x300", IN_MID_STREAM: "0x60 1+1x9 10x300"},
        {60: [], 66: [], 72: [BROKEN], 79: [BROKEN], 92: [], 200: []},
    ),
    Case(
        "one stream in fifty ends with overloaded_error",
        "OverloadedMidStream",
        {REQUESTS: "0+50x400", COMPLETED: "0+49x400", IN_MID_STREAM: "0x60 0+1x300"},
        {70: [], 200: []},
    ),
    Case(
        "a single stream ends with overloaded_error",
        "OverloadedMidStream",
        {REQUESTS: "0x60 1x300", COMPLETED: "0x360", IN_MID_STREAM: "0x60 1x300"},
        {61: [], 66: [], 120: []},
    ),
    Case(
        "overloaded before the response headers",
        "OverloadedMidStream",
        {REQUESTS: "0+10x99 1000x300", COMPLETED: "0+99x99 9900x300", BEFORE_STREAM: "0+1x99 100x300"},
        {70: [], 99: [], 200: []},
    ),
    Case(
        "two retries for each stream, for twenty minutes",
        "RetryAmplificationHigh",
        {REQUESTS: "0+3x60 183+9x19 354+3x300", RETRIED: "0x60 6+6x19 120x300", COMPLETED: "0+3x400"},
        {60: [], 65: [], 75: [AMPLIFIED], 80: [AMPLIFIED], 105: [], 300: []},
    ),
    Case(
        "one stream with two retries",
        "RetryAmplificationHigh",
        {REQUESTS: "0x60 3x300", RETRIED: "0x60 2x300", COMPLETED: "0x60 1x300"},
        {62: [], 66: [], 69: [], 200: []},
    ),
    Case(
        "no retries",
        "RetryAmplificationHigh",
        {REQUESTS: "0+10x300", RETRIED: "0x300", COMPLETED: "0+10x300"},
        {100: [], 300: []},
    ),
    Case(
        "slow streams while chunks arrive",
        "StreamStalled",
        {REQUESTS: "0x300", OLDEST: "0+60x20 _x300", GAPS: "0+100x300"},
        {14: [], 20: [], 200: []},
    ),
    Case(
        "a third of the streams stall, for a quarter of an hour",
        "StreamStalled",
        {
            REQUESTS: "0+3x400",
            COMPLETED: "0+3x400",
            series(schema.DURATION, "_count", outcome="failed"): "0x400",
            STALLED: "0x60 1+1x14 15x300",
            GAPS: "0+100x400",
        },
        {60: [], 63: [], 68: [STALLS], 75: [STALLS], 110: [], 300: []},
    ),
    Case(
        "one stream hangs, and no chunk arrives",
        "StreamStalled",
        {REQUESTS: "0x300", OLDEST: "0+60x60 _x200", GAPS: "0+10x10 100x300"},
        {14: [], 19: [STALLS], 60: [STALLS], 90: []},
    ),
    Case(
        "one stall in many streams",
        "StreamStalled",
        {REQUESTS: "0+60x400", COMPLETED: "0+60x400", STALLED: "0x60 0+1x20 20x300", GAPS: "0+900x400"},
        {70: [], 80: [], 200: []},
    ),
)

LEFT = series(schema.RETRY_BUDGET)
REFUSED = series(
    schema.RETRY_DECISIONS,
    retry_reason="overloaded",
    retry_decision="give_up",
    retry_blocked_by="budget",
    retry_dry_run="false",
)
WOULD_REFUSE = REFUSED.replace('dry_run="false"', 'dry_run="true"')
CASES += (
    Case(
        "the budget is empty for half an hour",
        "RetryBudgetExhausted",
        {REQUESTS: "0+10x400", LEFT: "6x60 0x30 6x300"},
        {60: [], 63: [], 70: [SPENT], 90: [SPENT], 115: [], 300: []},
    ),
    Case(
        "the budget refuses retries, and has some left at each scrape",
        "RetryBudgetExhausted",
        {REQUESTS: "0+10x400", LEFT: "2x400", REFUSED: "_x60 1+1x29 30x300"},
        {60: [], 63: [], 72: [SPENT], 95: [SPENT], 125: [], 300: []},
    ),
    Case(
        "the budget is used but not exhausted",
        "RetryBudgetExhausted",
        {REQUESTS: "0+10x400", LEFT: "6x60 1x100 6x200", REFUSED: "0x60 0+1x3 4x300"},
        {70: [], 100: [], 300: []},
    ),
    Case(
        "no policy",
        "RetryBudgetExhausted",
        {REQUESTS: "0+10x400", COMPLETED: "0+10x400", WOULD_REFUSE: "0+1x400"},
        {100: []},
    ),
)


def dropping_alert(signal, what):
    return {
        "alertname": "TelemetryPipelineDropping",
        "severity": "ticket",
        "component": "claude-stream",
        "job": "collector",
        "signal": signal,
        "what": what,
    }


def collector(name, **labels):
    return other_series(name, job="collector", instance="c", **labels)


QUEUE_FULL = "otelcol_exporter_enqueue_failed_"
ANSWERS = "otelcol_http_server_request_duration"
CASES += (
    Case(
        "a full queue loses spans and metric points, for a quarter of an hour",
        "TelemetryPipelineDropping",
        {
            collector(f"{QUEUE_FULL}spans_total", exporter="otlp_grpc/traces"): "0x60 60+60x14 900x300",
            collector(f"{QUEUE_FULL}metric_points_total", exporter="otlp_grpc/traces"): "0x60 60+60x14 900x300",
            collector("otelcol_receiver_refused_spans_total", receiver="otlp"): "0x400",
        },
        {
            60: [],
            62: [],
            68: [dropping_alert("spans", "not queued"), dropping_alert("metric_points", "not queued")],
            100: [],
        },
    ),
    Case(
        "the memory limiter refuses, in a Collector that names its metrics without suffixes",
        "TelemetryPipelineDropping",
        {collector("otelcol_receiver_refused_spans", receiver="otlp", transport="grpc"): "0x60 60+60x300"},
        {60: [], 68: [dropping_alert("spans", "refused")]},
    ),
    Case(
        "the API sends spans with a wrong token, and then with the right one",
        "TelemetryPipelineDropping",
        {
            collector(f"{ANSWERS}_count", http_response_status_code="401"): "0x60 60+60x60 3660x300",
            collector(f"{ANSWERS}_count", http_response_status_code="200"): "0x120 0+1x300",
            collector("otelcol_receiver_accepted_spans", receiver="otlp/api", transport="http"): "0x120 0+10x300",
        },
        {
            60: [],
            68: [dropping_alert("spans", "unauthorized")],
            118: [dropping_alert("spans", "unauthorized")],
            140: [],
        },
    ),
    Case(
        "strangers try the address at which spans of the API arrive",
        "TelemetryPipelineDropping",
        {
            collector(f"{ANSWERS}_seconds_count", http_response_status_code="401"): "0+60x300",
            collector("otelcol_receiver_accepted_spans_total", receiver="otlp/api"): "0+10x300",
        },
        {60: [], 100: []},
    ),
    Case(
        "nothing is lost",
        "TelemetryPipelineDropping",
        {
            collector(f"{QUEUE_FULL}spans_total", exporter="otlp_grpc/traces"): "0x400",
            collector("otelcol_exporter_sent_spans_total", exporter="otlp_grpc/traces"): "0+100x400",
            collector("otelcol_exporter_send_failed_spans_total", exporter="otlp_grpc/traces"): "7x400",
        },
        {100: [], 300: []},
    ),
)

BOARD = "/d/claude-stream-"
EXPECTED_ANNOTATIONS = {
    ("half of the streams fail for two hours", 83): [
        (PAGE, "chat: 18.18% of the Claude streams fail", f"{BOARD}health?var-job=chat"),
    ],
    ("every first token is late for two hours", 125): [
        (SLOW_PAGE, "chat: 100% of the first tokens of Claude streams are late", f"{BOARD}health?var-job=chat"),
        (SLOW_TICKET, "chat: 51.61% of the first tokens of Claude streams are late", f"{BOARD}health?var-job=chat"),
    ],
    ("three cuts at 60 s, the first of which created the series", 83): [
        (
            CUT,
            "chat: streams from gw.example.com are cut at idle:60s",
            f"{BOARD}timeouts?var-job=chat&var-server=gw.example.com",
        ),
    ],
    ("a tenth of the streams end with overloaded_error, for ten minutes", 72): [
        (
            BROKEN,
            "chat: 9.091% of the streams of claude-sonnet-5 end with overloaded_error",
            f"{BOARD}overload?var-job=chat&var-model=claude-sonnet-5",
        ),
    ],
    ("two retries for each stream, for twenty minutes", 75): [
        (
            AMPLIFIED,
            "chat: 3.00 HTTP requests to gw.example.com for each stream",
            f"{BOARD}overload?var-job=chat&var-server=gw.example.com",
        ),
    ],
    ("a third of the streams stall, for a quarter of an hour", 68): [
        (STALLS, "chat: streams from gw.example.com stall", f"{BOARD}health?var-job=chat&var-server=gw.example.com"),
    ],
    ("the budget is empty for half an hour", 70): [
        (
            SPENT,
            "chat: no retries left for claude-sonnet-5 at gw.example.com",
            f"{BOARD}overload?var-job=chat&var-server=gw.example.com&var-model=claude-sonnet-5",
        ),
    ],
    ("a full queue loses spans and metric points, for a quarter of an hour", 68): [
        (
            dropping_alert(signal, "not queued"),
            f"collector: {signal} not queued by the Collector",
            f"{BOARD}pipeline?var-collector=collector",
        )
        for signal in ("metric_points", "spans")
    ],
}
"""Expected annotations by case and minute, each with the summary and the path of the dashboard."""
