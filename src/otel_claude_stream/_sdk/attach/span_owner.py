"""Which instrumentation has the `chat` span of a call."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream._session.call_stack import runs_above
from otel_claude_stream._telemetry import attributes as a

_UTIL_GENAI_KEY = "opentelemetry.genai.client.inference.context"
_OTHER_OWNER_KEYS = (_UTIL_GENAI_KEY, "suppress_language_model_instrumentation")
"""Context keys that opentelemetry-util-genai and OpenLLMetry set while they instrument a call."""

_SILENT_OWNERS = ("opentelemetry.instrumentation.anthropic", "agento11y_anthropic")
"""Modules of instrumentations that record a call without such a key or a current span (OpenLLMetry, agento11y)."""

_GENERATING = frozenset({"chat", "generate_content", "text_completion"})
"""Values of `gen_ai.operation.name` of a span that stands for one call of a model."""

_NOT_OTHERS = (__name__.partition(".")[0], "com.anthropic.sdk.python")
"""Scopes of spans that are current while the request of another call is sent, by a middleware for instance."""

_MAX_CALLERS = 40


def owner_of(client: object, options: object, setting: str) -> str:
    """Return which instrumentation has the `chat` span of a call: `self`, `sdk` or `other`."""
    if setting == "always":
        return "self"
    current = otel_context.get_current()
    if any(current.get(key) for key in _OTHER_OWNER_KEYS) or _in_chat_span() or _called_by_another():
        return "other"
    if getattr(options, "span_name", None) and _records(getattr(client, "_tracer", None)):
        return "sdk"
    return "self"


def _in_chat_span() -> bool:
    """Whether the current span stands for this call, as those of Pydantic AI and Strands do."""
    span = trace.get_current_span()
    attributes = getattr(span, "attributes", None)  # an attribute of the SDK's spans; the API has none
    if not attributes or attributes.get("gen_ai.operation.name") not in _GENERATING or not span.is_recording():
        return False
    return getattr(getattr(span, "instrumentation_scope", None), "name", "") not in _NOT_OTHERS


def _called_by_another() -> bool:
    """Whether an instrumentation without a context key has wrapped this call."""
    return any(name in sys.modules and bool(runs_above(name, _MAX_CALLERS)) for name in _SILENT_OWNERS)


def _records(tracer: object) -> bool:
    """Whether a tracer of the SDK's own tracing creates spans, which needs a provider."""
    if tracer is None or isinstance(tracer, trace.NoOpTracer):
        return False
    if isinstance(tracer, trace.ProxyTracer):
        inner = getattr(tracer, "_tracer", None)  # resolves the provider that was set meanwhile
        return inner is not None and not isinstance(inner, trace.NoOpTracer)
    return True


def mark_sdk_span(options: Any) -> None:
    """Let the SDK's own span of a request state that this package measures the stream, so that it is counted once.

    The SDK makes the options of a request with a span anew for each call. Without such a span nothing changes.
    """
    if getattr(options, "span_name", None) and hasattr(options, "span_attributes"):
        options.span_attributes = functools.partial(_marked, options.span_attributes)


def _marked(attributes: Any, body: object) -> Mapping[str, Any]:
    """Return the attributes with which the SDK's span starts, and the mark. The SDK has them as a function or ready."""
    found = attributes(body) if callable(attributes) else attributes
    return {**(found or {}), a.SOURCE.name: a.SOURCE.values[0]}
