"""Frameworks that hand texts to a callback, as iterators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

Emit = Callable[[str], None]


def texts_of(run: Callable[[Emit], object]) -> Iterator[str]:
    """Run to the end, then yield what the callback got; raise what the run raised."""
    texts: list[str] = []
    try:
        run(texts.append)
    except Exception:
        yield from texts
        raise
    yield from texts


async def texts_of_async(run: Callable[[Emit], Awaitable[object]]) -> AsyncIterator[str]:
    """As `texts_of`, for a coroutine function."""
    texts: list[str] = []
    try:
        await run(texts.append)
    except Exception:
        for text in texts:
            yield text
        raise
    for text in texts:
        yield text
