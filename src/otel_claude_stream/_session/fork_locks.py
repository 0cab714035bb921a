"""The locks of OpenTelemetry in a forked child.

A thread of the parent may hold a lock at the time of the fork, while it records or metrics are collected. The child
does not have that thread, so it would wait for the lock forever. OpenTelemetry renews a few of its locks in a child,
but not those of instruments, of readers and of span processors.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Iterator
from typing import Any

from otel_claude_stream import _guard
from otel_claude_stream._session.call_stack import runs_above

_LOCKS = (type(_thread.allocate_lock()), _thread.RLock)
_CONTAINERS = (list, tuple, set, frozenset)
_DESCENDED = ("opentelemetry.", "otel_claude_stream._telemetry.")
_MAX_FRAMES = 200
_MAX_OBJECTS = 50_000
"""Most objects that are visited, which takes tens of milliseconds. Each series of a metric has a few."""


@_guard.guarded("fork", None)
def release_locks(root: object) -> str | None:
    """Release the locks below `root` that threads of the parent held. Called in a child, before it starts threads.

    Return the class that has such a lock and is no part of OpenTelemetry, such as a processor of the application. Its
    lock stays untouched. None if there is no such class.
    """
    if runs_above("opentelemetry.sdk", _MAX_FRAMES):
        return None  # this very thread may hold the locks, and releases them
    owner = None
    for found, lock in _locks_below(root):
        if _is_held(lock):
            if _is_descended(found):
                lock._at_fork_reinit()  # noqa: SLF001 - as `threading` and `logging` do
            else:
                owner = _name_of(found)
    return owner


@_guard.guarded("fork", ())
def unreleased_locks(root: object) -> tuple[str, ...]:
    """Return the classes below `root` whose locks a child does not release, since they are no part of OpenTelemetry."""
    return (*sorted({_name_of(found) for found, _ in _locks_below(root) if not _is_descended(found)}),)


def _locks_below(root: object) -> Iterator[tuple[object, Any]]:
    """Yield each lock of OpenTelemetry, of this package, and of what they refer to, with the object that has it."""
    pending, seen = [root], {id(root)}
    while pending and len(seen) < _MAX_OBJECTS:
        found = pending.pop()
        if isinstance(found, dict):
            parts: Any = [*found.values(), *filter(_is_descended, found)]
        elif isinstance(found, _CONTAINERS):
            parts = [*found]
        else:
            ours = _is_descended(found)
            parts = [*_attributes(found)] if ours else [*_attributes(found), *_closures(type(found))]
            yield from ((found, part) for part in parts if isinstance(part, _LOCKS))
            if not ours:
                parts = [part for part in parts if _is_descended(part)]
        for part in parts:
            if id(part) not in seen and (isinstance(part, (dict, *_CONTAINERS)) or not _is_plain(part)):
                seen.add(id(part))
                pending.append(part)


def _name_of(found: object) -> str:
    return f"{type(found).__module__}.{type(found).__qualname__}"


def _is_descended(found: object) -> bool:
    return f"{type(found).__module__}.".startswith(_DESCENDED)


def _is_plain(found: object) -> bool:
    """Whether an object is of the standard library, such as a string, a function, a lock or a thread."""
    return str(type(found).__module__).partition(".")[0] in sys.stdlib_module_names


def _attributes(found: object) -> Iterator[object]:
    yield from getattr(found, "__dict__", {}).values()
    for kind in type(found).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(found, name, None)


def _closures(kind: type) -> Iterator[object]:
    """Yield the variables that the methods of a class take from the function around it."""
    for method in vars(kind).values():
        for cell in getattr(method, "__closure__", None) or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not assigned yet
                continue


def _is_held(lock: Any) -> bool:
    if lock.acquire(False):
        lock.release()
        return False
    return True
