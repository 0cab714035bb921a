"""A call as it starts, and the heads of its responses, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from otel_claude_stream._core.stream import bounds


@dataclass(frozen=True, slots=True)
class RequestCapabilities:
    """The parts of a request that decide whether its answer can be repeated or continued. No content."""

    thread: bool = False
    """The server keeps a part of the conversation (`thread`), so it may refuse a repeated request, or answer twice."""
    structured_output: bool = False
    forced_tool: bool = False
    """`tool_choice` is `any` or `tool`."""
    thinking: bool = False


class Feed(NamedTuple):
    """The feed of an agent session, or of one of its threads."""

    session_id: str
    thread_id: str | None = None

    @property
    def kind(self) -> str:
        """`session` or `thread`."""
        return "session" if self.thread_id is None else "thread"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that streams: the model, the parameters and the destination of its request. No content."""

    model: str
    provider: str
    api: str
    helper: str
    server_address: str
    server_port: int | None
    owner: str
    """Which instrumentation has the `chat` span: self, sdk, other."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    effort: str | None = None
    thinking_display: str | None = None
    """How thinking appears in the answer. `omitted` makes long thoughts silent. None if the request does not set it."""
    conversation_id: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """The labels of the caller, by key. Their values have no bounded number."""
    read_timeout: float | None = None
    capabilities: RequestCapabilities = field(default_factory=RequestCapabilities)
    """Whether its answer could be repeated or continued."""
    feed: Feed | None = None
    """The feed that it connects to; None if it streams a message."""


RATE_LIMIT_KINDS = ("requests", "tokens", "input_tokens", "output_tokens")
"""The kinds of rate limits that a response may report."""


class RateLimit(NamedTuple):
    """The state of one rate limit, as a response reports it. None for what it does not report."""

    remaining: int | None
    reset_after: float | None
    """Seconds from the response until the limit is fully replenished."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an HTTP response."""

    status: int
    content_type: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    """The value of `x-should-retry`."""
    rate_limits: dict[str, RateLimit] = field(default_factory=dict)
    """The rate limits that it reports, by their kind, one of `RATE_LIMIT_KINDS`."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    """The headers that identify the sender (`server`, `via`, `x-...`), with lower-case names."""

    @property
    def intermediary(self) -> str:
        """`server` or `via`; empty if the response has neither."""
        return (self.fingerprint.get("server") or self.fingerprint.get("via") or "")[: bounds.PRODUCT]
