"""What the rules look at: ``Facts`` with the questions that several rules ask answered once."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Phase, Stop

# errno differ between Linux, macOS and Windows (WSA*): no number below means something else on a socket elsewhere.
ERRNO_RESET = frozenset({104, 54, 10054, 32, 103, 53, 10053})
"""ECONNRESET, EPIPE, ECONNABORTED."""
ERRNO_DEAD = frozenset({110, 60, 10060})
"""ETIMEDOUT: the kernel gave up on the path. Never the client's own time-out, whatever the class (measured)."""
ERRNO_UNREACHABLE = frozenset({111, 61, 10061, 113, 65, 10065, 101, 51, 10051})
"""ECONNREFUSED, EHOSTUNREACH, ENETUNREACH."""
ERRNO_CLOSED = frozenset({9, 10038})
"""EBADF, WSAENOTSOCK: the socket was closed in this process."""

CANCELS = frozenset(
    {"CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit", "GreenletExit", "SoftTimeLimitExceeded"}
)
"""asyncio and concurrent.futures, trio, Ctrl-C, ``sys.exit()`` out of a signal handler, gevent, Celery."""
CONNECTS = frozenset({"ConnectError", "ConnectTimeout", "gaierror", "ClientConnectorError", "ConnectionRefusedError"})
TLS = frozenset({"SSLError", "ClientSSLError"})
RESETS = frozenset({"ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError", "BrokenResourceError"})
CLOSED_HERE = frozenset({"ClosedResourceError", "StreamClosed"})
TIMEOUTS = frozenset(
    {"TimeoutException", "ReadTimeout", "WriteTimeout", "APITimeoutError", "SocketTimeoutError", "TimeoutError"}
)
DECODES = frozenset(
    {"JSONDecodeError", "UnicodeDecodeError", "DecodingError", "ContentEncodingError", "APIResponseValidationError"}
    | {"ParserError"}
)
"""JSON, UTF-8, gzip (httpx, aiohttp), models, botocore's event stream frames."""
TRANSPORT = frozenset({"TransportError", "NetworkError", "ProtocolError", "ClientError", "OSError", "EndOfStream"})
TRANSPORT_KINDS = TRANSPORT | frozenset({"ReadError", "WriteError", "RemoteProtocolError", "ClientPayloadError"})
STREAM_TYPES = frozenset({"text/event-stream", "application/vnd.amazon.eventstream"})
"""What the API (and Bedrock) stream as."""

PROVIDER_REASONS: Mapping[str, R] = {
    # docs.anthropic.com, errors.
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
    # Bedrock runtime, members of the response stream and exceptions of InvokeModelWithResponseStream.
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
    # Vertex AI, google.rpc.Code.
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
"""Error types as providers spell them, in lower case, and the reason each stands for."""

STATUS_REASONS: Mapping[int, R] = {429: R.RATE_LIMITED, 504: R.TIMEOUT_ERROR, 529: R.OVERLOADED}
"""HTTP statuses of the API whose error type is not known; else 5xx is ``api_error`` and 4xx ``request_rejected``."""

_NO_NAMES: frozenset[str] = frozenset()


class Evidence:
    """Facts and what follows from them. Built once per ending, never kept."""

    __slots__ = ("any", "errno", "facts", "kind", "outer", "raised", "said", "status", "wrapped")

    def __init__(self, facts: Facts) -> None:
        fault = facts.fault
        self.facts = facts
        self.kind = fault.kinds[0] if fault is not None and fault.kinds else ""
        """Class name of the outermost exception."""
        self.outer = fault.bases[0] if fault is not None and fault.bases else _NO_NAMES
        """Class names in the MRO of the outermost exception."""
        self.any = _NO_NAMES.union(*fault.bases, fault.kinds) if fault is not None else _NO_NAMES
        """Class names in the MRO of any exception of the chain."""
        self.errno = fault.errno if fault is not None else None
        self.said = "\n".join((fault.message, *fault.messages)).lower() if fault is not None else ""
        """What the exceptions say, lower case: for wording matches only."""
        self.raised = facts.stop is Stop.RAISED
        self.status = facts.status
        self.wrapped = "APIConnectionError" in self.outer
        """The SDK wraps transport errors only until the response's headers."""

    @property
    def headless(self) -> bool:
        """Whether no response had come: no status, no event."""
        facts = self.facts
        return (
            self.status is None
            and facts.events == 0
            and not facts.message_start
            and facts.phase in (Phase.CONNECTING, Phase.AWAITING_RESPONSE)
        )

    @property
    def reset(self) -> bool:
        """Whether the far end (or something that plays it) reset the connection."""
        return self.errno in ERRNO_RESET or not self.any.isdisjoint(RESETS)

    @property
    def dead(self) -> bool:
        """Whether the kernel gave up on the path: ETIMEDOUT, on any class."""
        return self.errno in ERRNO_DEAD

    @property
    def undecodable(self) -> bool:
        """Whether bytes came that are no JSON, UTF-8, gzip or frames. ``zlib.error`` has no name of its own."""
        fault = self.facts.fault
        return not self.any.isdisjoint(DECODES) or (
            fault is not None and "error" in self.any and "zlib" in fault.modules
        )

    @property
    def timed_out(self) -> bool:
        """Whether a clock of the client ended it (the class also covers ETIMEDOUT: ask ``dead`` first)."""
        return not self.outer.isdisjoint(TIMEOUTS)

    @property
    def transport(self) -> bool:
        """Whether the outermost exception is one of a transport (not the caller's, not a decoder's)."""
        return not self.outer.isdisjoint(TRANSPORT_KINDS)

    @property
    def api_spoke(self) -> bool:
        """Whether an HTTP error is the API's own: its form, its ``request-id``, or a type that only a provider uses.

        Never ``cf-ray``: the API is itself behind Cloudflare, and so are others.
        """
        facts = self.facts
        return facts.body is BodyClass.API or facts.has_request_id or self.provider_reason is not None

    @property
    def provider_reason(self) -> R | None:
        """What the provider's error type stands for, None if it has none or not a known one."""
        return PROVIDER_REASONS.get((self.facts.error_type or "").lower())

    @property
    def http_reason(self) -> R:
        """The reason of an HTTP error of the API: by its type, else by its status."""
        known = self.provider_reason
        if known is not None:
            return known
        status = self.status or 0
        return STATUS_REASONS.get(status) or (R.API_ERROR if status >= 500 else R.REQUEST_REJECTED)

    @property
    def sse_error(self) -> bool:
        """Whether an error event ended the stream: its status is 200, only the type tells (measured)."""
        facts = self.facts
        if self.status is not None and self.status >= 300:
            return False  # a redirection that leads nowhere raises the same class, and its status is not an error's
        if facts.error_source is not None:
            return facts.error_source is ErrorSource.SSE
        return self.raised and "APIStatusError" in self.outer and self.status is not None

    @property
    def wrong_type(self) -> bool:
        """Whether a success carried something else than a stream, so that the SDK saw no event."""
        facts = self.facts
        success = self.status is not None and 200 <= self.status < 300
        return success and facts.events == 0 and facts.content_type not in STREAM_TYPES and facts.content_type != ""

    @property
    def quiet_reason(self) -> R:
        """The name of a silence, by how far the stream had come."""
        if self.headless:
            return R.RESPONSE_TIMEOUT
        started = self.facts.events > 0 or self.facts.phase is not Phase.AWAITING_FIRST_EVENT
        return R.SILENT if started else R.FIRST_EVENT_TIMEOUT
