"""Find assignments to attributes of objects from outside of their class.

An assignment counts if its object is neither `self` nor `cls` and a class of the package has such an attribute. It may
be plain, augmented, annotated or unpacking, a `del`, a loop target, or `setattr` or `delattr` with a constant name.
The attributes of a class come from its body, its `__slots__` and its `self.name = ...`. Methods are not among them.

Attributes of modules do not count. Nor does an object that the same function makes by a call of its class, which
nothing else refers to yet. `EXCEPTIONS` lists intended assignments. `OTHER_OBJECTS` lists objects of libraries whose
attributes happen to have such a name. Each entry has a reason, and one that matches nothing is an error.

The annotation of a parameter or a variable gives the class of an object. Without one, every class with such an
attribute is named, and an exception for any of them applies.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("HotPath", name): "the fields that each read and each delta change, for which a call would cost too much"
    for name in (
        "arrival", "bytes", "characters", "content", "deltas", "in_burst", "last_byte_at", "last_delta_at", "last_wait",
        "on_text", "read_mode", "read_started_at", "reads", "wait_at_last_event", "waited",
    )
}  # fmt: skip
"""Reasons by class and attribute."""

OTHER_OBJECTS: dict[tuple[str, str], str] = {}
"""Reasons by expression and attribute, such as `("response", "stream")`."""

SOURCE = Path(__file__).resolve().parent.parent / "src"

Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SETTERS = {"setattr", "delattr", "__setattr__", "__delattr__"}


@dataclass(frozen=True, order=True)
class Assignment:
    """An assignment from outside; `owners` are the classes that may be meant."""

    path: str
    line: int
    target: str
    attribute: str
    owners: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.target}.{self.attribute} ({', '.join(self.owners)})"


# --- The classes of the package ---------------------------------------------------------------------------------------
def attributes_by_class(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Return the names of the data attributes of each class."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].update(_attributes(node))
    return dict(found)


def _attributes(defined: ast.ClassDef) -> Iterator[str]:
    for statement in defined.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                yield from (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.FunctionDef(name=name, decorator_list=decorators):
                if any(isinstance(item, ast.Attribute) and item.attr == "setter" for item in decorators):
                    yield name
    for node in ast.walk(defined):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


# --- The assignments of a module --------------------------------------------------------------------------------------
class Finder:
    """The assignments of one module to objects from outside."""

    def __init__(self, path: str, tree: ast.Module, classes: dict[str, set[str]], modules: set[str]) -> None:
        self._path = path
        self._tree = tree
        self._classes = classes
        self._imported = set(_imported_modules(tree, modules))
        self._owners: defaultdict[str, set[str]] = defaultdict(set)
        for name, attributes in classes.items():
            for attribute in attributes:
                self._owners[attribute].add(name)

    def find(self) -> Iterator[Assignment]:
        """Yield the assignments of all scopes."""
        scopes = [node for node in ast.walk(self._tree) if isinstance(node, _FUNCTIONS)]
        for scope in (self._tree, *scopes):
            made, types = self._locals(scope)
            for node in _in_scope(scope):
                for receiver, attribute in _targets(node):
                    owners = self._owners.get(attribute, set())
                    name = receiver.id if isinstance(receiver, ast.Name) else ""
                    known = types.get(name, "")
                    if not owners or name in {"self", "cls", *made, *self._imported}:
                        continue
                    if known and known not in self._classes:
                        continue
                    line = getattr(node, "lineno", 0)
                    shown = tuple(sorted({known} if known and attribute in self._classes[known] else owners))
                    yield Assignment(self._path, line, ast.unparse(receiver), attribute, shown)

    def _locals(self, scope: Scope) -> tuple[set[str], dict[str, str]]:
        """Return the names of the objects that a scope makes, and the classes of its annotated names."""
        made: set[str] = set()
        types: dict[str, str] = {}
        if isinstance(scope, _FUNCTIONS):
            arguments = scope.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                types[argument.arg] = _class_name(argument.annotation)
        for node in _in_scope(scope):
            match node:
                case ast.Assign(targets=targets, value=value):
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name), value=value, annotation=annotation):
                    names = [name]
                    types[name] = _class_name(annotation)
                case ast.NamedExpr(target=ast.Name(id=name), value=value):
                    names = [name]
                case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                    names = [name]
                case _:
                    continue
            if value is not None and self._makes(value):
                made.update(names)
        return made, types

    def _makes(self, value: ast.expr) -> bool:
        """Whether an expression makes an object of a class of the package."""
        match value:
            case ast.Call(func=ast.Name(id=name)):
                return name in self._classes or name == "cls"
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id=owner))):
                return name in self._classes or name == "__new__" or owner in self._classes
        return False


def _class_name(annotation: ast.expr | None) -> str:
    """Return the class that an annotation names, without `None`; empty for `Any` and where there are several."""
    match annotation:
        case ast.Constant(value=str(text)):
            return _class_name(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _class_name(left)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return "" if name in {"Any", "object", "Self", "T"} else name
    return ""


def _in_scope(scope: Scope) -> Iterator[ast.AST]:
    """Yield the nodes of a scope without those of the functions in it; a class body belongs to its scope."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _FUNCTIONS):
            waiting.extend(ast.iter_child_nodes(node))


def _targets(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Attribute(value=receiver, attr=name, ctx=ast.Store() | ast.Del()):
            yield receiver, name
        case ast.Call(
            func=ast.Name(id=function) | ast.Attribute(attr=function),
            args=[receiver, ast.Constant(value=str(name)), *_],
        ) if function in _SETTERS:
            yield receiver, name


def _imported_modules(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(parent), names=names):
                yield from (alias.asname or alias.name for alias in names if f"{parent}.{alias.name}" in modules)


# --- All modules ------------------------------------------------------------------------------------------------------
def find_all(source: Path) -> list[Assignment]:
    """Return the assignments in the modules below a folder, exceptions included."""
    paths = sorted(source.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    classes = attributes_by_class(trees.values())
    modules = {".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    found = []
    for path, tree in trees.items():
        shown = (Path(source.name) / path.relative_to(source)).as_posix()
        found += Finder(shown, tree, classes, modules).find()
    return sorted(found)


def without_exceptions(found: list[Assignment]) -> list[Assignment]:
    """Return the assignments that no exception covers.

    Raises:
        SystemExit: An exception covers nothing.
    """
    meant = {pair: [item for item in found if item.attribute == pair[1] and pair[0] in item.owners]
             for pair in EXCEPTIONS}  # fmt: skip
    others = {pair: [item for item in found if (item.target, item.attribute) == pair] for pair in OTHER_OBJECTS}
    covered: set[Assignment] = set()
    for (name, attribute), items in (*meant.items(), *others.items()):
        if not items:
            raise SystemExit(f"nothing outside assigns {name}.{attribute}; remove it from {Path(__file__).name}")
        covered.update(items)
    return [item for item in found if item not in covered]


def main(arguments: list[str] | None = None) -> int:
    """Print the assignments and their number; 1 if there are more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, default=0, help="most assignments that pass; default: %(default)s")
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of the sources")
    options = parser.parse_args(arguments)
    found = without_exceptions(find_all(options.source))
    for assignment in found:
        print(assignment)
    print(f"{len(found)} assignments from outside, limit {options.limit}")
    return 1 if len(found) > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
