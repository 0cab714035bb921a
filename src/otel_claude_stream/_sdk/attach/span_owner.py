"""Which instrumentation has the `chat` span of a call."""

from __future__ import annotations

import sys

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream._session.call_stack import runs_above

_UTIL_GENAI_KEY = "opentelemetry.genai.client.inference.context"
_OTHER_OWNER_KEYS = (_UTIL_GENAI_KEY, "suppress_language_model_instrumentation")
"""Context keys that opentelemetry-util-genai and OpenLLMetry set while they instrument a call."""

_SILENT_OWNERS = ("opentelemetry.instrumentation.anthropic",)
"""Modules of instrumentations that create a `chat` span without such a key (OpenLLMetry)."""

_MAX_CALLERS = 40


def owner_of(client: object, options: object, setting: str) -> str:
    """Return which instrumentation has the `chat` span of a call: `self`, `sdk` or `other`."""
    if setting == "always":
        return "self"
    current = otel_context.get_current()
    if any(current.get(key) for key in _OTHER_OWNER_KEYS) or _called_by_another():
        return "other"
    if getattr(options, "span_name", None) and _records(getattr(client, "_tracer", None)):
        return "sdk"
    return "self"


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
