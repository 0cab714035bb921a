"""The names of Claude models that a pattern may match, on any platform."""

from __future__ import annotations

import re
from typing import Final

_REGIONS: Final = ("us", "us-gov", "eu", "apac", "ap", "au", "ca", "jp", "global")
_ARN: Final = "arn:aws"
"""Names on Bedrock may be ARNs of inference profiles, which do not contain the name of the model."""
_STARTS: Final = ("claude-", "anthropic.claude-", *(f"{region}.anthropic.claude-" for region in _REGIONS), _ARN)
"""How names start on Anthropic's API, Vertex AI and Bedrock."""


def may_match(pattern: str) -> bool:
    """Return whether a pattern may match the name of a Claude model, on any platform or behind a gateway."""
    literal = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    if literal == pattern:  # without a wildcard it must be a full name, which contains a version or a date
        return pattern.startswith(_ARN) or ("claude" in pattern and any(map(str.isdigit, pattern)))
    return "claude" in pattern or any(start.startswith(literal) or literal.startswith(start) for start in _STARTS)


def suggestion(pattern: str) -> str:
    """Return the pattern that was probably meant, for one that matches no name."""
    return f"{pattern}*" if pattern.startswith("claude") else f"*{pattern.strip('*').lower()}*"
