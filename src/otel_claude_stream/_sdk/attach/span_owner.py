"""Which instrumentation has the `chat` span of a call."""

from __future__ import annotations

import sys

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_claude_stream._session.call_stack import runs_above

_UTIL_GENAI_KEY = "opentelemetry.genai.client.inference.context"
_OTHER_OWNER_KEYS = (_UTIL_GENAI_KEY, "suppress_language_model_instrumentation")
"""Context keys that say that another instrumentation has this call: opentelemetry-util-genai's, OpenLLMetry's."""

_SILENT_OWNERS = ("opentelemetry.instrumentation.anthropic",)
"""Modules of instrumentations that make a `chat` span and give no sign of it: OpenLLMetry's."""

_CALLERS_LOOKED_AT = 40


def owner_of(client: object, options: object, setting: str) -> str:
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
