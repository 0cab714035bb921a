"""The closed sets of words that every other part speaks: outcomes, phases, reasons, origins."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """What became of a stream (attribute ``claude.stream.outcome``)."""

    COMPLETED = "completed"
    """``message_stop`` came, or only it was missing after ``message_delta``."""
    FAILED = "failed"
    """Ended by the provider, something in between, the wire, or a clock."""
    CLOSED = "closed"
    """Ended by the caller: nobody's fault, left out of error rates."""


class Phase(str, Enum):
    """How far a stream had come (attribute ``claude.stream.phase``)."""

    CONNECTING = "connecting"
    """No connection to the server yet (DNS, TCP, TLS, CONNECT proxy)."""
    AWAITING_RESPONSE = "awaiting_response"
    """Request sent or being sent, no response headers yet."""
    AWAITING_FIRST_EVENT = "awaiting_first_event"
    """Response headers are there, no event yet."""
    AWAITING_FIRST_TOKEN = "awaiting_first_token"  # noqa: S105 - a phase, not a password
    """Events came (``message_start``, pings, block starts), no content yet."""
    STREAMING = "streaming"
    """At least one content delta came."""
    FINISHING = "finishing"
    """``message_delta`` with the stop reason came: nothing of the answer is missing any more."""


class Origin(str, Enum):
    """Who caused an abort, as far as the evidence goes (attribute ``claude.stream.abort.origin``)."""

    ANTHROPIC = "anthropic"
    INTERMEDIARY = "intermediary"
    NETWORK = "network"
    CLIENT = "client"
    CALLER = "caller"
    UNKNOWN = "unknown"


class AbortReason(str, Enum):
    """Why a stream that did not complete ended (attribute ``claude.stream.abort.reason``). A closed set."""

    # From Anthropic.
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    API_ERROR = "api_error"
    TIMEOUT_ERROR = "timeout_error"
    REQUEST_REJECTED = "request_rejected"
    STREAM_ERROR = "stream_error"
    # From something in between.
    GATEWAY_ERROR = "gateway_error"
    BAD_RESPONSE = "bad_response"
    # From the wire.
    CONNECT_FAILED = "connect_failed"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_RESET = "connection_reset"
    TRUNCATED = "truncated"
    DECODE_ERROR = "decode_error"
    # From clocks.
    RESPONSE_TIMEOUT = "response_timeout"
    FIRST_EVENT_TIMEOUT = "first_event_timeout"
    SILENT = "silent"
    NO_PROGRESS = "no_progress"
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
"""The reasons whose outcome is ``closed``."""


class ErrorSource(str, Enum):
    """Where a provider error was said (attribute ``claude.stream.error.source``)."""

    SSE = "sse"
    """An ``event: error`` inside a 200 response."""
    HTTP = "http"
    """An HTTP error status."""


class BodyClass(str, Enum):
    """What the body of an HTTP error response looks like (attribute ``claude.stream.error.body``)."""

    API = "api"
    """JSON of the API's own form: ``{"type": "error", "error": {"type": ...}}``."""
    JSON = "json"
    HTML = "html"
    TEXT = "text"
    EMPTY = "empty"
    NONE = "none"
    """There was no error body to look at."""


class Stop(str, Enum):
    """How the reading of a stream stopped, before anybody asks why."""

    EXHAUSTED = "exhausted"
    """The body ended and the iteration with it; nothing was raised."""
    RAISED = "raised"
    """An exception came out of the SDK, into the caller."""
    CLOSED = "closed"
    """The caller closed the stream (``close()``, end of ``with``)."""
    DROPPED = "dropped"
    """The last reference went away (also ``GeneratorExit`` in the reader)."""
    EXIT = "exit"
    """The interpreter is going down with the stream open."""
