"""What is known of a call when it starts, and of each HTTP attempt it takes, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_claude_stream._core.vocabulary import AbortReason


@dataclass(frozen=True, slots=True)
class RequestCapabilities:
    """What of a request decides whether its answer can be repeated or continued. No content."""

    thread: bool = False
    """The server holds a part of the conversation (`thread`): re-sent, it may refuse or answer twice."""
    structured_output: bool = False
    forced_tool: bool = False
    """`tool_choice` is `any` or `tool`."""
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call that streams. No content: the model, the numbers of the request, and where it goes."""

    model: str
    provider: str
    api: str
    helper: str
    server_address: str
    server_port: int | None
    owner: str
    """Who has the `chat` span: self, sdk, other."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    read_timeout: float | None = None
    traits: RequestCapabilities = field(default_factory=RequestCapabilities)
    """What decides whether its answer could be repeated or continued."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the head of an HTTP response said (and its body, where it was an error that was read)."""

    status: int
    content_type: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    """What `x-should-retry` said."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    """Lower-case names of the headers that tell who speaks: server, via, x-..."""

    @property
    def intermediary(self) -> str:
        """`server` or `via`, at most 64 characters, empty if neither is there."""
        return (self.fingerprint.get("server") or self.fingerprint.get("via") or "")[:64]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request of the call. Times in nanoseconds of the monotonic clock."""

    number: int
    started: int
    ended: int
    layer: str
    reply: Reply | None = None
    reason: AbortReason | None = None
    """Why it failed; None for one that got its response."""
    delay: float | None = None
    """Seconds of back-off that followed; None if no attempt followed."""
    characters: int = 0
    """Characters that it wrote."""
    input_tokens: int = 0
    """Those that it said, cache included."""
    output_tokens: int = 0
