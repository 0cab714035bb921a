"""Every known ending as facts, with its expected reason, origin and other possible reasons."""

from __future__ import annotations

from dataclasses import replace

from tests.support import chains
from tests.support.chains import fault

from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Origin, Phase, Stop

STREAMING = Facts(
    Stop.RAISED,
    Phase.STREAMING,
    status=200,
    content_type="text/event-stream",
    has_request_id=True,
    message_start=True,
    events=9,
    pings=1,
    bytes=1200,
    bytes_last_5s=300,
    elapsed=7.7,
    attempt_elapsed=7.7,
    time_to_headers=0.4,
    silence=0.1,
)
NO_EVENT = replace(STREAMING, phase=Phase.AWAITING_FIRST_EVENT, message_start=False, events=0, pings=0, bytes=0)
CONNECTING = Facts(Stop.RAISED, Phase.CONNECTING, elapsed=0.1, time_to_headers=0.1, silence=0.1)
AWAITING_RESPONSE = replace(CONNECTING, phase=Phase.AWAITING_RESPONSE)
ERROR_PAGE = replace(
    AWAITING_RESPONSE,
    fault=chains.STATUS_ERROR,
    error_source=ErrorSource.HTTP,
    content_type="text/html",
    body=BodyClass.HTML,
)
API_ERROR = replace(ERROR_PAGE, content_type="application/json", body=BodyClass.API, has_request_id=True)
TRUNCATED = replace(STREAMING, stop=Stop.EXHAUSTED)
COMPLETE = replace(TRUNCATED, message_delta=True, message_stop=True, phase=Phase.FINISHING)
STOP_MISSING = replace(COMPLETE, message_stop=False)
CLOSED = replace(STREAMING, stop=Stop.CLOSED)


def sse_error(error_type: str | None) -> Facts:
    return replace(STREAMING, fault=chains.STATUS_ERROR, error_type=error_type, error_source=ErrorSource.SSE)


def api_error(status: int, error_type: str | None = None, **more: object) -> Facts:
    return replace(API_ERROR, status=status, error_type=error_type, **more)


def error_page(status: int, **more: object) -> Facts:
    return replace(ERROR_PAGE, status=status, **more)


def with_fault(chain: Fault, facts: Facts = STREAMING) -> Facts:
    return replace(facts, fault=chain)


# Name of the ending -> (facts, reason, origin, also possible).
ENDINGS: dict[str, tuple[Facts, R, Origin, set[R]]] = {
    # The provider, by an error event. The status is 200, so the type decides.
    "sse overloaded": (sse_error("overloaded_error"), R.OVERLOADED, Origin.ANTHROPIC, set()),
    "sse rate limit": (sse_error("rate_limit_error"), R.RATE_LIMITED, Origin.ANTHROPIC, set()),
    "sse api error": (sse_error("api_error"), R.API_ERROR, Origin.ANTHROPIC, set()),
    "sse time-out": (sse_error("timeout_error"), R.TIMEOUT_ERROR, Origin.ANTHROPIC, set()),
    "sse invalid request": (sse_error("invalid_request_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse authentication": (sse_error("authentication_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse permission": (sse_error("permission_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse not found": (sse_error("not_found_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse too large": (sse_error("request_too_large"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse billing": (sse_error("billing_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "sse bedrock throttling": (sse_error("throttlingException"), R.RATE_LIMITED, Origin.ANTHROPIC, set()),
    "sse bedrock model stream": (sse_error("modelStreamErrorException"), R.STREAM_ERROR, Origin.ANTHROPIC, set()),
    "sse new type": (sse_error("weather_error"), R.STREAM_ERROR, Origin.ANTHROPIC, set()),
    "sse without type": (sse_error(None), R.STREAM_ERROR, Origin.ANTHROPIC, set()),
    "sse, unknown source": (with_fault(chains.STATUS_ERROR), R.STREAM_ERROR, Origin.ANTHROPIC, set()),
    # The provider, by status.
    "529": (api_error(529, "overloaded_error"), R.OVERLOADED, Origin.ANTHROPIC, set()),
    "529 of a new type": (api_error(529, "compaction_unavailable"), R.OVERLOADED, Origin.ANTHROPIC, set()),
    "529 without body, with request-id": (api_error(529, body=BodyClass.EMPTY), R.OVERLOADED, Origin.ANTHROPIC, set()),
    "429": (api_error(429, "rate_limit_error"), R.RATE_LIMITED, Origin.ANTHROPIC, set()),
    "429 untyped": (api_error(429), R.RATE_LIMITED, Origin.ANTHROPIC, set()),
    "504 of the API": (api_error(504, "timeout_error"), R.TIMEOUT_ERROR, Origin.ANTHROPIC, set()),
    "504 without body, with request-id": (
        api_error(504, body=BodyClass.EMPTY),
        R.TIMEOUT_ERROR,
        Origin.ANTHROPIC,
        set(),
    ),
    "500": (api_error(500, "api_error"), R.API_ERROR, Origin.ANTHROPIC, set()),
    "503 untyped, with request-id": (api_error(503), R.API_ERROR, Origin.ANTHROPIC, set()),
    "400": (api_error(400, "invalid_request_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "402": (api_error(402, "billing_error"), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "418 untyped": (api_error(418), R.REQUEST_REJECTED, Origin.ANTHROPIC, set()),
    "bedrock by its type": (
        error_page(400, error_type="ThrottlingException", body=BodyClass.JSON),
        R.RATE_LIMITED,
        Origin.ANTHROPIC,
        set(),
    ),
    "vertex by its type": (
        error_page(429, error_type="RESOURCE_EXHAUSTED", body=BodyClass.JSON),
        R.RATE_LIMITED,
        Origin.ANTHROPIC,
        set(),
    ),
    # A gateway.
    "gateway 502": (error_page(502), R.GATEWAY_ERROR, Origin.INTERMEDIARY, {R.OVERLOADED, R.API_ERROR}),
    "gateway 503 JSON": (
        error_page(503, body=BodyClass.JSON),
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        {R.OVERLOADED, R.API_ERROR},
    ),
    "gateway 504 empty": (
        error_page(504, body=BodyClass.EMPTY),
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        {R.OVERLOADED, R.API_ERROR},
    ),
    **{
        f"gateway 504 {body.value} with request-id": (
            error_page(504, body=body, has_request_id=True, headers={"server": "nginx"}),
            R.GATEWAY_ERROR,
            Origin.INTERMEDIARY,
            {R.OVERLOADED, R.API_ERROR},
        )
        for body in (BodyClass.HTML, BodyClass.TEXT, BodyClass.JSON)
    },
    "gateway 504 with request-id, page not read": (
        error_page(504, body=BodyClass.NONE, has_request_id=True),
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        {R.OVERLOADED, R.API_ERROR},
    ),
    "529 page without request-id": (error_page(529), R.GATEWAY_ERROR, Origin.INTERMEDIARY, {R.OVERLOADED, R.API_ERROR}),
    "524 with cf-ray alone": (
        error_page(524, headers={"cf-ray": "8"}),
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        {R.OVERLOADED, R.API_ERROR},
    ),
    "gateway 413": (error_page(413), R.GATEWAY_ERROR, Origin.INTERMEDIARY, {R.REQUEST_REJECTED}),
    "gateway 407": (error_page(407), R.GATEWAY_ERROR, Origin.INTERMEDIARY, {R.REQUEST_REJECTED}),
    "redirect": (error_page(302), R.GATEWAY_ERROR, Origin.INTERMEDIARY, {R.REQUEST_REJECTED}),
    "redirect, reported as an error event": (
        error_page(302, error_source=ErrorSource.SSE),
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        {R.REQUEST_REJECTED},
    ),
    "error event of an unknown source": (
        replace(sse_error(None), error_source=None),
        R.STREAM_ERROR,
        Origin.ANTHROPIC,
        set(),
    ),
    "portal page with 200": (
        replace(NO_EVENT, stop=Stop.EXHAUSTED, content_type="text/html"),
        R.BAD_RESPONSE,
        Origin.INTERMEDIARY,
        set(),
    ),
    "whole message as JSON": (
        replace(NO_EVENT, content_type="application/json", fault=fault("AssertionError")),
        R.BAD_RESPONSE,
        Origin.INTERMEDIARY,
        set(),
    ),
    # No connection.
    "refused": (with_fault(chains.REFUSED, CONNECTING), R.CONNECT_FAILED, Origin.NETWORK, set()),
    "refused, aiohttp": (with_fault(chains.REFUSED_AIOHTTP, CONNECTING), R.CONNECT_FAILED, Origin.NETWORK, set()),
    "no route": (with_fault(chains.NO_ROUTE, CONNECTING), R.CONNECT_FAILED, Origin.NETWORK, set()),
    "unreachable, by errno alone": (
        with_fault(fault("an.APIConnectionError", "OSError", errno=101), AWAITING_RESPONSE),
        R.CONNECT_FAILED,
        Origin.NETWORK,
        set(),
    ),
    "name not found": (with_fault(chains.NAME_NOT_FOUND, CONNECTING), R.CONNECT_FAILED, Origin.NETWORK, set()),
    "connect time-out": (with_fault(chains.CONNECT_TIMEOUT, CONNECTING), R.CONNECT_FAILED, Origin.NETWORK, set()),
    "pool time-out": (with_fault(chains.POOL_TIMEOUT, AWAITING_RESPONSE), R.CONNECT_FAILED, Origin.CLIENT, set()),
    "untrusted certificate": (
        with_fault(chains.UNTRUSTED_CERTIFICATE, CONNECTING),
        R.CONNECT_FAILED,
        Origin.UNKNOWN,
        set(),
    ),
    "proxy refused": (with_fault(chains.PROXY_REFUSED, CONNECTING), R.CONNECT_FAILED, Origin.INTERMEDIARY, set()),
    "unsupported protocol": (
        with_fault(fault("an.APIConnectionError", "hx.UnsupportedProtocol"), CONNECTING),
        R.CONNECT_FAILED,
        Origin.CLIENT,
        set(),
    ),
    # No response.
    "disconnected": (
        with_fault(chains.DISCONNECTED, AWAITING_RESPONSE),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR},
    ),
    "disconnected, aiohttp": (
        with_fault(chains.DISCONNECTED_AIOHTTP, AWAITING_RESPONSE),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR},
    ),
    "reset before the headers": (
        with_fault(chains.RESET_BEFORE_HEADERS, AWAITING_RESPONSE),
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "reset before the headers, aiohttp": (
        with_fault(chains.RESET_BEFORE_HEADERS_AIOHTTP, AWAITING_RESPONSE),
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "pipe broken by a rejected upload": (
        with_fault(chains.BROKEN_PIPE_BEFORE_HEADERS, AWAITING_RESPONSE),
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "TLS ended without a response": (
        with_fault(fault("an.APIConnectionError", "hx.ReadError", "ssl.SSLCertVerificationError"), AWAITING_RESPONSE),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR},
    ),
    "TLS, aiohttp": (
        with_fault(fault("an.APIConnectionError", "hx.ConnectError", "aio.ClientSSLError"), AWAITING_RESPONSE),
        R.CONNECT_FAILED,
        Origin.UNKNOWN,
        set(),
    ),
    "response time-out": (
        with_fault(chains.RESPONSE_TIMEOUT, AWAITING_RESPONSE),
        R.RESPONSE_TIMEOUT,
        Origin.CLIENT,
        set(),
    ),
    "response time-out, async": (
        with_fault(chains.RESPONSE_TIMEOUT_ASYNC, AWAITING_RESPONSE),
        R.RESPONSE_TIMEOUT,
        Origin.CLIENT,
        set(),
    ),
    "dead path before the headers": (
        with_fault(chains.DEAD_PATH_BEFORE_HEADERS, AWAITING_RESPONSE),
        R.RESPONSE_TIMEOUT,
        Origin.NETWORK,
        set(),
    ),
    "request not sent": (
        with_fault(chains.WRITE_TIMEOUT, AWAITING_RESPONSE),
        R.RESPONSE_TIMEOUT,
        Origin.NETWORK,
        set(),
    ),
    "not HTTP": (with_fault(chains.NOT_HTTP, AWAITING_RESPONSE), R.BAD_RESPONSE, Origin.UNKNOWN, set()),
    "endless redirects": (
        with_fault(fault("an.APIConnectionError", "hx.TooManyRedirects"), AWAITING_RESPONSE),
        R.BAD_RESPONSE,
        Origin.UNKNOWN,
        set(),
    ),
    "error body cut": (
        with_fault(chains.ERROR_BODY_CUT, AWAITING_RESPONSE),
        R.GATEWAY_ERROR,
        Origin.UNKNOWN,
        {R.CONNECTION_RESET, R.CONNECTION_CLOSED, R.API_ERROR, R.REQUEST_REJECTED},
    ),
    "wrong arguments": (with_fault(fault("TypeError"), CONNECTING), R.CALLER_ERROR, Origin.CALLER, set()),
    # In the body.
    "FIN in a chunk": (with_fault(chains.CHUNKED_BODY_CUT), R.CONNECTION_CLOSED, Origin.UNKNOWN, set()),
    "FIN, content-length": (with_fault(chains.CONTENT_LENGTH_CUT), R.CONNECTION_CLOSED, Origin.UNKNOWN, set()),
    "FIN before the first event": (
        with_fault(chains.CHUNKED_BODY_CUT, NO_EVENT),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        set(),
    ),
    "FIN while finishing": (
        with_fault(chains.CHUNKED_BODY_CUT, replace(STOP_MISSING, stop=Stop.RAISED)),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        set(),
    ),
    "FIN, aiohttp": (with_fault(chains.BODY_CUT_AIOHTTP), R.CONNECTION_CLOSED, Origin.UNKNOWN, {R.CONNECTION_RESET}),
    "wrapped after the headers": (
        with_fault(fault("an.APIConnectionError")),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        set(),
    ),
    "bad chunk": (
        with_fault(chains.BAD_CHUNK),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        {R.DECODE_ERROR, R.CONNECTION_RESET},
    ),
    "reset": (with_fault(chains.RESET), R.CONNECTION_RESET, Origin.UNKNOWN, set()),
    "reset, async": (with_fault(chains.RESET_ASYNC), R.CONNECTION_RESET, Origin.UNKNOWN, set()),
    "reset, no errno": (with_fault(chains.RESET_NO_ERRNO), R.CONNECTION_RESET, Origin.UNKNOWN, set()),
    "reset, errno of macOS": (
        with_fault(fault("hx.ReadError", "OSError", errno=54)),
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        set(),
    ),
    "clean end": (TRUNCATED, R.TRUNCATED, Origin.UNKNOWN, {R.CONNECTION_CLOSED}),
    "clean end, no event": (
        replace(NO_EVENT, stop=Stop.EXHAUSTED),
        R.TRUNCATED,
        Origin.UNKNOWN,
        {R.CONNECTION_CLOSED, R.BAD_RESPONSE},
    ),
    "read time-out": (with_fault(chains.READ_TIMEOUT), R.SILENT, Origin.CLIENT, {R.CONNECTION_CLOSED}),
    "read time-out, async": (with_fault(chains.READ_TIMEOUT_ASYNC), R.SILENT, Origin.CLIENT, {R.CONNECTION_CLOSED}),
    "read time-out, aiohttp": (with_fault(chains.READ_TIMEOUT_AIOHTTP), R.SILENT, Origin.CLIENT, {R.CONNECTION_CLOSED}),
    "read time-out, no event": (
        with_fault(chains.READ_TIMEOUT, NO_EVENT),
        R.FIRST_EVENT_TIMEOUT,
        Origin.CLIENT,
        {R.CONNECTION_CLOSED},
    ),
    "dead path": (with_fault(chains.DEAD_PATH), R.SILENT, Origin.NETWORK, set()),
    "dead path, async": (with_fault(chains.DEAD_PATH_ASYNC), R.SILENT, Origin.NETWORK, set()),
    "dead path, no event": (with_fault(chains.DEAD_PATH_ASYNC, NO_EVENT), R.SILENT, Origin.NETWORK, set()),
    "JSON": (with_fault(chains.INVALID_JSON), R.DECODE_ERROR, Origin.UNKNOWN, {R.CONNECTION_CLOSED}),
    "UTF-8": (with_fault(chains.INVALID_UTF8), R.DECODE_ERROR, Origin.UNKNOWN, {R.CONNECTION_CLOSED}),
    "gzip": (with_fault(chains.GZIP), R.DECODE_ERROR, Origin.UNKNOWN, {R.CONNECTION_CLOSED}),
    "gzip, zlib error": (with_fault(chains.GZIP_RAW), R.DECODE_ERROR, Origin.UNKNOWN, {R.CONNECTION_CLOSED}),
    "model validation fails": (
        with_fault(fault("pydantic.ValidationError")),
        R.DECODE_ERROR,
        Origin.UNKNOWN,
        {R.STREAM_ERROR, R.CALLER_ERROR},
    ),
    "unexpected order of events": (
        with_fault(fault("RuntimeError")),
        R.DECODE_ERROR,
        Origin.UNKNOWN,
        {R.STREAM_ERROR, R.CALLER_ERROR},
    ),
    "unknown exception": (
        with_fault(fault("xyz.Unknown")),
        R.STREAM_ERROR,
        Origin.UNKNOWN,
        {R.CONNECTION_CLOSED, R.CALLER_ERROR},
    ),
    "raised, exception unknown": (STREAMING, R.STREAM_ERROR, Origin.UNKNOWN, {R.CONNECTION_CLOSED, R.CALLER_ERROR}),
    # The watchdogs of the policy.
    "no progress": (with_fault(fault("watchdog.NoProgressTimeout")), R.NO_PROGRESS, Origin.CLIENT, set()),
    "no first event": (
        with_fault(fault("watchdog.FirstEventTimeout"), NO_EVENT),
        R.FIRST_EVENT_TIMEOUT,
        Origin.CLIENT,
        set(),
    ),
    "no first content": (
        with_fault(fault("watchdog.FirstContentTimeout")),
        R.FIRST_CONTENT_TIMEOUT,
        Origin.CLIENT,
        set(),
    ),
    "silence by the watchdog": (
        with_fault(fault("watchdog.SilenceTimeout")),
        R.SILENT,
        Origin.CLIENT,
        {R.CONNECTION_CLOSED},
    ),
    "silence by the watchdog before the first event": (
        with_fault(fault("watchdog.SilenceTimeout"), NO_EVENT),
        R.FIRST_EVENT_TIMEOUT,
        Origin.CLIENT,
        {R.CONNECTION_CLOSED},
    ),
    "lifetime": (with_fault(fault("watchdog.LifetimeTimeout")), R.LIFETIME_EXCEEDED, Origin.CLIENT, set()),
    "queue time-out": (
        with_fault(fault("watchdog.QueueTimeout"), replace(CONNECTING, phase=Phase.QUEUED)),
        R.QUEUE_TIMEOUT,
        Origin.CLIENT,
        set(),
    ),
    # The caller.
    "close": (CLOSED, R.CALLER_CLOSED, Origin.CALLER, set()),
    "close while finishing": (replace(STOP_MISSING, stop=Stop.CLOSED), R.CALLER_CLOSED, Origin.CALLER, set()),
    "exception in the body": (with_fault(fault("ValueError"), CLOSED), R.CALLER_ERROR, Origin.CALLER, set()),
    "network exception in the body": (
        with_fault(chains.CHUNKED_BODY_CUT, CLOSED),
        R.CALLER_ERROR,
        Origin.CALLER,
        set(),
    ),
    "reset of another client in the body": (with_fault(chains.RESET, CLOSED), R.CALLER_ERROR, Origin.CALLER, set()),
    "dead path of another client in the body": (
        with_fault(chains.DEAD_PATH, CLOSED),
        R.CALLER_ERROR,
        Origin.CALLER,
        set(),
    ),
    "cancelled": (with_fault(chains.CANCELLED), R.CANCELLED, Origin.CALLER, set()),
    "cancelled before the headers": (
        with_fault(chains.CANCELLED, AWAITING_RESPONSE),
        R.CANCELLED,
        Origin.CALLER,
        set(),
    ),
    "cancelled in the body": (with_fault(chains.CANCELLED, CLOSED), R.CANCELLED, Origin.CALLER, set()),
    "trio": (with_fault(fault("trio.Cancelled")), R.CANCELLED, Origin.CALLER, set()),
    "ctrl-c": (with_fault(fault("KeyboardInterrupt")), R.CANCELLED, Origin.CALLER, set()),
    "sys.exit from a signal": (with_fault(fault("SystemExit")), R.CANCELLED, Origin.CALLER, set()),
    "cancellation deeper in the chain of the caller's error": (
        with_fault(fault("TimeoutError", "asyncio.CancelledError"), CLOSED),
        R.CALLER_ERROR,
        Origin.CALLER,
        set(),
    ),
    "dropped": (replace(STREAMING, stop=Stop.DROPPED), R.ABANDONED, Origin.CALLER, set()),
    "generator around the stream closed": (
        with_fault(fault("GeneratorExit"), CLOSED),
        R.CALLER_CLOSED,
        Origin.CALLER,
        set(),
    ),
    "interpreter exit": (replace(STREAMING, stop=Stop.EXIT), R.INTERPRETER_EXIT, Origin.CALLER, set()),
    "closed elsewhere": (with_fault(chains.BAD_FILE_DESCRIPTOR), R.CALLER_CLOSED, Origin.CALLER, set()),
    "closed elsewhere, anyio": (with_fault(chains.CLOSED_ANYIO), R.CALLER_CLOSED, Origin.CALLER, set()),
    "closed elsewhere, aiohttp": (with_fault(chains.CLOSED_AIOHTTP), R.CALLER_CLOSED, Origin.CALLER, set()),
    "closed elsewhere, then read": (with_fault(fault("hx.StreamClosed")), R.CALLER_CLOSED, Origin.CALLER, set()),
}
