"""What a text of a policy file says, and what in it is a mistake of form; filled by `json_text` and `yaml_text`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.substitution import substitute

TWICE = "the key is there twice"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that makes the text unreadable, or a value of it."""

    text: str
    path: Path = ()
    value: str = ""
    line: int | None = None


class Unreadable(Exception):
    """The text cannot be read at all; ``mistake`` says why."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.text)
        self.mistake = mistake


@dataclass(slots=True)
class Read:
    """What a text says."""

    said: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, text: str, path: Path, value: str = "") -> None:
        """Take note of a mistake."""
        self.mistakes.append(Mistake(text, path, value, self.lines.get(path)))

    def substituted(self, text: str, path: Path, environment: Mapping[str, str]) -> str:
        """A value with its references replaced."""
        try:
            return substitute(text, environment)
        except ValueError as error:
            self.mistake(
                "not a reference: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign", path, str(error)
            )
            return text
