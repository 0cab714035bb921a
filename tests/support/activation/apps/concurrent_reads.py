"""Read three answers at once, with each of the libraries named: threads, asyncio, trio, or gevent alone."""

from __future__ import annotations

import sys

libraries = sys.argv[1:]
if libraries == ["gevent"]:
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


def threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, NAMES))


def gevent() -> None:
    import gevent

    gevent.joinall([gevent.spawn(read, name) for name in NAMES], raise_error=True)


def asyncio() -> None:
    import asyncio

    async def main() -> None:
        await asyncio.gather(*(read_async(name) for name in NAMES))

    asyncio.run(main())


def trio() -> None:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(read_async, name)

    trio.run(main)


for library in libraries:
    globals()[library]()
print("Hello there.", flush=True)
