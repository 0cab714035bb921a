"""The evidence that the rules examine, derived from ``Facts`` once for all rules."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Phase, Stop

# Numbers of errno differ between Linux, macOS and Windows (WSA*). None below means something else on a socket there.
ERRNO_RESET = frozenset({104, 54, 10054, 32, 103, 53, 10053})
"""ECONNRESET, EPIPE, ECONNABORTED."""
ERRNO_TIMED_OUT = frozenset({110, 60, 10060})
"""ETIMEDOUT: the kernel gave up on the path. It is never the client's time-out, whatever the class (measured)."""
ERRNO_UNREACHABLE = frozenset({111, 61, 10061, 113, 65, 10065, 101, 51, 10051})
"""ECONNREFUSED, EHOSTUNREACH, ENETUNREACH."""
ERRNO_CLOSED = frozenset({9, 10038})
"""EBADF, WSAENOTSOCK: the socket was closed in this process."""

CANCELLATIONS = frozenset(
    {"CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit", "GreenletExit", "SoftTimeLimitExceeded"}
)
"""asyncio and concurrent.futures, trio, Ctrl-C, ``sys.exit()`` in a signal handler, gevent, Celery."""
CONNECT_ERRORS = frozenset(
    {"ConnectError", "ConnectTimeout", "gaierror", "ClientConnectorError", "ConnectionRefusedError"}
)
TLS_ERRORS = frozenset({"SSLError", "ClientSSLError"})
RESET_ERRORS = frozenset({"ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError", "BrokenResourceError"})
CLOSED_LOCALLY = frozenset({"ClosedResourceError", "StreamClosed"})
TIMEOUTS = frozenset(
    {"TimeoutException", "ReadTimeout", "WriteTimeout", "APITimeoutError", "SocketTimeoutError", "TimeoutError"}
)
DECODE_ERRORS = frozenset(
    {"JSONDecodeError", "UnicodeDecodeError", "DecodingError", "ContentEncodingError", "APIResponseValidationError"}
    | {"ParserError"}
)
"""JSON, UTF-8, gzip (httpx, aiohttp), models, botocore's event stream frames."""
TRANSPORT_ERRORS = frozenset(
    {"TransportError", "NetworkError", "ProtocolError", "ClientError", "OSError", "EndOfStream"}
    | {"ReadError", "WriteError", "RemoteProtocolError", "ClientPayloadError"}
)
STREAM_CONTENT_TYPES = frozenset({"text/event-stream", "application/vnd.amazon.eventstream"})
"""Content types of a stream of the API and of Bedrock."""
HTML_CONTENT_TYPES = frozenset({"text/html", "application/xhtml+xml"})
"""Content types that the API never sends. A response whose body was not read has no other sign of its sender."""
_OTHER_BODIES = frozenset({BodyClass.HTML, BodyClass.TEXT, BodyClass.JSON})
"""Error bodies that do not have the API's structure."""

PROVIDER_REASONS: Mapping[str, R] = {
    # Anthropic: docs.anthropic.com, errors.
    "overloaded_error": R.OVERLOADED,
    "rate_limit_error": R.RATE_LIMITED,
    "api_error": R.API_ERROR,
    "timeout_error": R.TIMEOUT_ERROR,
    "invalid_request_error": R.REQUEST_REJECTED,
    "authentication_error": R.REQUEST_REJECTED,
    "billing_error": R.REQUEST_REJECTED,
    "permission_error": R.REQUEST_REJECTED,
    "not_found_error": R.REQUEST_REJECTED,
    "conflict_error": R.REQUEST_REJECTED,
    "request_too_large": R.REQUEST_REJECTED,
    # Bedrock runtime: members of the response stream, and exceptions of InvokeModelWithResponseStream.
    "throttlingexception": R.RATE_LIMITED,
    "servicequotaexceededexception": R.RATE_LIMITED,
    "serviceunavailableexception": R.OVERLOADED,
    "modelnotreadyexception": R.OVERLOADED,
    "internalserverexception": R.API_ERROR,
    "modelerrorexception": R.API_ERROR,
    "modeltimeoutexception": R.TIMEOUT_ERROR,
    "modelstreamerrorexception": R.STREAM_ERROR,
    "validationexception": R.REQUEST_REJECTED,
    "accessdeniedexception": R.REQUEST_REJECTED,
    "resourcenotfoundexception": R.REQUEST_REJECTED,
    # Vertex AI: google.rpc.Code.
    "resource_exhausted": R.RATE_LIMITED,
    "unavailable": R.OVERLOADED,
    "internal": R.API_ERROR,
    "deadline_exceeded": R.TIMEOUT_ERROR,
    "invalid_argument": R.REQUEST_REJECTED,
    "failed_precondition": R.REQUEST_REJECTED,
    "permission_denied": R.REQUEST_REJECTED,
    "unauthenticated": R.REQUEST_REJECTED,
    "not_found": R.REQUEST_REJECTED,
}
"""Error types of the providers, in lower case, and the reason that each stands for."""

STATUS_REASONS: Mapping[int, R] = {429: R.RATE_LIMITED, 504: R.TIMEOUT_ERROR, 529: R.OVERLOADED}
"""Reasons by HTTP status, for an unknown error type. Any other 5xx is ``api_error``, any 4xx ``request_rejected``."""

_NO_CLASSES: frozenset[str] = frozenset()


class Evidence:
    """The facts and what follows from them. Built once for each ending and then discarded."""

    __slots__ = (
        "chain_classes", "errno", "facts", "messages", "outermost", "outermost_classes", "raised", "status",
        "wrapped_by_sdk",
    )  # fmt: skip

    def __init__(self, facts: Facts) -> None:
        fault = facts.fault
        self.facts = facts
        self.outermost = fault.kinds[0] if fault is not None and fault.kinds else ""
        """Class name of the outermost exception."""
        self.outermost_classes = fault.bases[0] if fault is not None and fault.bases else _NO_CLASSES
        """Class names in the MRO of the outermost exception."""
        self.chain_classes = _NO_CLASSES.union(*fault.bases, fault.kinds) if fault is not None else _NO_CLASSES
        """Class names in the MRO of any exception of the chain."""
        self.errno = fault.errno if fault is not None else None
        self.messages = "\n".join((fault.message, *fault.messages)).lower() if fault is not None else ""
        """Messages of the exceptions in lower case, for wording matches only."""
        self.raised = facts.stop is Stop.RAISED
        self.status = facts.status
        self.wrapped_by_sdk = "APIConnectionError" in self.outermost_classes
        """The SDK wraps transport errors only until the response headers arrive."""

    @property
    def no_response(self) -> bool:
        """Whether no response had arrived: no status, no event."""
        facts = self.facts
        return (
            self.status is None
            and facts.events == 0
            and not facts.message_start
            and facts.phase in (Phase.QUEUED, Phase.CONNECTING, Phase.AWAITING_RESPONSE)
        )

    @property
    def connection_reset(self) -> bool:
        """Whether the peer, or a device in its place, reset the connection."""
        return self.errno in ERRNO_RESET or not self.chain_classes.isdisjoint(RESET_ERRORS)

    @property
    def kernel_timed_out(self) -> bool:
        """Whether the kernel gave up on the path (ETIMEDOUT), under any exception class."""
        return self.errno in ERRNO_TIMED_OUT

    @property
    def client_timed_out(self) -> bool:
        """Whether a time-out of the client ended the stream.

        The classes also cover ETIMEDOUT, so check ``kernel_timed_out`` first.
        """
        return not self.outermost_classes.isdisjoint(TIMEOUTS)

    @property
    def undecodable(self) -> bool:
        """Whether bytes arrived that are not valid JSON, UTF-8, gzip or frames."""
        fault = self.facts.fault
        return not self.chain_classes.isdisjoint(DECODE_ERRORS) or (
            # The class of zlib's exception is called `error`, like many others.
            fault is not None and "error" in self.chain_classes and "zlib" in fault.modules
        )

    @property
    def transport_error(self) -> bool:
        """Whether the outermost exception is one of a transport, not of the caller or of a decoder."""
        return not self.outermost_classes.isdisjoint(TRANSPORT_ERRORS)

    @property
    def from_api(self) -> bool:
        """Whether the API itself sent the response.

        The evidence is the structure of an error body, or an error type that only a provider uses. The header
        ``request-id`` counts only without a body of another structure, since gateways copy it to their own error pages.
        The header ``cf-ray`` is no evidence, since other services are behind Cloudflare too.
        """
        facts = self.facts
        if facts.body is BodyClass.API or self.provider_reason is not None:
            return True
        is_unlike_api = facts.body in _OTHER_BODIES or facts.content_type in HTML_CONTENT_TYPES
        return facts.has_request_id and not is_unlike_api

    @property
    def provider_reason(self) -> R | None:
        """The reason that the provider's error type stands for, None without a known type."""
        return PROVIDER_REASONS.get((self.facts.error_type or "").lower())

    @property
    def http_reason(self) -> R:
        """The reason for an HTTP error of the API, by its type or else by its status."""
        known = self.provider_reason
        if known is not None:
            return known
        status = self.status or 0
        return STATUS_REASONS.get(status) or (R.API_ERROR if status >= 500 else R.REQUEST_REJECTED)

    @property
    def sse_error(self) -> bool:
        """Whether an error event ended the stream. Its status is 200, so only the type identifies it (measured)."""
        facts = self.facts
        if self.status is not None and self.status >= 300:
            return False  # a redirect without a target raises the same class, and its status is no error status
        if facts.error_source is not None:
            return facts.error_source is ErrorSource.SSE
        return self.raised and "APIStatusError" in self.outermost_classes and self.status is not None

    @property
    def wrong_content_type(self) -> bool:
        """Whether a success response was not a stream, so that the SDK found no event."""
        facts = self.facts
        success = self.status is not None and 200 <= self.status < 300
        return (
            success
            and facts.events == 0
            and facts.content_type not in STREAM_CONTENT_TYPES
            and facts.content_type != ""
        )

    @property
    def timeout_reason(self) -> R:
        """The reason for a read time-out of the client, by the phase that the stream had reached."""
        started = self.facts.events > 0 or self.facts.phase is not Phase.AWAITING_FIRST_EVENT
        return R.SILENT if started else R.FIRST_EVENT_TIMEOUT
