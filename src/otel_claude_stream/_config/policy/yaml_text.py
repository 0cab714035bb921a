"""Parse policy files in YAML 1.2. Importing this module imports PyYAML.

PyYAML implements YAML 1.1, where ``no`` is a truth value and ``1:30`` a number, and the last of two equal keys wins. So
only its parser is used. The plain data is built here from its nodes, with the line of each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.text import DUPLICATE_KEY, Mistake, ParsedText, Unreadable, plain_scalar

_MAX_NODES: Final = 10_000
"""Maximum number of YAML nodes. Aliases can expand a short text without bounds."""
_PLAIN_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))


def parse_yaml(text: str, environment: Mapping[str, str]) -> ParsedText:
    """Parse a YAML text of one document."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        column = f", column {mark.column + 1}" if mark else ""
        raise Unreadable(Mistake(f"not YAML: {error.problem}{column}", line=mark.line + 1 if mark else None)) from None
    except yaml.YAMLError as error:
        raise Unreadable(Mistake(f"not YAML: {str(error).splitlines()[0]}")) from None
    builder = _YamlBuilder(environment)
    return builder.parsed if node is None else builder.build(node)


class _YamlBuilder:
    """Builds plain data from YAML nodes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.parsed = ParsedText()
        self._environment = environment
        self._nodes = 0

    def build(self, node: Node) -> ParsedText:
        """Return the document of a root node."""
        return replace(self.parsed, data=self.value(node, ()))

    def value(self, node: Node, path: Path) -> object:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise Unreadable(Mistake(f"the file has more than {_MAX_NODES} values, or aliases of aliases"))
        self.parsed.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            self.parsed.add_mistake("YAML tags are not supported", path, node.tag)
        if isinstance(node, MappingNode):
            return self._mapping(node.value, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        text = self.parsed.substitute(str(node.value), path, self._environment)
        return text if getattr(node, "style", None) else plain_scalar(text)

    def _mapping(self, items: list[tuple[Node, Node]], path: Path) -> dict[object, object]:
        values: dict[object, object] = {}
        for key, value in items:
            at = (*path, key.value if isinstance(key.value, str) else "?")
            self.parsed.lines[at] = key.start_mark.line + 1
            if not isinstance(key.value, str):
                self.parsed.add_mistake("a key must be a single word", at)
            elif key.value in values:
                self.parsed.add_mistake(DUPLICATE_KEY, at)
            values[at[-1]] = self.value(value, at)
        return values
