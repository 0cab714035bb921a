"""Sync and async as one: a test body is written once, as a coroutine, and runs against either half of the SDK.

In the sync mode it runs without an event loop, as nothing in it ever waits: `await mode.do(x)` gives `x` back.
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
"""Seconds: none of the tests waits for it, but a hanging one ends."""


class Each:
    """Iterates either kind of iterable. No generator: one would hold the stream in a frame of its own."""

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
    """One half of the SDK: `sync` or `async`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_async = name == "async"

    def __repr__(self) -> str:
        return self.name

    def run(self, body: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        """Run a test's body."""
        if self.is_async:
            return asyncio.run(body(*args, **kwargs))
        coroutine = body(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        finally:
            coroutine.close()
        raise AssertionError("something awaited in the sync mode")

    def kind(self, name: str) -> type[Any] | None:
        """A class of the SDK by its sync name; None if this release has none."""
        return getattr(anthropic, f"Async{name}" if self.is_async else name, None)

    def client(self, url: str, **options: Any) -> Any:
        """A client; a context manager for `entered`."""
        options = {"api_key": "none", "max_retries": 0, "timeout": READ_TIMEOUT, **options}
        # No certificates are loaded for a server without TLS: that would be most of the time of a test.
        http = getattr(anthropic, "DefaultAsyncHttpxClient" if self.is_async else "DefaultHttpxClient")
        options.setdefault("http_client", http(verify=False))
        client = self.kind("Anthropic")
        assert client is not None
        return client(base_url=url, **options)

    async def do(self, value: Any) -> Any:
        """The value, awaited if it has to be."""
        if not self.is_async:
            return value
        return await value if isinstance(value, Awaitable) or inspect.isawaitable(value) else value

    def pause(self) -> Any:
        """For `do`: a moment for other threads, or for the event loop, between two looks at what they do."""
        return asyncio.sleep(0.001) if self.is_async else time.sleep(0.001)

    def each(self, iterable: Any) -> Each:
        """For `async for`."""
        return Each(self, iterable)

    async def all(self, iterable: Any) -> list[Any]:
        """Every item."""
        return [item async for item in self.each(iterable)]

    def entered(self, manager: Any) -> AbstractAsyncContextManager[Any]:
        """For `async with`."""
        return manager if self.is_async else _entered(manager)

    async def close(self, closable: Any) -> None:
        """Close a stream, a client, a response."""
        aclose = getattr(closable, "aclose", None)
        await self.do(aclose() if self.is_async and aclose is not None else closable.close())


@asynccontextmanager
async def _entered(manager: Any) -> Any:
    with manager as value:
        yield value


MODES = (Mode("sync"), Mode("async"))
