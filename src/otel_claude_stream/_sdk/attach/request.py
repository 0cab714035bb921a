"""From the SDK's client and request options to what we say of a call: numbers and names, never content."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream._core.retry.resume.capabilities import CAPABILITY_KEYS, capabilities_of
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._session.call_stack import runs_above

MESSAGES_PATH = "/messages"
"""Where a request that streams a message goes, on every client: Bedrock and Vertex rewrite it later, per attempt."""

_BETA_TYPES = "anthropic.types.beta"

_UTIL_GENAI_KEY = "opentelemetry.genai.client.inference.context"
_OTHER_OWNER_KEYS = (_UTIL_GENAI_KEY, "suppress_language_model_instrumentation")
"""Context keys that say that another instrumentation has this call: opentelemetry-util-genai's, OpenLLMetry's."""

_PROVIDER_BY_CLIENT = {
    "AnthropicBedrock": "aws.bedrock",
    "AnthropicBedrockMantle": "aws.bedrock",
    "AnthropicVertex": "gcp.vertex_ai",
}
"""For SDKs that do not say it themselves (`_gen_ai_provider_name`, from 1.14)."""

_SILENT_OWNERS = ("opentelemetry.instrumentation.anthropic",)
"""Modules of instrumentations that make a `chat` span and give no sign of it: OpenLLMetry's."""

_CALLERS_LOOKED_AT = 40

_STAINLESS = "x-stainless-"
"""How the SDK's headers about itself begin."""

MAX_NAME = 128
"""Longest model name or host that is kept."""


def is_message_stream(options: object, *, stream: bool) -> bool:
    """Whether a request streams a message: not a session feed (GET), not the JSON lines of a batch."""
    if not stream or str(getattr(options, "method", "")).lower() != "post":
        return False
    return str(getattr(options, "url", "")).partition("?")[0].rstrip("/").endswith(MESSAGES_PATH)


_NOT_GIVEN = frozenset({"NotGiven", "Omit"})
"""The SDK's classes for arguments that were not given, which it strips when it sends."""

_LOOKED_AT = ("model", "max_tokens", "temperature", "top_p", "top_k", *CAPABILITY_KEYS)
"""What is told of a request's body, which may have many keys more."""


def body_of(options: object, only: Collection[str] | None = None) -> dict[str, object]:
    """The JSON body of a request, or these keys of it; without what the SDK keeps in it for arguments not given."""
    body: dict[str, object] = {}
    for part in ("json_data", "extra_json"):  # the second is `extra_body`, which wins
        found = getattr(options, part, None)
        if isinstance(found, Mapping):
            body.update(found if only is None else {name: found[name] for name in only if name in found})
    return {name: value for name, value in body.items() if _given(value)}


def _given(value: object) -> bool:
    return type(value).__name__ not in _NOT_GIVEN


def call_of(client: object, options: object, cast_to: object, setting: str) -> Call:
    """What is known of a call from its client, its options and its result's type. `setting` is that of `span`."""
    request = body_of(options, _LOOKED_AT)
    host, port = _server(client)
    return Call(
        model=_text(request.get("model")) or "unknown",
        provider=_provider(client),
        api=_api(options, cast_to),
        helper=_helper(options),
        server_address=host,
        server_port=port,
        owner=_owner(client, options, setting),
        max_tokens=_whole(request.get("max_tokens")),
        temperature=_number(request.get("temperature")),
        top_p=_number(request.get("top_p")),
        top_k=_whole(request.get("top_k")),
        read_timeout=_read_timeout(client, options),
        traits=capabilities_of(request),
    )


def _api(options: object, cast_to: object) -> str:
    """Which resource was called. From SDK 2 on its URL is the same for both; the message's class is not."""
    beta = str(getattr(cast_to, "__module__", "")).startswith(_BETA_TYPES) or "beta=true" in str(
        getattr(options, "url", "")
    )
    return "beta.messages" if beta else "messages"


def _text(value: object) -> str | None:
    return value[:MAX_NAME] if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _server(client: object) -> tuple[str, int | None]:
    url = getattr(client, "base_url", None)
    host = _text(getattr(url, "host", None)) or "unknown"
    port = getattr(url, "port", None)
    if isinstance(port, int):
        return host, port
    return host, {"https": 443, "http": 80}.get(str(getattr(url, "scheme", "")))


def _provider(client: object) -> str:
    said = _text(getattr(client, "_gen_ai_provider_name", None))
    if said is not None:
        return said
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
    said = dict(zip(names, map(str, headers.values()), strict=True))
    if "ToolRunner" in said.get("x-stainless-helper", ""):
        return "tool_runner"
    raw = said.get("x-stainless-raw-response")
    if raw is not None:
        return "streaming_response" if raw == "stream" else "raw_response"
    return "stream" if "x-stainless-stream-helper" in said else "create"


def _owner(client: object, options: object, setting: str) -> str:
    if setting == "always":
        return "self"
    current = otel_context.get_current()
    if any(current.get(key) for key in _OTHER_OWNER_KEYS) or _called_by_another():
        return "other"
    if getattr(options, "span_name", None) and _records(getattr(client, "_tracer", None)):
        return "sdk"
    return "self"


def _called_by_another() -> bool:
    """Whether an instrumentation that says nothing in the context has wrapped this call."""
    return any(name in sys.modules and bool(runs_above(name, _CALLERS_LOOKED_AT)) for name in _SILENT_OWNERS)


def _records(tracer: object) -> bool:
    """Whether a tracer of the SDK's own tracing makes spans: one without a provider behind it does not."""
    if tracer is None or isinstance(tracer, trace.NoOpTracer):
        return False
    if isinstance(tracer, trace.ProxyTracer):
        inner = getattr(tracer, "_tracer", None)  # resolves the provider that was set meanwhile
        return inner is not None and not isinstance(inner, trace.NoOpTracer)
    return True


def _read_timeout(client: object, options: object) -> float | None:
    timeout = getattr(options, "timeout", None)
    if timeout is None or not _given(timeout):
        timeout = getattr(client, "timeout", None)
    seconds = _number(timeout)
    return seconds if seconds is not None else _number(getattr(timeout, "read", None))
