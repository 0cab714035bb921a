"""The functions of this package that run while a stream is read, and a way to make one of them raise."""

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
"""Modules that run only at `instrument()` and at the first call. Their own tests make them fail."""


def modules_of(*packages: types.ModuleType) -> list[str]:
    """Return the full names of the modules in some packages."""
    return [
        f"{package.__name__}.{module.name}" for package in packages for module in pkgutil.iter_modules(package.__path__)
    ]


STREAM = ("call", "delivered", "events", "feed", "frames", "hot_path", "journal", "message_state", "timing")
MODULES = (
    *sorted(name for name in modules_of(attach, read, session) if name.rpartition(".")[2] not in INSTALLING),
    "otel_claude_stream._core.diagnosis.classify",
    *(f"otel_claude_stream._core.stream.{name}" for name in STREAM),
    "otel_claude_stream._core.bill",
    "otel_claude_stream._core.summary",
    "otel_claude_stream._telemetry.stream_telemetry",
    "otel_claude_stream._telemetry.feed_telemetry",
    "otel_claude_stream._telemetry.metrics",
    "otel_claude_stream._telemetry.logs",
    "otel_claude_stream._telemetry.span_attributes",
    "otel_claude_stream._telemetry.zero_series",
)


@dataclass(frozen=True)
class Target:
    """A function of this package, by the place where it is defined."""

    module: str
    owner: str
    name: str

    @property
    def id(self) -> str:
        """The place of the function, as a short name."""
        place = self.module.removeprefix("otel_claude_stream.")
        return f"{place}:{self.owner}.{self.name}" if self.owner else f"{place}:{self.name}"


def _functions(holder: Any, module: str) -> Iterator[str]:
    for name, value in vars(holder).items():
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        inner = inner.fget if isinstance(inner, property) else inner
        if isinstance(inner, types.FunctionType) and inner.__module__ == module:
            yield name


def functions_in(modules: Iterable[str]) -> Iterator[Target]:
    """Yield every function and method that some modules define."""
    for module in modules:
        loaded = importlib.import_module(module)
        for name in _functions(loaded, module):
            yield Target(module, "", name)
        for name, value in vars(loaded).items():
            if inspect.isclass(value) and value.__module__ == module and not issubclass(value, BaseException):
                generated = {"__init__", "__repr__", "__eq__", "__hash__", "__getstate__", "__setstate__"}
                generated = generated if hasattr(value, "__dataclass_fields__") else set()
                generated |= {"__setattr__", "__delattr__", "__replace__"}
                for method in _functions(value, module):
                    if method not in generated and not getattr(value, "_is_protocol", False):
                        yield Target(module, name, method)


TARGETS = tuple(functions_in(MODULES))

POLICY_ONLY = (
    "_session.call_policy:BudgetTokens.first",
    "_session.call_policy:BudgetTokens.take",
    "_session.call_policy:BudgetTokens.left",
    "_session.policy_resolver:PolicyResolver.left",
    "_core.stream.delivered:Delivered.full_text",
    "_core.stream.delivered:Delivered.open_text_index",
    "_core.stream.delivered:Delivered.keep_text",
    "_core.stream.frames:has_content",
    "_core.stream.frames:has_stop_reason",
    "_core.stream.frames:start_usage",
    "_session.attempts:Attempts.sent",
    "_session.attempts:Attempts.give_up",
    "_session.attempts:Attempts.follow",
    "_session.attempts:Attempts.buffer_event",
    "_session.attempts:Attempts.discard_buffer",
    "_core.stream.timing:Timing.attempt_failed",
    "_session.retries:Retries._report_pending",
    "_sdk.attach.request:fallback_finder",
    "_sdk.attach.request:fallback_for",
    "_sdk.attach.request:_betas",
    "_session.retries:Retries.answered",
    "_session.retries:Retries.attempt_failed",
    "_session.retries:Retries.continuation_refused",
    "_session.retries:Retries.seam_found",
    "_session.retries:Retries.describe",
    "_session.retries:Retries.sdk_retries_stopped",
    "_session.call_policy:CallPolicy.take",
    "_session.policy_resolver:PolicyResolver._concurrency",
    "_session.policy_resolver:PolicyResolver._key",
    "_telemetry.span_attributes:_queue",
    "_telemetry.stream_telemetry:StreamTelemetry.record_permit_wait",
    "_session.attempts:Attempts.hold",
    "_session.attempts:Attempts.admitted",
    *(
        f"_session.permits:CallPermits.{name}"
        for name in (
            "__init__",
            "__del__",
            "ask",
            "take_anyway",
            "wake_by",
            "wait_over",
            "_end_wait",
            "waiting",
            "queued",
            "unserved",
            "outcome",
            "accepted",
            "rejected",
            "back_off",
            "leave",
        )
    ),
    "_session.session:StreamSession.buffer_frame",
    "_telemetry.span_attributes:resume_attributes",
    "_telemetry.span_attributes:_recovery",
)
"""Targets that run only if the policy acts on failures. The tests in `tests/retry` make them raise."""


def sample(cases: list[str], limit: int) -> list[str]:
    """Return at most `limit` of the cases, evenly spaced."""
    step = len(cases) / limit
    return cases if step <= 1 else [cases[int(number * step)] for number in range(limit)]


class Broken(Exception):
    """The exception that a broken function raises."""


@contextmanager
def broken(target: Target, error: type[BaseException] = Broken) -> Iterator[list[int]]:
    """Make one function raise wherever it is used, and yield a list that grows with each call."""
    calls: list[int] = []

    def raises(*_: Any, **__: Any) -> Any:
        calls.append(1)
        raise error(target.id)

    module = sys.modules[target.module]
    holder = getattr(module, target.owner) if target.owner else module
    original = vars(holder)[target.name]
    undo = _replace_guarded(original, raises) or _replace_everywhere(holder, target, original, raises)
    try:
        yield calls
    finally:
        undo()


def _replace_guarded(original: Any, raises: Callable[..., Any]) -> Callable[[], None] | None:
    """Replace the function inside its guard, if it has one, so that the guard itself stays in place."""
    function = original.__func__ if isinstance(original, staticmethod) else original
    if not isinstance(function, types.FunctionType) or not hasattr(function, "__wrapped__"):
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cell = cells["function"]
    inner = cell.cell_contents
    cell.cell_contents = raises
    return functools.partial(setattr, cell, "cell_contents", inner)


def _replace_everywhere(holder: Any, target: Target, original: Any, raises: Callable[..., Any]) -> Callable[[], None]:
    if isinstance(original, property):
        new: Any = property(raises)
    elif isinstance(original, staticmethod):
        new = staticmethod(raises)
    else:
        new = raises
    # Several modules may have imported the function by name.
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
    """Return the code object that runs when a target is called."""
    module = sys.modules[target.module]
    function = vars(getattr(module, target.owner) if target.owner else module)[target.name]
    function = function.__func__ if isinstance(function, staticmethod) else function
    function = function.fget if isinstance(function, property) else function
    return inspect.unwrap(function).__code__


@contextmanager
def code_reached() -> Iterator[set[types.CodeType]]:
    """Yield the set of code objects that run in this thread during the block."""
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
