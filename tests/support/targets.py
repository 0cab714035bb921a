"""Every function of ours that runs while a stream is read, found by walking the modules; and making one raise."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from otel_claude_stream import _session as session
from otel_claude_stream._sdk import attach, read

INSTALLING = {"assembly", "hooks", "lazy_hooks"}
"""Run at `instrument()` and until the first call, whose own tests break them; what they put in place is elsewhere."""


def modules_of(*packages: types.ModuleType) -> list[str]:
    """The modules in these packages, by their full names."""
    return [
        f"{package.__name__}.{module.name}" for package in packages for module in pkgutil.iter_modules(package.__path__)
    ]


STREAM = ("call", "delivered", "events", "frames", "hot_path", "journal", "message_state", "timing")
MODULES = (
    *sorted(name for name in modules_of(attach, read, session) if name.rpartition(".")[2] not in INSTALLING),
    "otel_claude_stream._core.diagnosis.classify",
    *(f"otel_claude_stream._core.stream.{name}" for name in STREAM),
    "otel_claude_stream._core.summary",
    "otel_claude_stream._telemetry.stream_telemetry",
    "otel_claude_stream._telemetry.metrics",
    "otel_claude_stream._telemetry.logs",
    "otel_claude_stream._telemetry.span_attributes",
    "otel_claude_stream._telemetry.zero_series",
)


@dataclass(frozen=True)
class Target:
    """One function of ours, by the place where it is defined."""

    module: str
    owner: str
    name: str

    @property
    def id(self) -> str:
        """As in a traceback."""
        place = self.module.removeprefix("otel_claude_stream.")
        return f"{place}:{self.owner}.{self.name}" if self.owner else f"{place}:{self.name}"


def _functions(holder: Any, module: str) -> Iterator[str]:
    for name, value in vars(holder).items():
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        inner = inner.fget if isinstance(inner, property) else inner
        if isinstance(inner, types.FunctionType) and inner.__module__ == module:
            yield name


def found_in(modules: Iterable[str]) -> Iterator[Target]:
    """Every function of some modules."""
    for module in modules:
        loaded = importlib.import_module(module)
        for name in _functions(loaded, module):
            yield Target(module, "", name)
        for name, value in vars(loaded).items():
            if inspect.isclass(value) and value.__module__ == module and not issubclass(value, BaseException):
                made = {"__init__", "__repr__", "__eq__", "__hash__", "__getstate__", "__setstate__"}
                made = made if hasattr(value, "__dataclass_fields__") else set()
                made |= {"__setattr__", "__delattr__", "__replace__"}
                for method in _functions(value, module):
                    if method not in made and not getattr(value, "_is_protocol", False):
                        yield Target(module, name, method)


TARGETS = tuple(found_in(MODULES))


class Broken(Exception):
    """The exception of a function that is made to raise."""


@contextmanager
def broken(target: Target, error: type[BaseException] = Broken) -> Iterator[list[int]]:
    """Make one function raise wherever it is used; gives the list that grows with each call of it."""
    calls: list[int] = []

    def raises(*_: Any, **__: Any) -> Any:
        calls.append(1)
        raise error(target.id)

    module = sys.modules[target.module]
    holder = getattr(module, target.owner) if target.owner else module
    original = vars(holder)[target.name]
    undo = _inside(original, raises) or _instead(holder, target, original, raises)
    try:
        yield calls
    finally:
        undo()


def _inside(original: Any, raises: Callable[..., Any]) -> Callable[[], None] | None:
    """Put it inside the guard of a guarded function, since the guard is tested and not broken."""
    function = original.__func__ if isinstance(original, staticmethod) else original
    if not isinstance(function, types.FunctionType) or not hasattr(function, "__wrapped__"):
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cell = cells["function"]
    inner = cell.cell_contents
    cell.cell_contents = raises
    return functools.partial(setattr, cell, "cell_contents", inner)


def _instead(holder: Any, target: Target, original: Any, raises: Callable[..., Any]) -> Callable[[], None]:
    if isinstance(original, property):
        new: Any = property(raises)
    elif isinstance(original, staticmethod):
        new = staticmethod(raises)
    else:
        new = raises
    # A function is imported by name: it is a name of several modules.
    holders = [holder] if target.owner else [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("otel_claude_stream") and vars(module).get(target.name) is original
    ]  # fmt: skip
    for each in holders:
        setattr(each, target.name, new)

    def undo() -> None:
        for each in holders:
            setattr(each, target.name, original)

    return undo


def code_of(target: Target) -> types.CodeType:
    """The code that runs when a target is called."""
    module = sys.modules[target.module]
    function = vars(getattr(module, target.owner) if target.owner else module)[target.name]
    function = function.__func__ if isinstance(function, staticmethod) else function
    function = function.fget if isinstance(function, property) else function
    return inspect.unwrap(function).__code__


@contextmanager
def reached() -> Iterator[set[types.CodeType]]:
    """Which code runs meanwhile, in this thread."""
    found: set[types.CodeType] = set()

    def note(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call":
            found.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)
