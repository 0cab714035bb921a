"""Read three answers at once, in threads, in tasks of asyncio or trio, or in greenlets of gevent."""

from __future__ import annotations

import sys

library = sys.argv[1]
if library == "gevent":
    from gevent import monkey

    monkey.patch_all()

import anthropic  # noqa: E402 - after the patches of gevent

CALL = {"max_tokens": 64, "messages": [{"role": "user", "content": "Hello?"}]}
NAMES = ("one", "two", "three")


def read(name: str) -> None:
    with anthropic.Anthropic(max_retries=0).messages.stream(model=name, **CALL) as stream:
        stream.get_final_text()


async def read_async(name: str) -> None:
    async with anthropic.AsyncAnthropic(max_retries=0) as client, client.messages.stream(model=name, **CALL) as stream:
        await stream.get_final_text()


if library == "threads":
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, NAMES))
elif library == "gevent":
    import gevent

    gevent.joinall([gevent.spawn(read, name) for name in NAMES], raise_error=True)
elif library == "asyncio":
    import asyncio

    async def main() -> None:
        await asyncio.gather(*(read_async(name) for name in NAMES))

    asyncio.run(main())
else:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(read_async, name)

    trio.run(main)
print("Hello there.", flush=True)
