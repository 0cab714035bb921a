"""The model that a request is sent to instead of its own, and the parameters that each model takes.

The table follows Claude's documentation (models overview, thinking, effort, migration guides) as of November 2026. A
request is carried over only if the table shows that the other model takes all of its parameters unchanged. So a model
that is not in the table takes no request. No model takes a request with a parameter that is not read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from otel_claude_stream._core.retry.resume.capabilities import FORCED_TOOL, accepts_prefill, family_of, type_of

PORTABLE_KEYS = frozenset({
    "model", "max_tokens", "messages", "system", "metadata", "stop_sequences", "stream", "tools", "tool_choice",
    "temperature", "top_p", "top_k", "thinking", "output_config", "cache_control", "service_tier",
})  # fmt: skip
"""Keys of a request that every model takes, or whose values are compared with the table."""

PORTABLE_BETAS = frozenset({
    "extended-cache-ttl-2025-04-11", "files-api-2025-04-14", "pdfs-2024-09-25", "prompt-caching-2024-07-31",
    "token-counting-2024-11-01",
})  # fmt: skip
"""Beta headers that do not depend on the model."""

SMALLEST_TOKEN = 2
"""Bytes of UTF-8. The estimate of a request's tokens is too high rather than too low: 2.5 is usual for English."""


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """The parameters that a model takes without an error."""

    thinking: frozenset[str]
    """Values of `thinking.type`."""
    thinks: bool = False
    """Whether it thinks if the request has no `thinking`, so that its answer may begin with another block."""
    effort: frozenset[str] = frozenset()
    """Values of `output_config.effort`."""
    sampling: bool = False
    """Whether it takes `temperature`, `top_p` and `top_k`."""
    forced_tool: bool = True
    """Whether it takes a `tool_choice` that forces a tool."""
    context: int = 1_000_000
    """Tokens of the context window."""
    output: int = 128_000
    """The highest `max_tokens`."""


_LOW_TO_HIGH = frozenset({"low", "medium", "high"})
_TO_MAX = _LOW_TO_HIGH | {"max"}
_ALL = _TO_MAX | {"xhigh"}
_HIGHEST = _ALL - _LOW_TO_HIGH
_OFF = frozenset({"disabled", "between_tools"})
"""Values of `thinking.type` that some models reject at the highest efforts."""

_EXTENDED = ModelCapabilities(frozenset({"enabled", "disabled"}), sampling=True, context=200_000, output=64_000)
_BOTH = ModelCapabilities(frozenset({"enabled", "adaptive", "disabled"}), effort=_TO_MAX, sampling=True)
_ADAPTIVE = ModelCapabilities(frozenset({"adaptive", "disabled"}), effort=_ALL)
_BY_DEFAULT = replace(_ADAPTIVE, thinks=True)
_ALWAYS = ModelCapabilities(frozenset({"adaptive"}), thinks=True, effort=_ALL, forced_tool=False)

MODELS: Mapping[str, ModelCapabilities] = {
    "claude-haiku-4-5": _EXTENDED,
    "claude-sonnet-4-5": _EXTENDED,
    "claude-opus-4-5": replace(_EXTENDED, effort=_LOW_TO_HIGH),
    "claude-sonnet-4-6": replace(_BOTH, output=64_000),
    "claude-opus-4-6": _BOTH,
    "claude-opus-4-7": _ADAPTIVE,
    "claude-opus-4-8": _ADAPTIVE,
    "claude-sonnet-5": _BY_DEFAULT,
    "claude-opus-5": _BY_DEFAULT,
    "claude-haiku-5-5": replace(_BY_DEFAULT, forced_tool=False),
    "claude-sonnet-5-5": replace(_ALWAYS, thinking=frozenset({"adaptive", "between_tools"})),
    **dict.fromkeys(
        (
            "claude-opus-5-5",
            "claude-fable-5",
            "claude-fable-5-1",
            "claude-fable-5-2",
            "claude-mythos-5",
            "claude-mythos-5-1",
            "claude-mythos-5-2",
        ),
        _ALWAYS,
    ),
}
"""The models that may take over a request, without region, vendor and release date."""


def is_known(model: str) -> bool:
    """Whether the table has a model."""
    return family_of(model) in MODELS


def may_differ(pattern: str, model: str) -> bool:
    """Whether a pattern may match a model other than this one. Regions and release dates make no other model."""
    return any(wildcard in pattern for wildcard in "*?[") or family_of(pattern) != family_of(model)


def fallback_model(candidates: Sequence[str], body: Mapping[str, object], betas: Iterable[str]) -> str:
    """Return the first of the candidates that takes a request unchanged; empty if none does.

    Args:
        candidates: Names of models in the order of preference.
        body: The JSON body of the request.
        betas: Its beta headers.
    """
    if not (PORTABLE_KEYS.issuperset(body) and PORTABLE_BETAS.issuperset(betas) and _has_portable_parts(body)):
        return ""
    return next((model for model in candidates if _takes(model, body)), "")


def _has_portable_parts(body: Mapping[str, object]) -> bool:
    """Whether no message, tool or setting of the output is one that only some models take."""
    messages, tools, output = body.get("messages"), body.get("tools") or (), body.get("output_config") or {}
    return (
        isinstance(messages, list)
        and all(isinstance(one, Mapping) and one.get("role") in ("user", "assistant") for one in messages)
        and isinstance(tools, list | tuple)
        and all(isinstance(one, Mapping) and one.get("type") in (None, "custom") for one in tools)
        and isinstance(output, Mapping)
        and output.keys() <= {"effort", "format"}
        and isinstance(output.get("effort"), str | None)
    )


def _takes(model: str, body: Mapping[str, object]) -> bool:
    family, own = family_of(model), family_of(str(body.get("model")))
    target, source = MODELS.get(family), MODELS.get(own)
    if target is None or family == own:
        return False
    thinking, max_tokens = type_of(body.get("thinking")), body.get("max_tokens")
    output = body.get("output_config")
    effort = output.get("effort") if isinstance(output, Mapping) else None
    if thinking:
        fits = thinking in target.thinking and not (thinking in _OFF and effort in _HIGHEST)
    else:
        fits = not target.thinks or (source is not None and source.thinks)
    return (
        fits
        and (effort is None or effort in target.effort)
        and (target.sampling or not any(body.get(name) is not None for name in ("temperature", "top_p", "top_k")))
        and (target.forced_tool or type_of(body.get("tool_choice")) not in FORCED_TOOL)
        and (accepts_prefill(model) or not _is_prefilled(body))
        and isinstance(max_tokens, int)
        and max_tokens <= target.output
        and ((source is not None and source.context <= target.context) or _tokens(body) + max_tokens <= target.context)
    )


def _is_prefilled(body: Mapping[str, object]) -> bool:
    messages = body["messages"]
    return bool(messages) and messages[-1]["role"] == "assistant"  # type: ignore[index] # a list of mappings by now


def _tokens(part: object) -> float:
    """Return the most tokens that a part of a request may have; infinite if the part is not in the request itself."""
    if isinstance(part, str):
        return len(part.encode("utf-8", "surrogatepass")) / SMALLEST_TOKEN
    if isinstance(part, Mapping):
        return float("inf") if part.get("type") in ("file", "url") else sum(map(_tokens, part.values()))
    return sum(map(_tokens, part)) if isinstance(part, list | tuple) else 0.0
