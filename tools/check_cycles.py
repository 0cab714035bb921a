"""Find import cycles among the modules of the package.

Imports inside of functions and under `TYPE_CHECKING` count too, as does `import_module` with a constant name. They hide
a cycle from the interpreter, not from the reader. `from package import name` is an import of
`package.name` if that is a module, otherwise of `package`. An import of `package.module` is no import of `package`,
though Python runs its `__init__`. It becomes one where names of `package` are used, as in `package.name`.

A component is a set of modules that all reach each other. Each is printed with its modules, and below each module the
imports that stay inside.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "otel_claude_stream"

Graph = dict[str, dict[str, int]]
"""For each module, the modules that it imports, with the line of the first import."""


def modules_of(package: Path) -> dict[str, Path]:
    """Return the files of the package by the names of their modules."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def graph_of(package: Path) -> Graph:
    """Return the import graph of the package."""
    paths = modules_of(package)
    graph: Graph = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parent = name if path.stem == "__init__" else name.rpartition(".")[0]
        imported = graph[name] = {}
        for target, line in sorted(_imports(tree, parent, set(paths)), key=lambda item: item[1]):
            if target != name:
                imported.setdefault(target, line)
    return graph


def _imports(tree: ast.Module, parent: str, modules: set[str]) -> Iterator[tuple[str, int]]:
    tops: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names, lineno=line):
                tops.update(alias.name.partition(".")[0] for alias in names if not alias.asname)
                yield from ((alias.name, line) for alias in names if alias.name in modules)
            case ast.ImportFrom(module=module, names=names, level=level, lineno=line):
                source = _absolute(module, parent, level)
                targets = (f"{source}.{alias.name}" for alias in names)
                targets = (target if target in modules else source for target in targets)
                yield from ((target, line) for target in targets if target in modules)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and first.value in modules:
                    yield first.value, node.lineno
    for node in ast.walk(tree):
        chain = _chain(node)
        if chain and chain[0] in tops:
            prefixes = (".".join(chain[:size]) for size in range(len(chain), 0, -1))
            used = next((prefix for prefix in prefixes if prefix in modules), "")
            if used and used != ".".join(chain):
                yield used, node.lineno


def _absolute(module: str | None, parent: str, level: int) -> str:
    if not level:
        return module or ""
    base = parent.rsplit(".", level - 1)[0] if level > 1 else parent
    return f"{base}.{module}" if module else base


def _chain(node: ast.AST) -> list[str]:
    """Return the names of an attribute access `a.b.c`, or an empty list."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) and names else []


def components(graph: Graph) -> list[list[str]]:
    """Return the sets of more than one module that all reach each other, the largest first."""
    reached = {name: _reach(graph, name) for name in graph}
    found = {tuple(sorted({name, *(other for other in reached[name] if name in reached[other])})) for name in graph}
    return sorted((list(names) for names in found if len(names) > 1), key=lambda names: (-len(names), names))


def _reach(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting: list[str] = [start]
    while waiting:
        new: Iterable[str] = graph[waiting.pop()].keys() - seen
        seen.update(new)
        waiting.extend(new)
    return seen


def main(arguments: list[str] | None = None) -> int:
    """Print the components; 1 if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder of the package")
    options = parser.parse_args(arguments)
    graph = graph_of(options.package)
    found = components(graph)
    for number, names in enumerate(found, 1):
        print(f"component {number}: {len(names)} modules")
        for name in names:
            inside = (f"{other} (line {line})" for other, line in sorted(graph[name].items()) if other in names)
            print(f"  {name}\n    imports {', '.join(inside)}")
    print(f"{len(graph)} modules, {len(found)} components with a cycle")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
