"""The request that resumes a text which broke off, made from the original request."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.retry.policy import Resume, Strategy
from otel_claude_stream._core.retry.resume.seam import anchor_of, partial_of

PROMPT = (
    "Your previous response was interrupted before it was complete. Continue it from exactly where it stopped. "
    "Begin by repeating its last characters verbatim, which are:\n\n{anchor}\n\n"
    "Then go on from there in the same language, tone and format until the response is complete. "
    "Write nothing else: no introduction, no comment on the interruption, no code fence that is already open, "
    "and nothing again from before those characters."
)
"""Text of the user's turn, by Claude's documentation on error recovery, plus the repetition.

It quotes the anchor, since models count characters badly."""

PLACEHOLDER = "{anchor}"

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8, so that one rule holds for all scripts: 4 letters of English, 2 of Cyrillic, about 1 of Chinese.

The estimate is high on purpose. An answer that ends early is worse than some spare tokens."""

MIN_TOKENS = 256
"""Tokens for the rest of the answer at least, in addition to the budget for thinking."""


def continue_body(body: Mapping[str, object], text: str, strategy: Strategy, resume: Resume) -> dict[str, object]:
    """Return the body of the request that continues `text`, which is all delivered text of the answer to `body`.

    `body` is neither changed nor copied. Everything up to the last turn stays the same, so that the prompt cache
    applies. If the request ended with an assistant's turn, that turn and the partial answer become one.

    Raises:
        ValueError: The text is only white space, which no turn may be, or the body has no list of messages.
    """
    partial = partial_of(text)
    if not partial.stem:
        raise ValueError("cannot resume a text that is only white space; the original error stands")
    messages = body.get("messages")
    if not isinstance(messages, list | tuple):
        raise ValueError(f"cannot resume a text: `messages` must be a list, not {type(messages).__name__}")
    prefill = strategy is Strategy.PREFILL
    turns = _with_answer(messages, partial.stem)
    anchor = anchor_of(partial.stem, resume.anchor_chars)
    if not prefill:
        prompt = PROMPT if resume.prompt is None else resume.prompt
        turns.append({"role": "user", "content": prompt.replace(PLACEHOLDER, anchor)})
    repeated = "" if prefill else anchor
    continued: dict[str, object] = {**body, "messages": turns}
    max_tokens = body.get("max_tokens")
    if isinstance(max_tokens, int):
        spent = estimated_tokens(partial.stem) - estimated_tokens(repeated)
        continued["max_tokens"] = _remaining_tokens(max_tokens, spent, body)
    return continued


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN


def _remaining_tokens(max_tokens: int, spent: int, body: Mapping[str, object]) -> int:
    """Return `max_tokens` for the rest: at most the original value, with room beside the thinking."""
    thinking = body.get("thinking")
    reserved = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    floor = MIN_TOKENS + (reserved if isinstance(reserved, int) else 0)
    return min(max_tokens, max(max_tokens - max(0, spent), floor))


def _with_answer(messages: list[object] | tuple[object, ...], answer: str) -> list[object]:
    """Return the turns with the partial answer as the last turn, of the assistant."""
    *before, last = messages or [None]
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": answer}]
    content = last.get("content")
    if isinstance(content, str):
        return [*before, {**last, "content": content + answer}]
    blocks = list(content) if isinstance(content, list | tuple) else []
    final = blocks[-1] if blocks else None
    if isinstance(final, Mapping) and final.get("type") == "text" and isinstance(final.get("text"), str):
        # In one block, whose other keys (`cache_control`) stay. To some models two blocks are two paragraphs.
        blocks[-1] = {**final, "text": final["text"] + answer}
    else:
        blocks.append({"type": "text", "text": answer})
    return [*before, {**last, "content": blocks}]
