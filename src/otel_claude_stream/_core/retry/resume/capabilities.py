"""Which models go on from the start of an answer (prefill), and which have to be asked to go on.

Source: Claude's documentation on streaming ("Error recovery": Claude 4.5 models and earlier continue an assistant
message; from 4.6 on a user message asks) and on prefilling, as stored in August 2026; the names are those of the SDK's
own list of models and of its deprecated ones. A model that is in neither table is asked: every model understands that.
"""

from __future__ import annotations

import re
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
"""Models that accept the start of their answer as the last turn: generation 4.5 and before."""

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
"""Models that answer 400 to it: generation 4.6 and later."""

_ACCEPTING = frozenset(PREFILL_ACCEPTING)

_RELEASE = re.compile(
    r"""(?:-latest | -\d{8} | @\w+ )?   # an alias, or the day of the release: -20251001, @20251001, @latest, @default
        (?:-v\d+)?                      # Bedrock's own version, Vertex's second one
        (?:@\d+)?
        (?::\d+(?::\w+)?)?$             # Bedrock's revision, and its context size: :0, :0:200k
    """,
    re.VERBOSE,
)

_REFUSALS = (
    re.compile(r"prefill.*not support|not support.*prefill", re.IGNORECASE | re.DOTALL),
    re.compile(r"conversation must end with a user message", re.IGNORECASE),
)
"""Both known texts, loosely: "Prefilling assistant messages is not supported for this model." and "This model does not
support assistant message prefill. The conversation must end with a user message." """


def family_of(model: str) -> str:
    """The name of a model without what providers put around it: region, vendor, resource path, release, revision."""
    name = model.lower().replace(".", "-")
    return _RELEASE.sub("", name[max(0, name.rfind("claude-")) :], count=1)


def accepts_prefill(model: str) -> bool:
    """Whether a model is known to go on from the start of its answer."""
    return family_of(model) in _ACCEPTING


def known_to_refuse(model_or_glob: str) -> bool:
    """Whether a model is known to refuse the start of its answer; a pattern, if it names such a model and no other."""
    if not any(sign in model_or_glob for sign in "*?["):
        return family_of(model_or_glob) in PREFILL_REFUSING
    name = model_or_glob.lower()
    pattern = name[max(0, name.rfind("claude-")) :]
    return _names_one_of(pattern, PREFILL_REFUSING) and not _names_one_of(pattern, PREFILL_ACCEPTING)


def strategy_for(resume: Resume, model: str, traits: RequestCapabilities) -> Strategy:
    """How a text of this model is continued: never `AUTO`.

    Never prefill with thinking, which the API refuses, whatever the policy says. Otherwise a policy that names a way
    gets it, also against the table: it may know a model that the table does not.
    """
    if traits.thinking or resume.strategy is Strategy.USER_CONTINUE:
        return Strategy.USER_CONTINUE
    if resume.strategy is Strategy.PREFILL or accepts_prefill(model):
        return Strategy.PREFILL
    return Strategy.USER_CONTINUE


def refuses_prefill(status: int, message: str) -> bool:
    """Whether an HTTP error says that the model does not go on from the start of its answer: then it is to be asked."""
    return status == 400 and any(refusal.search(message) for refusal in _REFUSALS)


def _names_one_of(pattern: str, families: tuple[str, ...]) -> bool:
    """Whether a pattern matches a model of one of these families, with or without a day of release."""
    return any(fnmatchcase(family, pattern) or fnmatchcase(f"{family}-20250101", pattern) for family in families)
