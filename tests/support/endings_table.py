"""The complete list of endings as data: what happened, as facts, and the one answer that is right."""

from __future__ import annotations

from dataclasses import replace

from tests.support import chains
from tests.support.chains import fault

from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Origin, Phase, Stop

A, I, N, C, CALLER, U = (  # noqa: E741 - six origins, one letter each, in one column of the table below
    Origin.ANTHROPIC,
    Origin.INTERMEDIARY,
    Origin.NETWORK,
    Origin.CLIENT,
    Origin.CALLER,
    Origin.UNKNOWN,
)

STREAMING = Facts(
    Stop.RAISED,
    Phase.STREAMING,
    status=200,
    content_type="text/event-stream",
    has_request_id=True,
    message_start=True,
    events=9,
    content_events=6,
    pings=1,
    bytes=1200,
    bytes_last_5s=300,
    elapsed=7.7,
    last_attempt=7.7,
    head=0.4,
    silence=0.1,
)
NO_EVENT = replace(
    STREAMING, phase=Phase.AWAITING_FIRST_EVENT, message_start=False, events=0, content_events=0, pings=0, bytes=0
)
CONNECTING = Facts(Stop.RAISED, Phase.CONNECTING, elapsed=0.1, head=0.1, silence=0.1)
WAITING = replace(CONNECTING, phase=Phase.AWAITING_RESPONSE)
PAGE = replace(
    WAITING, fault=chains.STATUS, error_source=ErrorSource.HTTP, content_type="text/html", body=BodyClass.HTML
)
API_ERROR = replace(PAGE, content_type="application/json", body=BodyClass.API, has_request_id=True)
ENDED = replace(STREAMING, stop=Stop.EXHAUSTED)
DONE = replace(ENDED, message_delta=True, message_stop=True, phase=Phase.FINISHING)
ALMOST = replace(DONE, message_stop=False)
LEFT = replace(STREAMING, stop=Stop.CLOSED)


def sse(error_type: str | None) -> Facts:
    return replace(STREAMING, fault=chains.STATUS, error_type=error_type, error_source=ErrorSource.SSE)


def http(status: int, error_type: str | None = None, **more: object) -> Facts:
    return replace(API_ERROR, status=status, error_type=error_type, **more)


def page(status: int, **more: object) -> Facts:
    return replace(PAGE, status=status, **more)


def raised(chain: Fault, facts: Facts = STREAMING) -> Facts:
    return replace(facts, fault=chain)


# What happened -> (facts, reason, origin, also possible).
ENDINGS: dict[str, tuple[Facts, R, Origin, set[R]]] = {
    # The provider, in the stream: status 200, only the type tells.
    "sse overloaded": (sse("overloaded_error"), R.OVERLOADED, A, set()),
    "sse rate limit": (sse("rate_limit_error"), R.RATE_LIMITED, A, set()),
    "sse api error": (sse("api_error"), R.API_ERROR, A, set()),
    "sse time-out": (sse("timeout_error"), R.TIMEOUT_ERROR, A, set()),
    "sse invalid request": (sse("invalid_request_error"), R.REQUEST_REJECTED, A, set()),
    "sse authentication": (sse("authentication_error"), R.REQUEST_REJECTED, A, set()),
    "sse permission": (sse("permission_error"), R.REQUEST_REJECTED, A, set()),
    "sse not found": (sse("not_found_error"), R.REQUEST_REJECTED, A, set()),
    "sse too large": (sse("request_too_large"), R.REQUEST_REJECTED, A, set()),
    "sse billing": (sse("billing_error"), R.REQUEST_REJECTED, A, set()),
    "sse bedrock throttling": (sse("throttlingException"), R.RATE_LIMITED, A, set()),
    "sse bedrock model stream": (sse("modelStreamErrorException"), R.STREAM_ERROR, A, set()),
    "sse new type": (sse("weather_error"), R.STREAM_ERROR, A, set()),
    "sse without type": (sse(None), R.STREAM_ERROR, A, set()),
    "sse, source not known": (raised(chains.STATUS), R.STREAM_ERROR, A, set()),
    # The provider, by status.
    "529": (http(529, "overloaded_error"), R.OVERLOADED, A, set()),
    "529 of a new type": (http(529, "compaction_unavailable"), R.OVERLOADED, A, set()),
    "529 without body, with request-id": (http(529, body=BodyClass.EMPTY), R.OVERLOADED, A, set()),
    "429": (http(429, "rate_limit_error"), R.RATE_LIMITED, A, set()),
    "429 untyped": (http(429), R.RATE_LIMITED, A, set()),
    "504 of the API": (http(504, "timeout_error"), R.TIMEOUT_ERROR, A, set()),
    "504 untyped, with request-id": (http(504, body=BodyClass.HTML), R.TIMEOUT_ERROR, A, set()),
    "500": (http(500, "api_error"), R.API_ERROR, A, set()),
    "503 untyped, with request-id": (http(503), R.API_ERROR, A, set()),
    "400": (http(400, "invalid_request_error"), R.REQUEST_REJECTED, A, set()),
    "402": (http(402, "billing_error"), R.REQUEST_REJECTED, A, set()),
    "418 untyped": (http(418), R.REQUEST_REJECTED, A, set()),
    "bedrock by its type": (page(400, error_type="ThrottlingException", body=BodyClass.JSON), R.RATE_LIMITED, A, set()),
    "vertex by its type": (page(429, error_type="RESOURCE_EXHAUSTED", body=BodyClass.JSON), R.RATE_LIMITED, A, set()),
    # A gateway.
    "gateway 502": (page(502), R.GATEWAY_ERROR, I, {R.OVERLOADED, R.API_ERROR}),
    "gateway 503 JSON": (page(503, body=BodyClass.JSON), R.GATEWAY_ERROR, I, {R.OVERLOADED, R.API_ERROR}),
    "gateway 504 empty": (page(504, body=BodyClass.EMPTY), R.GATEWAY_ERROR, I, {R.OVERLOADED, R.API_ERROR}),
    "529 page without request-id": (page(529), R.GATEWAY_ERROR, I, {R.OVERLOADED, R.API_ERROR}),
    "524 with cf-ray alone": (page(524, headers={"cf-ray": "8"}), R.GATEWAY_ERROR, I, {R.OVERLOADED, R.API_ERROR}),
    "gateway 413": (page(413), R.GATEWAY_ERROR, I, {R.REQUEST_REJECTED}),
    "gateway 407": (page(407), R.GATEWAY_ERROR, I, {R.REQUEST_REJECTED}),
    "redirect": (page(302), R.GATEWAY_ERROR, I, {R.REQUEST_REJECTED}),
    "redirect taken for an event": (
        page(302, error_source=ErrorSource.SSE),
        R.GATEWAY_ERROR,
        I,
        {R.REQUEST_REJECTED},
    ),
    "error event of an unknown source": (
        replace(sse(None), error_source=None),
        R.STREAM_ERROR,
        A,
        set(),
    ),
    "portal page with 200": (
        replace(NO_EVENT, stop=Stop.EXHAUSTED, content_type="text/html"),
        R.BAD_RESPONSE,
        I,
        set(),
    ),
    "whole message as JSON": (
        replace(NO_EVENT, content_type="application/json", fault=fault("AssertionError")),
        R.BAD_RESPONSE,
        I,
        set(),
    ),
    # No connection.
    "refused": (raised(chains.REFUSED, CONNECTING), R.CONNECT_FAILED, N, set()),
    "refused, aiohttp": (raised(chains.REFUSED_AIOHTTP, CONNECTING), R.CONNECT_FAILED, N, set()),
    "no route": (raised(chains.NO_ROUTE, CONNECTING), R.CONNECT_FAILED, N, set()),
    "unreachable, by number only": (
        raised(fault("an.APIConnectionError", "OSError", errno=101), WAITING),
        R.CONNECT_FAILED,
        N,
        set(),
    ),
    "no name": (raised(chains.NO_NAME, CONNECTING), R.CONNECT_FAILED, N, set()),
    "connect time-out": (raised(chains.CONNECT_TIMEOUT, CONNECTING), R.CONNECT_FAILED, N, set()),
    "pool time-out": (raised(chains.POOL_TIMEOUT, WAITING), R.CONNECT_FAILED, C, set()),
    "untrusted": (raised(chains.UNTRUSTED, CONNECTING), R.CONNECT_FAILED, U, set()),
    "proxy refused": (raised(chains.PROXY_REFUSED, CONNECTING), R.CONNECT_FAILED, I, set()),
    "no such protocol": (
        raised(fault("an.APIConnectionError", "hx.UnsupportedProtocol"), CONNECTING),
        R.CONNECT_FAILED,
        C,
        set(),
    ),
    # No response.
    "disconnected": (raised(chains.DISCONNECTED, WAITING), R.CONNECTION_CLOSED, U, {R.CONNECT_FAILED, R.GATEWAY_ERROR}),
    "disconnected, aiohttp": (
        raised(chains.DISCONNECTED_AIOHTTP, WAITING),
        R.CONNECTION_CLOSED,
        U,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR},
    ),
    "reset before head": (
        raised(chains.RESET_HEAD, WAITING),
        R.CONNECTION_RESET,
        U,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "reset before head, aiohttp": (
        raised(chains.RESET_HEAD_AIOHTTP, WAITING),
        R.CONNECTION_RESET,
        U,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "pipe broken by a refused upload": (
        raised(chains.PIPE_HEAD, WAITING),
        R.CONNECTION_RESET,
        U,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED},
    ),
    "TLS ended without a response": (
        raised(fault("an.APIConnectionError", "hx.ReadError", "ssl.SSLCertVerificationError"), WAITING),
        R.CONNECTION_CLOSED,
        U,
        {R.CONNECT_FAILED, R.GATEWAY_ERROR},
    ),
    "TLS, aiohttp": (
        raised(fault("an.APIConnectionError", "hx.ConnectError", "aio.ClientSSLError"), WAITING),
        R.CONNECT_FAILED,
        U,
        set(),
    ),
    "response time-out": (raised(chains.QUIET_HEAD, WAITING), R.RESPONSE_TIMEOUT, C, set()),
    "response time-out, async": (raised(chains.QUIET_HEAD_ASYNC, WAITING), R.RESPONSE_TIMEOUT, C, set()),
    "dead path before head": (raised(chains.DEAD_HEAD, WAITING), R.RESPONSE_TIMEOUT, N, set()),
    "request not taken": (raised(chains.NOT_TAKEN, WAITING), R.RESPONSE_TIMEOUT, N, set()),
    "not HTTP": (raised(chains.NOT_HTTP, WAITING), R.BAD_RESPONSE, U, set()),
    "redirects for ever": (
        raised(fault("an.APIConnectionError", "hx.TooManyRedirects"), WAITING),
        R.BAD_RESPONSE,
        U,
        set(),
    ),
    "error body cut": (
        raised(chains.ERROR_BODY_CUT, WAITING),
        R.GATEWAY_ERROR,
        U,
        {R.CONNECTION_RESET, R.CONNECTION_CLOSED, R.API_ERROR, R.REQUEST_REJECTED},
    ),
    "wrong arguments": (raised(fault("TypeError"), CONNECTING), R.CALLER_ERROR, CALLER, set()),
    # In the body.
    "FIN in a chunk": (raised(chains.CUT), R.CONNECTION_CLOSED, U, set()),
    "FIN, content-length": (raised(chains.SHORT), R.CONNECTION_CLOSED, U, set()),
    "FIN before the first event": (raised(chains.CUT, NO_EVENT), R.CONNECTION_CLOSED, U, set()),
    "FIN in finishing": (raised(chains.CUT, replace(ALMOST, stop=Stop.RAISED)), R.CONNECTION_CLOSED, U, set()),
    "FIN, aiohttp": (raised(chains.CUT_AIOHTTP), R.CONNECTION_CLOSED, U, {R.CONNECTION_RESET}),
    "wrapped after the head": (raised(fault("an.APIConnectionError")), R.CONNECTION_CLOSED, U, set()),
    "bad chunk": (raised(chains.BAD_CHUNK), R.CONNECTION_CLOSED, U, {R.DECODE_ERROR, R.CONNECTION_RESET}),
    "reset": (raised(chains.RESET), R.CONNECTION_RESET, U, set()),
    "reset, async": (raised(chains.RESET_ASYNC), R.CONNECTION_RESET, U, set()),
    "reset, no errno": (raised(chains.RESET_NO_ERRNO), R.CONNECTION_RESET, U, set()),
    "reset on a Mac": (raised(fault("hx.ReadError", "OSError", errno=54)), R.CONNECTION_RESET, U, set()),
    "clean end": (ENDED, R.TRUNCATED, U, {R.CONNECTION_CLOSED}),
    "clean end, no event": (
        replace(NO_EVENT, stop=Stop.EXHAUSTED),
        R.TRUNCATED,
        U,
        {R.CONNECTION_CLOSED, R.BAD_RESPONSE},
    ),
    "read time-out": (raised(chains.QUIET), R.SILENT, C, {R.CONNECTION_CLOSED}),
    "read time-out, async": (raised(chains.QUIET_ASYNC), R.SILENT, C, {R.CONNECTION_CLOSED}),
    "read time-out, aiohttp": (raised(chains.QUIET_AIOHTTP), R.SILENT, C, {R.CONNECTION_CLOSED}),
    "read time-out, no event": (raised(chains.QUIET, NO_EVENT), R.FIRST_EVENT_TIMEOUT, C, {R.CONNECTION_CLOSED}),
    "dead path": (raised(chains.DEAD), R.SILENT, N, set()),
    "dead path, async": (raised(chains.DEAD_ASYNC), R.SILENT, N, set()),
    "dead path, no event": (raised(chains.DEAD_ASYNC, NO_EVENT), R.SILENT, N, set()),
    "JSON": (raised(chains.JSON), R.DECODE_ERROR, U, {R.CONNECTION_CLOSED}),
    "UTF-8": (raised(chains.UTF8), R.DECODE_ERROR, U, {R.CONNECTION_CLOSED}),
    "gzip": (raised(chains.GZIP), R.DECODE_ERROR, U, {R.CONNECTION_CLOSED}),
    "gzip, bare": (raised(chains.GZIP_RAW), R.DECODE_ERROR, U, {R.CONNECTION_CLOSED}),
    "model does not fit": (
        raised(fault("pydantic.ValidationError")),
        R.DECODE_ERROR,
        U,
        {R.STREAM_ERROR, R.CALLER_ERROR},
    ),
    "odd order": (raised(fault("RuntimeError")), R.DECODE_ERROR, U, {R.STREAM_ERROR, R.CALLER_ERROR}),
    "never seen": (raised(fault("xyz.Odd")), R.STREAM_ERROR, U, {R.CONNECTION_CLOSED, R.CALLER_ERROR}),
    "raised, exception lost": (STREAMING, R.STREAM_ERROR, U, {R.CONNECTION_CLOSED, R.CALLER_ERROR}),
    # Clocks of our own.
    "no progress": (raised(fault("own.NoProgressTimeout")), R.NO_PROGRESS, C, set()),
    "first event": (raised(fault("own.FirstEventTimeout"), NO_EVENT), R.FIRST_EVENT_TIMEOUT, C, set()),
    "silence": (raised(fault("own.SilenceTimeout")), R.SILENT, C, {R.CONNECTION_CLOSED}),
    "silence, no event": (
        raised(fault("own.SilenceTimeout"), NO_EVENT),
        R.FIRST_EVENT_TIMEOUT,
        C,
        {R.CONNECTION_CLOSED},
    ),
    "silence, no response": (
        raised(fault("own.SilenceTimeout"), WAITING),
        R.RESPONSE_TIMEOUT,
        C,
        {R.CONNECTION_CLOSED},
    ),
    # The caller.
    "close": (LEFT, R.CALLER_CLOSED, CALLER, set()),
    "close in finishing": (replace(ALMOST, stop=Stop.CLOSED), R.CALLER_CLOSED, CALLER, set()),
    "exception in the body": (raised(fault("ValueError"), LEFT), R.CALLER_ERROR, CALLER, set()),
    "network exception in the body": (raised(chains.CUT, LEFT), R.CALLER_ERROR, CALLER, set()),
    "reset of another client in the body": (raised(chains.RESET, LEFT), R.CALLER_ERROR, CALLER, set()),
    "dead path of another client in the body": (raised(chains.DEAD, LEFT), R.CALLER_ERROR, CALLER, set()),
    "cancelled": (raised(chains.CANCELLED), R.CANCELLED, CALLER, set()),
    "cancelled before the head": (raised(chains.CANCELLED, WAITING), R.CANCELLED, CALLER, set()),
    "cancelled in the body": (raised(chains.CANCELLED, LEFT), R.CANCELLED, CALLER, set()),
    "trio": (raised(fault("trio.Cancelled")), R.CANCELLED, CALLER, set()),
    "ctrl-c": (raised(fault("KeyboardInterrupt")), R.CANCELLED, CALLER, set()),
    "sys.exit from a signal": (raised(fault("SystemExit")), R.CANCELLED, CALLER, set()),
    "cancel deeper in the chain of the caller's error": (
        raised(fault("TimeoutError", "asyncio.CancelledError"), LEFT),
        R.CALLER_ERROR,
        CALLER,
        set(),
    ),
    "dropped": (replace(STREAMING, stop=Stop.DROPPED), R.ABANDONED, CALLER, set()),
    "generator around it closed": (raised(fault("GeneratorExit"), LEFT), R.ABANDONED, CALLER, set()),
    "interpreter exit": (replace(STREAMING, stop=Stop.EXIT), R.INTERPRETER_EXIT, CALLER, set()),
    "closed elsewhere": (
        raised(chains.QUIET, replace(STREAMING, closed_elsewhere=True)),
        R.CALLER_CLOSED,
        CALLER,
        set(),
    ),
    "closed elsewhere, EBADF": (raised(chains.BAD_FD), R.CALLER_CLOSED, CALLER, set()),
    "closed elsewhere, anyio": (raised(chains.CLOSED_ANYIO), R.CALLER_CLOSED, CALLER, set()),
    "closed elsewhere, aiohttp": (raised(chains.CLOSED_AIOHTTP), R.CALLER_CLOSED, CALLER, set()),
    "closed elsewhere, then read": (raised(fault("hx.StreamClosed")), R.CALLER_CLOSED, CALLER, set()),
}
