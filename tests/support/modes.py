"""Modes in which a test body, written once as a coroutine, runs against the sync or the async half of the SDK.

The sync mode needs no event loop, as nothing in the body suspends: `await mode.do(x)` returns `x`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anthropic

ASK = {
    "model": "claude-test",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello?"}],
}

READ_TIMEOUT = 5.0
"""Seconds. No test waits for it, but a test that hangs ends."""


class Each:
    """An async iterator over either kind of iterable.

    It is not a generator, whose frame would hold a reference to the stream.
    """

    def __init__(self, mode: Mode, iterable: Any) -> None:
        self.mode = mode
        self.items = iterable.__aiter__() if mode.is_async else iter(iterable)

    def __aiter__(self) -> Each:
        return self

    async def __anext__(self) -> Any:
        if self.mode.is_async:
            return await self.items.__anext__()
        try:
            return next(self.items)
        except StopIteration:
            raise StopAsyncIteration from None


class Mode:
    """One half of the SDK, `sync` or `async`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_async = name == "async"

    def __repr__(self) -> str:
        return self.name

    def run(self, body: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        """Run a coroutine function and return its result."""
        if self.is_async:
            return asyncio.run(body(*args, **kwargs))
        coroutine = body(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        finally:
            coroutine.close()
        raise AssertionError("the body was suspended in the sync mode")

    def kind(self, name: str) -> type[Any] | None:
        """Return a class of the SDK by its sync name; None if this release does not have it."""
        return getattr(anthropic, f"Async{name}" if self.is_async else name, None)

    def client(self, url: str, **options: Any) -> Any:
        """Create a client, which is a context manager for `entered`."""
        options = {"api_key": "none", "max_retries": 0, "timeout": READ_TIMEOUT, **options}
        # The server has no TLS. Loading certificates would take most of the time of a test.
        http = getattr(anthropic, "DefaultAsyncHttpxClient" if self.is_async else "DefaultHttpxClient")
        options.setdefault("http_client", http(verify=False))
        client = self.kind("Anthropic")
        assert client is not None
        return client(base_url=url, **options)

    async def do(self, value: Any) -> Any:
        """Return the value, which is awaited if it is awaitable."""
        if not self.is_async:
            return value
        return await value if isinstance(value, Awaitable) or inspect.isawaitable(value) else value

    def pause(self) -> Any:
        """Let other threads or tasks run for a moment; pass the result to `do`."""
        return asyncio.sleep(0.001) if self.is_async else time.sleep(0.001)

    def each(self, iterable: Any) -> Each:
        """Return an iterator for `async for`."""
        return Each(self, iterable)

    async def all(self, iterable: Any) -> list[Any]:
        """Return all items of an iterable."""
        return [item async for item in self.each(iterable)]

    def entered(self, manager: Any) -> AbstractAsyncContextManager[Any]:
        """Return a context manager for `async with`."""
        return manager if self.is_async else _entered(manager)

    async def close(self, closable: Any) -> None:
        """Close a stream, a client or a response."""
        aclose = getattr(closable, "aclose", None)
        await self.do(aclose() if self.is_async and aclose is not None else closable.close())


@asynccontextmanager
async def _entered(manager: Any) -> Any:
    with manager as value:
        yield value


MODES = (Mode("sync"), Mode("async"))
