"""The request that continues a text which broke off, made from the original request."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.partial_text import anchor_of, partial_of
from otel_claude_stream._core.stream.call import RequestCapabilities

PROMPT = (
    "Your previous response was interrupted before it was complete. Continue it from exactly where it stopped. "
    "Begin by repeating its last characters verbatim, which are:\n\n{anchor}\n\n"
    "Then go on from there in the same language, tone and format until the response is complete. "
    "Write nothing else: no introduction, no comment on the interruption, no code fence that is already open, "
    "and nothing again from before those characters."
)
"""What the user's turn says, in the words of Claude's documentation on error recovery, with the repetition added. The
anchor is quoted, since models count characters badly."""

PLACEHOLDER = "{anchor}"

BYTES_PER_TOKEN = 4
"""Of UTF-8, which makes one rule for all scripts: some 4 letters of English, 2 of Cyrillic, a little over 1 of Chinese.
Rather too many bytes than too few: an answer that ends early is worse than one with a few tokens to spare."""

MIN_TOKENS = 256
"""What is left for the rest of the answer at least, beside what thinking may take."""

_FORCED = frozenset({"any", "tool"})
"""Types of `tool_choice` under which the answer has to be a tool's call."""

_NO_THINKING = frozenset({"", "disabled"})
"""Any other type thinks: `enabled`, `adaptive`, `between_tools`, and what is to come."""


TRAIT_KEYS = ("thread", "output_config", "output_format", "tool_choice", "thinking")
"""The keys of a request that `traits_of` looks at."""


def traits_of(body: object) -> RequestCapabilities:
    """What of a request decides whether its answer can be repeated or continued. Any odd shape has no traits."""
    if not isinstance(body, Mapping):
        return RequestCapabilities()
    output, choice, thinking = body.get("output_config"), body.get("tool_choice"), body.get("thinking")
    structured = body.get("output_format") is not None or (
        isinstance(output, Mapping) and output.get("format") is not None
    )
    return RequestCapabilities(
        thread=body.get("thread") is not None,
        structured_output=structured,
        forced_tool=_type_of(choice) in _FORCED,
        thinking=_type_of(thinking) not in _NO_THINKING,
    )


def continue_body(body: Mapping[str, object], text: str, strategy: Strategy, resume: Resume) -> dict[str, object]:
    """The body of the request that continues `text`, all that was delivered of the answer to `body`.

    What `body` holds is neither changed nor copied: all up to the last turn is the same, so that the prompt's cache
    still fits. An assistant's turn that the request ended with is the answer's beginning, and becomes one with it.

    Raises:
        ValueError: the text is nothing but white space, which no turn may be, or the body has no messages.
    """
    partial = partial_of(text)
    if not partial.stem:
        raise ValueError("a text of white space alone cannot be continued")
    messages = body.get("messages")
    if not isinstance(messages, list | tuple):
        raise ValueError(f"messages of a request are a list, not {type(messages).__name__}")
    prefill = strategy is Strategy.PREFILL
    turns = _with_answer(messages, partial.stem if prefill else partial.sent)
    anchor = anchor_of(partial.stem, resume.anchor_chars)
    if not prefill:
        prompt = PROMPT if resume.prompt is None else resume.prompt
        turns.append({"role": "user", "content": prompt.replace(PLACEHOLDER, anchor)})
    repeated = "" if prefill else anchor
    continued: dict[str, object] = {**body, "messages": turns}
    most = body.get("max_tokens")
    if isinstance(most, int):
        continued["max_tokens"] = _tokens_left(most, tokens_of(partial.stem) - tokens_of(repeated), body)
    return continued


def tokens_of(text: str) -> int:
    """About how many tokens a text has."""
    return len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN


def _tokens_left(most: int, spent: int, body: Mapping[str, object]) -> int:
    """`max_tokens` of the continuation: never more than before, and room enough beside the thinking."""
    thinking = body.get("thinking")
    reserved = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    floor = MIN_TOKENS + (reserved if isinstance(reserved, int) else 0)
    return min(most, max(most - max(0, spent), floor))


def _with_answer(messages: list[object] | tuple[object, ...], answer: str) -> list[object]:
    """The turns with the partial answer as the assistant's last one."""
    *before, last = messages or [None]
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": answer}]
    content = last.get("content")
    if isinstance(content, str):
        return [*before, {**last, "content": content + answer}]
    blocks = list(content) if isinstance(content, list | tuple) else []
    final = blocks[-1] if blocks else None
    if isinstance(final, Mapping) and final.get("type") == "text" and isinstance(final.get("text"), str):
        # Within the block, whose other keys (`cache_control`) stay: two blocks would be two paragraphs to some models.
        blocks[-1] = {**final, "text": final["text"] + answer}
    else:
        blocks.append({"type": "text", "text": answer})
    return [*before, {**last, "content": blocks}]


def _type_of(value: object) -> str:
    """The type that a part of a request says, empty if it has another shape."""
    found = value.get("type") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""
