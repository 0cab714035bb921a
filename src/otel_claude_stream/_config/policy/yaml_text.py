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
from otel_claude_stream._config.policy.text import (
    DUPLICATE_KEY,
    MAX_VALUES,
    TOO_MANY_VALUES,
    Mistake,
    ParsedText,
    Unreadable,
    plain_scalar,
)

_MAX_DEPTH: Final = 20
_PLAIN_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))


def parse_yaml(text: str, environment: Mapping[str, str]) -> ParsedText:
    """Parse a YAML text of one document."""
    try:
        node = yaml.compose(text, Loader=_BoundedLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        column = f", column {mark.column + 1}" if mark else ""
        raise Unreadable(Mistake(f"not YAML: {error.problem}{column}", line=mark.line + 1 if mark else None)) from None
    except yaml.YAMLError as error:
        raise Unreadable(Mistake(f"not YAML: {str(error).splitlines()[0]}")) from None
    builder = _YamlBuilder(environment)
    return builder.parsed if node is None else builder.build(node)


class _BoundedLoader(yaml.BaseLoader):
    """A loader that stops at too many nodes, and at flow collections that are nested too deeply.

    PyYAML needs about 0.1 ms for a node, and quadratic time for nested flow collections.
    """

    nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.nodes += 1
        if self.nodes > 2 * MAX_VALUES + 1:  # keys are nodes too
            raise Unreadable(Mistake(TOO_MANY_VALUES))
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level > _MAX_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(token)


class _YamlBuilder:
    """Builds plain data from YAML nodes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.parsed = ParsedText()
        self._environment = environment

    def build(self, node: Node) -> ParsedText:
        """Return the document of a root node."""
        return replace(self.parsed, data=self.value(node, ()))

    def value(self, node: Node, path: Path) -> object:
        self.parsed.count_value()
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
