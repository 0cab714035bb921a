"""The description of a call, read from the SDK's client and request options. It has no content."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from opentelemetry.baggage import get_baggage

from otel_claude_stream import _guard
from otel_claude_stream._config.stream_labels import StreamLabels, current_labels, log_cut, log_too_many
from otel_claude_stream._core.retry.fallback import fallback_model
from otel_claude_stream._core.retry.resume.capabilities import CAPABILITY_KEYS, capabilities_of
from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import Call, Feed
from otel_claude_stream._core.stream.feed import feed_at
from otel_claude_stream._sdk.attach.span_owner import owner_of
from otel_claude_stream._sdk.retry.resend import body_of, is_given

MESSAGES_PATH = "/messages"
"""The path of a request that streams a message, on every client. Bedrock and Vertex rewrite it for each attempt."""

_BETA_TYPES = "anthropic.types.beta"

_PROVIDER_BY_CLIENT = {
    "AnthropicBedrock": "aws.bedrock",
    "AnthropicBedrockMantle": "aws.bedrock",
    "AnthropicVertex": "gcp.vertex_ai",
}
"""For SDKs without `_gen_ai_provider_name`, which came with 1.14."""

_CONVERSATION = "conversation_id"
_CONVERSATION_BAGGAGE = "gen_ai.conversation.id"
"""The entry of OpenTelemetry's baggage with the ID of a conversation. It may come from another service."""

_BETA_HEADER = "anthropic-beta"

_STAINLESS = "x-stainless-"
"""Prefix of the SDK's headers about itself."""


def is_message_stream(options: object, *, stream: bool) -> bool:
    """Whether a request streams a message, and not a session feed (GET) or the JSON lines of a batch."""
    if not stream or str(getattr(options, "method", "")).lower() != "post":
        return False
    return str(getattr(options, "url", "")).partition("?")[0].rstrip("/").endswith(MESSAGES_PATH)


def feed_of(options: object, *, stream: bool) -> Feed | None:
    """Return the feed of an agent session that a request connects to; None for any other request."""
    if not stream or str(getattr(options, "method", "")).lower() != "get":
        return None
    return feed_at(str(getattr(options, "url", "")))


_KEYS = ("model", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", *CAPABILITY_KEYS)
"""The keys of a request's body that are read. It may have many more."""


def call_of(client: object, options: object, cast_to: object, setting: str, labels: tuple[str, ...] = ()) -> Call:
    """Return the description of a call from its client, its options and its result's type.

    `setting` is `span`, and `labels` is `baggage_labels`.
    """
    request = body_of(options, _KEYS)
    host, port = _server(client)
    return Call(
        model=bounds.text(request.get("model")) or "unknown",
        provider=_provider(client),
        api=_api(options, cast_to),
        helper=_helper(options),
        server_address=host,
        server_port=port,
        owner=owner_of(client, options, setting),
        max_tokens=bounds.count(request.get("max_tokens")),
        temperature=bounds.number(request.get("temperature")),
        top_p=bounds.number(request.get("top_p")),
        top_k=bounds.count(request.get("top_k")),
        stop_sequences=_stop_sequences(request.get("stop_sequences")),
        effort=_name(request.get("output_config"), "effort"),
        thinking_display=_name(request.get("thinking"), "display"),
        conversation_id=_conversation_id(client),
        labels=_labels(labels) if labels or StreamLabels.current.get() is not None else (),
        read_timeout=_read_timeout(client, options),
        capabilities=capabilities_of(request),
    )


def feed_call(client: object, options: object, feed: Feed, labels: tuple[str, ...] = ()) -> Call:
    """Return the description of a call that connects to a feed. It has no model, and its span is no `chat` span."""
    host, port = _server(client)
    return Call(
        model="",
        provider=_provider(client),
        api="",
        helper=_helper(options),
        server_address=host,
        server_port=port,
        owner="other",
        conversation_id=_conversation_id(client),
        labels=_labels(labels) if labels or StreamLabels.current.get() is not None else (),
        read_timeout=_read_timeout(client, options),
        feed=feed,
    )


class RequestParts(NamedTuple):
    """The parts of a request's options that decide which model takes it."""

    json_data: object
    extra_json: object
    headers: object


@_guard.guarded("fallback", None)
def fallback_finder(client: object, options: object, models: Sequence[str]) -> Callable[[], str] | None:
    """Return what looks for the first of some models that takes a request.

    The session has it until its end, and must not keep alive what a client may refer to, such as responses. The options
    refer to their client in some releases of the SDK, so it has neither.
    """
    parts = RequestParts(*(getattr(options, name, None) for name in RequestParts._fields))
    return functools.partial(fallback_for, weakref.ref(client), parts, models)


@_guard.guarded("fallback", "")
def fallback_for(client: weakref.ref[object], parts: RequestParts, models: Sequence[str]) -> str:
    """Return the first of some models that takes a request unchanged; empty if none does."""
    return fallback_model(models, body_of(parts), _betas(client(), parts))


def _betas(client: object, options: object) -> Iterator[str]:
    """Yield the beta headers of a request and of all requests of its client."""
    for headers in (getattr(client, "default_headers", None), getattr(options, "headers", None)):
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            if str(name).lower() == _BETA_HEADER and is_given(value):
                yield from map(str.strip, str(value).split(","))


def _name(part: object, key: str) -> str | None:
    """Return the name in a part of a request or an option; None if it has none."""
    return bounds.text(part.get(key)) or None if isinstance(part, Mapping) else None


def _conversation_id(client: object) -> str | None:
    """Return the ID from the client's option, which older SDKs lack, or else from the baggage of the context."""
    found = _name(getattr(client, "open_telemetry", None), _CONVERSATION)
    return found or bounds.text(get_baggage(_CONVERSATION_BAGGAGE)) or None


def _labels(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the labels of the blocks around the call, and of these entries of the baggage. The blocks win.

    Labels with these keys come first, and then the others by name, if they are more than a call may have.
    """
    found = {key: get_baggage(key) for key in keys} | current_labels()
    labels = [(key, text) for key, value in found.items() if (text := bounds.text(value))]
    labels.sort(key=lambda label: (label[0] not in keys, label[0]))
    if len(labels) > bounds.SPAN_LABELS:
        log_too_many(bounds.SPAN_LABELS)
        del labels[bounds.SPAN_LABELS :]
    for key, _ in labels:
        if len(str(found[key])) > bounds.NAME:  # each is a text, or it had been left out above
            log_cut(key, bounds.NAME)
    return tuple(labels)


def _stop_sequences(found: object) -> tuple[str, ...]:
    names = found[: bounds.LISTED] if isinstance(found, list | tuple) else ()
    return tuple(name for name in map(bounds.text, names) if name)


def _api(options: object, cast_to: object) -> str:
    """Return the resource that was called. From SDK 2 on both have the same URL, but different classes of messages."""
    beta = str(getattr(cast_to, "__module__", "")).startswith(_BETA_TYPES) or "beta=true" in str(
        getattr(options, "url", "")
    )
    return "beta.messages" if beta else "messages"


def _server(client: object) -> tuple[str, int | None]:
    url = getattr(client, "base_url", None)
    host = bounds.text(getattr(url, "host", None)) or "unknown"
    port = getattr(url, "port", None)
    if isinstance(port, int):
        return host, port
    return host, {"https": 443, "http": 80}.get(str(getattr(url, "scheme", "")))


def _provider(client: object) -> str:
    name = bounds.text(getattr(client, "_gen_ai_provider_name", None))
    if name:
        return name
    for kind in type(client).__mro__:
        found = _PROVIDER_BY_CLIENT.get(kind.__name__.removeprefix("Async"))
        if found is not None:
            return found
    return "anthropic"


def _helper(options: object) -> str:
    headers = getattr(options, "headers", None)
    if not isinstance(headers, Mapping):
        return "create"
    names = [str(name).lower() for name in headers]
    if not any(name.startswith(_STAINLESS) for name in names):
        return "create"
    values = dict(zip(names, map(str, headers.values()), strict=True))
    if "ToolRunner" in values.get("x-stainless-helper", ""):
        return "tool_runner"
    raw = values.get("x-stainless-raw-response")
    if raw is not None:
        return "streaming_response" if raw == "stream" else "raw_response"
    return "stream" if "x-stainless-stream-helper" in values else "create"


def _read_timeout(client: object, options: object) -> float | None:
    timeout = getattr(options, "timeout", None)
    if timeout is None or not is_given(timeout):
        timeout = getattr(client, "timeout", None)
    seconds = bounds.number(timeout)
    return seconds if seconds is not None else bounds.number(getattr(timeout, "read", None))
