"""The base of `retry_policy()` and `stream_labels()`, which apply to the calls that begin within a block."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Block:
    """A context manager and decorator. Enter it with ``with`` (in async code too).

    One object may be entered any number of times, by several threads and tasks at once.
    """

    __slots__ = ()

    current: ClassVar[ContextVar[Any]]
    """The innermost block of this context with the value that it replaced, as a pair; None outside of all blocks."""

    def __enter__(self) -> None:
        self.current.set((self, self.current.get()))

    def __exit__(self, *_: object) -> None:
        # Not by a token, which raises in another context than the one that was entered. An async generator may be
        # closed in another context. A block that is not the current one there stays untouched.
        current = self.current.get()
        if current is not None and current[0] is self:
            self.current.set(current[1])

    def __call__(self, function: F) -> F:
        """Decorate a function or a coroutine function.

        Raises:
            TypeError: The function is a generator function. Its body runs in the context of the code that iterates.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "cannot decorate a generator function: it runs in the context of the code that iterates over it. "
                "Put the `with` block around the call inside the generator"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", wrapper)
