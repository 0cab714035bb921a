"""The capabilities of requests and models that decide whether and how a text is resumed.

Up to Claude 4.5, models continue an answer that a request begins for them (prefill). From 4.6 on, a user message has
to ask for the rest. Sources are Claude's documentation on streaming ("Error recovery") and on prefilling, as of August
2026. Names are those of the SDK's lists of current and deprecated models. A model in neither table is asked, since
every model understands that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.stream.call import RequestCapabilities

PREFILL_ACCEPTING = (
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "claude-opus-4-1",
    "claude-opus-4-0",
    "claude-opus-4",
    "claude-sonnet-4-0",
    "claude-sonnet-4",
    "claude-3-7-sonnet",
    "claude-3-5-sonnet",
    "claude-3-5-haiku",
    "claude-3-opus",
    "claude-3-sonnet",
    "claude-3-haiku",
    "claude-2-1",
    "claude-2-0",
)
"""Models that accept the beginning of their answer as the last turn, up to generation 4.5."""

PREFILL_REFUSING = (
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-mythos-preview",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-fable-5-1",
    "claude-mythos-5-1",
    "claude-fable-5-2",
    "claude-mythos-5-2",
)
"""Models that reject it with status 400, from generation 4.6 on."""

_ACCEPTING = frozenset(PREFILL_ACCEPTING)

_RELEASE = re.compile(
    r"""(?:-latest | -\d{8} | @\w+ )?   # an alias or the release date: -20251001, @20251001, @latest, @default
        (?:-v\d+)?                      # the version of Bedrock, the second one of Vertex
        (?:@\d+)?
        (?::\d+(?::\w+)?)?$             # the revision and context size of Bedrock: :0, :0:200k
    """,
    re.VERBOSE,
)

_REFUSALS = (
    re.compile(r"prefill.*not support|not support.*prefill", re.IGNORECASE | re.DOTALL),
    re.compile(r"conversation must end with a user message", re.IGNORECASE),
)
"""Both known messages, matched loosely.

"Prefilling assistant messages is not supported for this model." and
"This model does not support assistant message prefill. The conversation must end with a user message." """

CAPABILITY_KEYS = ("thread", "output_config", "output_format", "tool_choice", "thinking")
"""The keys of a request that `capabilities_of` reads."""

FORCED_TOOL = frozenset({"any", "tool"})
"""Types of `tool_choice` that force the answer to be a tool call."""

_NO_THINKING = frozenset({"", "disabled"})
"""Types without thinking. Any other type enables it: `enabled`, `adaptive`, `between_tools`, and future ones."""


_NONE = RequestCapabilities()
"""Shared by the requests that have none of them, which most are."""


def capabilities_of(body: object) -> RequestCapabilities:
    """Return the capabilities of a request. A body that is no mapping has none."""
    if not isinstance(body, Mapping):
        return _NONE
    output = body.get("output_config")
    structured = body.get("output_format") is not None or (
        isinstance(output, Mapping) and output.get("format") is not None
    )
    found = RequestCapabilities(
        thread=body.get("thread") is not None,
        structured_output=structured,
        forced_tool=type_of(body.get("tool_choice")) in FORCED_TOOL,
        thinking=type_of(body.get("thinking")) not in _NO_THINKING,
    )
    return _NONE if found == _NONE else found


def type_of(part: object) -> str:
    """Return the type of a part of a request, empty if it has none."""
    found = part.get("type") if isinstance(part, Mapping) else None
    return found if isinstance(found, str) else ""


def family_of(model: str) -> str:
    """Return the name of a model without region, vendor, resource path, release and revision."""
    name = model.lower().replace(".", "-")
    return _RELEASE.sub("", name[max(0, name.rfind("claude-")) :], count=1)


def accepts_prefill(model: str) -> bool:
    """Whether a model is known to accept a prefill."""
    return family_of(model) in _ACCEPTING


def known_to_refuse(model_or_glob: str) -> bool:
    """Whether a model is known to reject a prefill. A pattern counts if all known models that it matches do."""
    if not any(wildcard in model_or_glob for wildcard in "*?["):
        return family_of(model_or_glob) in PREFILL_REFUSING
    name = model_or_glob.lower()
    pattern = name[max(0, name.rfind("claude-")) :]
    return _matches_one_of(pattern, PREFILL_REFUSING) and not _matches_one_of(pattern, PREFILL_ACCEPTING)


def strategy_for(resume: Resume, model: str, request: RequestCapabilities) -> Strategy:
    """Return how a text of this model is resumed, never `AUTO`.

    The API rejects a prefill with thinking, so it is never used then. Otherwise the strategy of the policy wins over
    the table, which may not know the model.
    """
    if request.thinking or resume.strategy is Strategy.USER_CONTINUE:
        return Strategy.USER_CONTINUE
    if resume.strategy is Strategy.PREFILL or accepts_prefill(model):
        return Strategy.PREFILL
    return Strategy.USER_CONTINUE


def refuses_prefill(status: int, message: str) -> bool:
    """Whether an HTTP error reports that the model rejects a prefill, so that it has to be asked."""
    return status == 400 and any(refusal.search(message) for refusal in _REFUSALS)


def _matches_one_of(pattern: str, families: tuple[str, ...]) -> bool:
    """Whether a pattern matches a model of one of these families, with or without a release date."""
    return any(fnmatchcase(family, pattern) or fnmatchcase(f"{family}-20250101", pattern) for family in families)
