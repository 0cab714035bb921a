"""Policies written as YAML, by the rules of YAML 1.2. Importing this imports PyYAML.

PyYAML reads YAML 1.1, where ``no`` is a truth value and ``1:30`` a number, and takes the last of two equal keys. So
only its parser is used, and the plain data are made of the nodes here, each with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from otel_claude_stream._config.policy.keys import Path
from otel_claude_stream._config.policy.substitution import plain
from otel_claude_stream._config.policy.text import TWICE, Mistake, Read, Unreadable

_MOST_NODES: Final = 10_000
"""Aliases can make a short text as long as one likes; no policy is."""
_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))


def read_yaml(text: str, environment: Mapping[str, str]) -> Read:
    """A YAML text of one document."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", column {mark.column + 1}" if mark else ""
        raise Unreadable(Mistake(f"not YAML: {error.problem}{where}", line=mark.line + 1 if mark else None)) from None
    except yaml.YAMLError as error:
        raise Unreadable(Mistake(f"not YAML: {str(error).splitlines()[0]}")) from None
    tree = _Tree(environment)
    if node is not None:
        tree.found.said = tree.value(node, ())
    return tree.found


class _Tree:
    """Makes plain data of nodes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.found = Read()
        self._environment = environment
        self._nodes = 0

    def value(self, node: Node, path: Path) -> object:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise Unreadable(Mistake("too long, or aliases of aliases"))
        self.found.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            self.found.mistake("tags are not understood here", path, node.tag)
        if isinstance(node, MappingNode):
            return self._mapping(node.value, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        text = self.found.substituted(str(node.value), path, self._environment)
        return text if getattr(node, "style", None) else plain(text)

    def _mapping(self, items: list[tuple[Node, Node]], path: Path) -> dict[object, object]:
        said: dict[object, object] = {}
        for key, value in items:
            at = (*path, key.value if isinstance(key.value, str) else "?")
            self.found.lines[at] = key.start_mark.line + 1
            if not isinstance(key.value, str):
                self.found.mistake("a key is a single word", at)
            elif key.value in said:
                self.found.mistake(TWICE, at)
            said[at[-1]] = self.value(value, at)
        return said
