"""The enumerations that all parts share: outcomes, phases, reasons, origins."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """The outcome of a stream (attribute ``claude.stream.outcome``)."""

    COMPLETED = "completed"
    """``message_stop`` arrived, or it alone was missing after ``message_delta``."""
    FAILED = "failed"
    """Ended by the provider, an intermediary, the network, or a time-out."""
    CLOSED = "closed"
    """Ended by the caller. Not a failure, and not part of error rates."""


class Phase(str, Enum):
    """How far a stream had progressed (attribute ``claude.stream.phase``)."""

    QUEUED = "queued"
    """No request was sent yet, since the call waits for a permit (`concurrency` of the policy)."""
    CONNECTING = "connecting"
    """No connection to the server yet (DNS, TCP, TLS, CONNECT proxy)."""
    AWAITING_RESPONSE = "awaiting_response"
    """The request is being sent or was sent, without response headers yet."""
    AWAITING_FIRST_EVENT = "awaiting_first_event"
    """The response headers arrived, but no event."""
    AWAITING_FIRST_TOKEN = "awaiting_first_token"  # noqa: S105 - a phase, not a password
    """Events arrived (``message_start``, pings, block starts), but no content."""
    STREAMING = "streaming"
    """At least one content delta arrived."""
    FINISHING = "finishing"
    """``message_delta`` with the stop reason arrived. The answer is complete."""


class Origin(str, Enum):
    """The party that caused an abort, as far as the evidence allows (attribute ``claude.stream.abort.origin``)."""

    ANTHROPIC = "anthropic"
    INTERMEDIARY = "intermediary"
    NETWORK = "network"
    CLIENT = "client"
    CALLER = "caller"
    UNKNOWN = "unknown"


class AbortReason(str, Enum):
    """Why a stream ended without being complete (attribute ``claude.stream.abort.reason``). A closed set."""

    # From Anthropic.
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    API_ERROR = "api_error"
    TIMEOUT_ERROR = "timeout_error"
    REQUEST_REJECTED = "request_rejected"
    STREAM_ERROR = "stream_error"
    # From an intermediary.
    GATEWAY_ERROR = "gateway_error"
    BAD_RESPONSE = "bad_response"
    # From the network.
    CONNECT_FAILED = "connect_failed"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_RESET = "connection_reset"
    TRUNCATED = "truncated"
    DECODE_ERROR = "decode_error"
    # From time-outs.
    QUEUE_TIMEOUT = "queue_timeout"
    RESPONSE_TIMEOUT = "response_timeout"
    FIRST_EVENT_TIMEOUT = "first_event_timeout"
    FIRST_CONTENT_TIMEOUT = "first_content_timeout"
    SILENT = "silent"
    NO_PROGRESS = "no_progress"
    LIFETIME_EXCEEDED = "lifetime_exceeded"
    # From the caller.
    CALLER_CLOSED = "caller_closed"
    CALLER_ERROR = "caller_error"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    INTERPRETER_EXIT = "interpreter_exit"


CALLER_REASONS = frozenset(
    {
        AbortReason.CALLER_CLOSED,
        AbortReason.CALLER_ERROR,
        AbortReason.CANCELLED,
        AbortReason.ABANDONED,
        AbortReason.INTERPRETER_EXIT,
    }
)
"""The reasons with the outcome ``closed``."""


class ErrorSource(str, Enum):
    """Where the provider reported an error (attribute ``claude.stream.error.source``)."""

    SSE = "sse"
    """An ``error`` event in a 200 response."""
    HTTP = "http"
    """An HTTP error status."""


class BodyClass(str, Enum):
    """The form of the body of an HTTP error response (attribute ``claude.stream.error.body``)."""

    API = "api"
    """JSON with the API's structure, ``{"type": "error", "error": {"type": ...}}``."""
    JSON = "json"
    HTML = "html"
    TEXT = "text"
    EMPTY = "empty"
    NONE = "none"
    """There was no error body."""


class Stop(str, Enum):
    """How the reading of a stream stopped, before its cause is classified."""

    EXHAUSTED = "exhausted"
    """The body ended, and with it the iteration, without an exception."""
    RAISED = "raised"
    """The SDK raised an exception to the caller."""
    CLOSED = "closed"
    """The caller closed the stream (``close()``, end of ``with``)."""
    DROPPED = "dropped"
    """The last reference was dropped, or the reader got a ``GeneratorExit``."""
    EXIT = "exit"
    """The interpreter exits with the stream open."""
