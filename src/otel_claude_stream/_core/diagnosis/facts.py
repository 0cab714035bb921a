"""How a stream ended, as plain data. `End` comes from the shell, `Facts` is the input of the classifier."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Phase, Stop


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception chain as plain data, outermost first.

    The chain follows ``__cause__`` and ``__context__``, also where the context is suppressed. For link i, ``kinds[i]``
    is the class name (``"ReadTimeout"``) and ``modules[i]`` the top-level package of the class (``"httpx2"``).
    ``bases[i]`` holds the names of all classes in its MRO.

    ``errno`` is the first POSIX errno in the chain. Numbers of ``ssl.*`` are left out, since they are OpenSSL's.
    ``message`` is the outermost ``str()``, at most 200 characters. It serves to match wording and is never recorded.
    """

    kinds: tuple[str, ...]
    modules: tuple[str, ...]
    bases: tuple[frozenset[str], ...]
    message: str = ""
    messages: tuple[str, ...] = ()
    errno: int | None = None

    def outermost_is(self, *names: str) -> bool:
        """Whether the outermost exception is, or derives from, a class with one of these names."""
        return bool(self.bases) and not self.bases[0].isdisjoint(names)

    def has(self, *names: str) -> bool:
        """Whether any link of the chain is, or derives from, a class with one of these names."""
        return any(not bases.isdisjoint(names) for bases in self.bases)


@dataclass(frozen=True, slots=True)
class HttpError:
    """The parts of an HTTP error body that the classifier may use."""

    error_type: str | None = None
    body: BodyClass = BodyClass.NONE
    wording: str = ""


@dataclass(slots=True)
class End:
    """How a stream or an attempt stopped, as the shell saw it, before it is classified."""

    stop: Stop
    fault: Fault | None = None
    exception: str | None = None
    error_type: str | None = None
    error_source: ErrorSource | None = None
    http: HttpError = field(default_factory=HttpError)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the classifier may use. Times in seconds; None means unknown."""

    stop: Stop
    phase: Phase
    fault: Fault | None = None
    """The exception that ended the stream: raised by the SDK (``RAISED``), or in the caller's ``with`` block."""
    status: int | None = None
    """HTTP status of the last response, None without a response."""
    error_type: str | None = None
    """The provider's ``error.type``, from an SSE ``error`` event or from an HTTP error body."""
    error_source: ErrorSource | None = None
    content_type: str = ""
    """Media type of the response, in lower case and without parameters. Empty without one or without a response."""
    body: BodyClass = BodyClass.NONE
    has_request_id: bool = False
    """The response carries Anthropic's ``request-id`` header."""
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Fingerprint headers only, names in lower case: server, via, x-cache, x-squid-error, x-amz-*, x-azure-ref, ..."""
    wording: str = ""
    """At most 2,000 characters of an error body that is not the API's. For fingerprints only, never recorded."""
    message_start: bool = False
    message_delta: bool = False
    """A ``message_delta`` with a stop reason arrived."""
    message_stop: bool = False
    events: int = 0
    """SSE events of every type."""
    content_events: int = 0
    """Events that carry content (deltas, block starts)."""
    pings: int = 0
    bytes: int = 0
    """Bytes of the response body, as they were transferred."""
    elapsed: float = 0.0
    """From the start of the call to its end."""
    time_to_headers: float | None = None
    """From the start of the *last* attempt to its response headers, or to its failure if there were none."""
    silence: float = 0.0
    """How long the last read blocked before the end. Any byte ends a silence."""
    no_progress: float = 0.0
    """Time waited since the last event that carries content. Pings do not end it."""
    longest_earlier_silence: float = 0.0
    """The longest silence of this stream before the last one."""
    longest_ping_gap: float = 0.0
    bytes_last_5s: int = 0
    """Body bytes that arrived within the last five seconds before the end."""
    reads: int = 0
    read_timeout: float | None = None
    """The client's configured read time-out in seconds, None if there is none or it is unknown."""
    attempt_elapsed: float | None = None
    """From the start of the *last* attempt to the end. Limits on a whole response count from it."""

    @property
    def age_of_attempt(self) -> float:
        """Seconds from the start of the last attempt, or else of the call, to the end."""
        return self.elapsed if self.attempt_elapsed is None else self.attempt_elapsed
