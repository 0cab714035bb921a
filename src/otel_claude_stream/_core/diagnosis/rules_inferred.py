"""Rules for endings that nothing reported, inferred from how the connection ended."""

from __future__ import annotations

from otel_claude_stream._core.diagnosis.evidence import CONNECT_ERRORS, ERRNO_UNREACHABLE, TLS_ERRORS
from otel_claude_stream._core.diagnosis.rule import LimitCheck, Rule
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import Origin, Stop

_SDK_ERRORS = frozenset({"TypeError", "KeyError", "IndexError", "AttributeError", "AssertionError", "RuntimeError"})
_SDK_ERRORS |= {"ValueError", "ValidationError", "AnthropicError"}

_REQUEST_ERRORS = frozenset({"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"})

INFERRED_RULES: tuple[Rule, ...] = (
    # The body ended without an exception.
    Rule(
        "no_events",
        "The body ended cleanly without a single event.",
        lambda e: e.facts.stop is Stop.EXHAUSTED and e.facts.events <= 0,
        R.TRUNCATED,
        Origin.UNKNOWN,
        (R.CONNECTION_CLOSED, R.BAD_RESPONSE),
        LimitCheck.BODY,
    ),
    Rule(
        "truncated",
        "The body ended cleanly in the middle of the message. It was cut at the source, or a proxy hid the cut.",
        lambda e: e.facts.stop is Stop.EXHAUSTED,
        R.TRUNCATED,
        Origin.UNKNOWN,
        (R.CONNECTION_CLOSED,),
        LimitCheck.BODY,
    ),
    # No response: the SDK wrapped the exception, or nothing left this machine.
    Rule(
        "proxy_refused",
        "The forward proxy refused the connection.",
        lambda e: e.no_response and "ProxyError" in e.chain_classes,
        R.CONNECT_FAILED,
        Origin.INTERMEDIARY,
    ),
    Rule(
        "no_response_aiohttp",
        "The connection was closed before a response. aiohttp reports a connect error, but it was connected.",
        lambda e: e.no_response and "ServerDisconnectedError" in e.chain_classes,
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        (R.CONNECT_FAILED, R.GATEWAY_ERROR),
        LimitCheck.HEADERS,
    ),
    Rule(
        "no_response_aiohttp_reset",
        "The connection was reset before a response. aiohttp reports a connect error, but it was connected.",
        lambda e: (
            e.no_response
            and e.connection_reset
            and "ClientOSError" in e.chain_classes
            and "ClientConnectorError" not in e.chain_classes
        ),
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        (R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED),
        LimitCheck.HEADERS,
    ),
    Rule(
        "pool_timeout",
        "The client's connection pool was full. No request was sent.",
        lambda e: e.no_response and "PoolTimeout" in e.chain_classes,
        R.CONNECT_FAILED,
        Origin.CLIENT,
    ),
    Rule(
        "tls_failed",
        "TLS failed before a request was sent: an intercepting proxy, or an outdated certificate store.",
        lambda e: (
            e.no_response
            and not e.chain_classes.isdisjoint(TLS_ERRORS)
            and e.chain_classes.isdisjoint({"ReadError", "WriteError"})
        ),
        R.CONNECT_FAILED,
        Origin.UNKNOWN,
    ),
    Rule(
        "connect_failed",
        "No connection: refused, no route, name not found, or no answer to the handshake.",
        lambda e: e.no_response and (not e.chain_classes.isdisjoint(CONNECT_ERRORS) or e.errno in ERRNO_UNREACHABLE),
        R.CONNECT_FAILED,
        Origin.NETWORK,
    ),
    Rule(
        "unusable_request",
        "The client could not build the request, since HTTP does not allow its address or a header.",
        lambda e: e.no_response and not e.chain_classes.isdisjoint(_REQUEST_ERRORS),
        R.CONNECT_FAILED,
        Origin.CLIENT,
    ),
    Rule(
        "dead_path_before_headers",
        "The kernel gave up on the path before a response (ETIMEDOUT). The client's time-out did not expire.",
        lambda e: e.no_response and e.kernel_timed_out,
        R.RESPONSE_TIMEOUT,
        Origin.NETWORK,
        limit_check=LimitCheck.HEADERS,
    ),
    Rule(
        "request_not_sent",
        "The request could not be written within the time-out: the peer accepts no bytes.",
        lambda e: e.no_response and "WriteTimeout" in e.chain_classes,
        R.RESPONSE_TIMEOUT,
        Origin.NETWORK,
    ),
    Rule(
        "response_timeout",
        "The client's time-out expired before the response headers.",
        lambda e: e.no_response and e.client_timed_out,
        R.RESPONSE_TIMEOUT,
        Origin.CLIENT,
        limit_check=LimitCheck.CLIENT_HEADERS,
    ),
    Rule(
        "not_http",
        "The answer is not HTTP, or redirects endlessly.",
        lambda e: e.no_response and ("illegal" in e.messages or "TooManyRedirects" in e.chain_classes),
        R.BAD_RESPONSE,
        Origin.UNKNOWN,
    ),
    Rule(
        "error_body_cut",
        "A raw transport error without a response: the SDK was reading the body of an error, whose status is lost.",
        lambda e: e.no_response and e.transport_error and not e.wrapped_by_sdk,
        R.GATEWAY_ERROR,
        Origin.UNKNOWN,
        (R.CONNECTION_RESET, R.CONNECTION_CLOSED, R.API_ERROR, R.REQUEST_REJECTED),
        LimitCheck.HEADERS,
    ),
    Rule(
        "reset_before_headers",
        "Reset before a response: a crashed server, a stale connection, or a request rejected while it was sent.",
        lambda e: e.no_response and e.connection_reset,
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        (R.CONNECT_FAILED, R.GATEWAY_ERROR, R.REQUEST_REJECTED),
        LimitCheck.HEADERS,
    ),
    Rule(
        "closed_before_headers",
        "Closed before a response: a crashed server, a stale connection, or a tunnel whose target does not answer.",
        lambda e: e.no_response and (e.wrapped_by_sdk or e.transport_error),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        (R.CONNECT_FAILED, R.GATEWAY_ERROR),
        LimitCheck.HEADERS,
    ),
    Rule(
        "bad_call",
        "An exception was raised before a request was sent: the arguments of the call were wrong.",
        lambda e: e.no_response and e.raised and e.facts.fault is not None,
        R.CALLER_ERROR,
        Origin.CALLER,
    ),
    # In the body: raw errors of the transport, which the SDK does not wrap.
    Rule(
        "dead_path",
        "The kernel gave up on the path in the middle of the stream (ETIMEDOUT). The client's time-out did not expire.",
        lambda e: e.kernel_timed_out,
        R.SILENT,
        Origin.NETWORK,
        limit_check=LimitCheck.BODY_ALL_LIMITS,
    ),
    Rule(
        "undecodable",
        "Bytes arrived that are not valid JSON, UTF-8, gzip or frames.",
        lambda e: e.raised and e.undecodable,
        R.DECODE_ERROR,
        Origin.UNKNOWN,
        (R.CONNECTION_CLOSED,),
    ),
    Rule(
        "read_timeout",
        "The client's read time-out expired: the server is silent, or a hop lost it without closing the connection.",
        lambda e: e.raised and e.client_timed_out,
        lambda e: e.timeout_reason,
        Origin.CLIENT,
        (R.CONNECTION_CLOSED,),
        LimitCheck.CLIENT_BODY,
    ),
    Rule(
        "bad_chunk",
        "Garbage arrived where a chunk should start. Some servers end a cut body like this.",
        lambda e: e.raised and "illegal chunk" in e.messages,
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        (R.DECODE_ERROR, R.CONNECTION_RESET),
        LimitCheck.BODY,
    ),
    Rule(
        "payload_cut",
        "The body ended early under aiohttp, where a reset looks the same.",
        lambda e: e.raised and "ClientPayloadError" in e.chain_classes,
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        (R.CONNECTION_RESET,),
        LimitCheck.BODY,
    ),
    Rule(
        "reset",
        "The connection was reset in the middle of the body.",
        lambda e: e.raised and e.connection_reset,
        R.CONNECTION_RESET,
        Origin.UNKNOWN,
        limit_check=LimitCheck.BODY,
    ),
    Rule(
        "closed",
        "The connection was closed in the middle of the body.",
        lambda e: e.raised and (e.transport_error or e.wrapped_by_sdk),
        R.CONNECTION_CLOSED,
        Origin.UNKNOWN,
        limit_check=LimitCheck.BODY,
    ),
    Rule(
        "malformed_event",
        "The SDK or its models failed on an event.",
        lambda e: e.raised and not e.outermost_classes.isdisjoint(_SDK_ERRORS),
        R.DECODE_ERROR,
        Origin.UNKNOWN,
        (R.STREAM_ERROR, R.CALLER_ERROR),
    ),
    Rule(
        "unknown",
        "No rule above matches.",
        lambda _: True,
        R.STREAM_ERROR,
        Origin.UNKNOWN,
        (R.CONNECTION_CLOSED, R.CALLER_ERROR),
    ),
)
"""In the order in which they are tried, after ``rules_reported.REPORTED_RULES``. The last one matches everything."""
