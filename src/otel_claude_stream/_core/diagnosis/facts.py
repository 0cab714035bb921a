"""What is known of a stream at its end: the input of the classifier, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Phase, Stop


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception chain as plain data, outermost first, ``__cause__`` and (also suppressed) ``__context__`` walked.

    ``kinds[i]`` is the class name of link i (``"ReadTimeout"``), ``modules[i]`` the top-level package of its class
    (``"httpx2"``), ``bases[i]`` the names of all classes in its MRO. ``errno`` is the first POSIX errno in the chain,
    never one of ``ssl.*`` (those are OpenSSL's numbers). ``message`` is the outermost ``str()``, at most 200
    characters and used for wording matches only: it is never recorded.
    """

    kinds: tuple[str, ...]
    modules: tuple[str, ...]
    bases: tuple[frozenset[str], ...]
    message: str = ""
    messages: tuple[str, ...] = ()
    errno: int | None = None

    def outermost_is(self, *names: str) -> bool:
        """Whether the outermost exception is, or derives from, a class of one of these names."""
        return bool(self.bases) and not self.bases[0].isdisjoint(names)

    def has(self, *names: str) -> bool:
        """Whether any link of the chain is, or derives from, a class of one of these names."""
        return any(not bases.isdisjoint(names) for bases in self.bases)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the classifier may look at. Times in seconds; None means not known."""

    stop: Stop
    phase: Phase
    fault: Fault | None = None
    """The exception that ended the stream: out of the SDK (``RAISED``), or out of the caller's ``with`` body."""
    closed_elsewhere: bool = False
    """The stream was closed while another thread or task was still reading it."""
    status: int | None = None
    """HTTP status of the last response, None if there was none."""
    error_type: str | None = None
    """The provider's ``error.type``, from an SSE ``error`` event or from an HTTP error body."""
    error_source: ErrorSource | None = None
    content_type: str = ""
    """Media type of the response, lower case, without parameters; empty if absent or no response."""
    body: BodyClass = BodyClass.NONE
    has_request_id: bool = False
    """The response carries Anthropic's ``request-id`` header."""
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Fingerprint headers only, lower case names: server, via, x-cache, x-squid-error, x-amz-*, x-azure-ref, ..."""
    wording: str = ""
    """At most 2,000 characters of a non-API error body, for fingerprint matches only: never recorded."""
    message_start: bool = False
    message_delta: bool = False
    """``message_delta`` with a stop reason came."""
    message_stop: bool = False
    events: int = 0
    """SSE events of every type."""
    content_events: int = 0
    """Events that carry content (deltas, block starts)."""
    pings: int = 0
    bytes: int = 0
    """Bytes of the response body, as they came over the wire."""
    elapsed: float = 0.0
    """From the start of the call to its end."""
    head: float | None = None
    """From the start of the *last* attempt to its response headers, or to its failure without any."""
    silence: float = 0.0
    """How long the last read was blocked before the end (any byte ends a silence)."""
    no_progress: float = 0.0
    """Time waited since the last event that carries content (pings do not end it)."""
    longest_earlier_silence: float = 0.0
    """The longest silence of this stream before the last one."""
    longest_ping_gap: float = 0.0
    bytes_last_5s: int = 0
    """Body bytes that came within the last five seconds before the end."""
    reads: int = 0
    read_timeout: float | None = None
    """The client's configured read time-out in seconds, None if none or not known."""
    last_attempt: float | None = None
    """From the start of the *last* attempt to the end, None if not known: limits on a whole response count from it."""
