"""The cost of layers around the SDK's bytes, frames and events, without state, reasons or telemetry.

Any instrumentation in Python that observes these three places costs about as much. The rest of the cost of this
package is due to its logic.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")  # as in the other benchmarks

import pytest
from anthropic import _base_client, _streaming
from tests.benchmarks.measure import cpu, spread
from tests.support.memory_api import WAYS, chunks, reader

ROUNDS = 11
EVENTS = 5000
DELTA = "content_block_delta"

clock = time.perf_counter_ns


def pass_on(inner: Iterator[Any]) -> Iterator[Any]:
    """Pass items on; a layer that does nothing."""
    for item in inner:  # noqa: UP028 - `yield from` would not run code for each item
        yield item


def time_reads(inner: Iterator[Any]) -> Iterator[Any]:
    """Measure the wait of each read."""
    longest = 0
    asked = clock()
    for item in inner:
        waited = clock() - asked
        longest = max(waited, longest)
        yield item
        asked = clock()


def count_other_frames(inner: Iterator[Any]) -> Iterator[Any]:
    """Count the frames that are no deltas, such as pings and errors."""
    others = 0
    for frame in inner:
        if frame.event != DELTA:
            others += 1
        yield frame


def count_deltas(inner: Iterator[Any]) -> Iterator[Any]:
    """Count the deltas and their characters."""
    count = characters = 0
    for event in inner:
        if event.type == DELTA:
            count += 1
            characters += len(event.delta.text)
        yield event


class PassOn:
    """Pass items on, async. It is not an async generator, which the event loop would finalise later."""

    __slots__ = ("_next", "characters", "count")

    def __init__(self, inner: AsyncIterator[Any]) -> None:
        self._next = inner.__anext__
        self.count = self.characters = 0

    def __aiter__(self) -> PassOn:
        return self

    async def __anext__(self) -> Any:
        return await self._next()


class TimeReads(PassOn):
    """Measure the wait of each read, async."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        asked = clock()
        item = await self._next()
        waited = clock() - asked
        self.count = max(waited, self.count)
        return item


class CountOtherFrames(PassOn):
    """Count the frames that are no deltas, async."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        frame = await self._next()
        if frame.event != DELTA:
            self.count += 1
        return frame


class CountDeltas(PassOn):
    """Count the deltas and their characters, async."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        event = await self._next()
        if event.type == DELTA:
            self.count += 1
            self.characters += len(event.delta.text)
        return event


class Layers(NamedTuple):
    """The layers around the bytes, the frames and the events, each as a pair of sync and async."""

    bytes: tuple[Callable[[Any], Any], Callable[[Any], Any]] = (pass_on, PassOn)
    frames: tuple[Callable[[Any], Any], Callable[[Any], Any]] = (pass_on, PassOn)
    events: tuple[Callable[[Any], Any], Callable[[Any], Any]] = (pass_on, PassOn)


VARIANTS: dict[str, Layers | None] = {
    "bare": None,
    "three layers without logic": Layers(),
    "with the time of each read": Layers((time_reads, TimeReads)),
    "with the kind of each event": Layers(
        (time_reads, TimeReads), (count_other_frames, CountOtherFrames), (count_deltas, CountDeltas)
    ),
}


class Body:
    """A response's body whose reads go through a layer."""

    stream_observer = None

    def __init__(self, body: Any, layers: Layers) -> None:
        self._body = body
        self._layers = layers

    @property  # type: ignore[misc] # `isinstance` uses it besides the type
    def __class__(self) -> type:
        return type(self._body)

    def __iter__(self) -> Any:
        return self._layers.bytes[0](iter(self._body))

    def __aiter__(self) -> Any:
        return self._layers.bytes[1](aiter(self._body))

    def close(self) -> None:
        self._body.close()

    async def aclose(self) -> None:
        await self._body.aclose()


@contextmanager
def installed(layers: Layers | None) -> Iterator[None]:
    """Install layers in the SDK, at the places that this package uses."""

    def around(owner: type, name: str, layer: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        patch.setattr(owner, name, lambda stream: layer(original(stream)))

    def around_body(owner: Any, layers: Layers) -> None:
        original = owner._process_response

        def process(client: Any, *, response: Any, **more: Any) -> Any:
            response.stream = Body(response.stream, layers)
            return original(client, response=response, **more)

        patch.setattr(owner, "_process_response", process)

    with pytest.MonkeyPatch.context() as patch:
        if layers is not None:
            for half, owner in enumerate((_streaming.Stream, _streaming.AsyncStream)):
                around(owner, "_iter_events", layers.frames[half])
                around(owner, "__stream__", layers.events[half])
            for client in (_base_client.SyncAPIClient, _base_client.AsyncAPIClient):
                around_body(client, layers)
        yield


def main() -> None:
    """Measure and print."""
    names = list(VARIANTS)
    for way in WAYS:
        work = reader(way, chunks(EVENTS))
        found: dict[str, list[float]] = {name: [] for name in names}
        for number in range(ROUNDS):
            for place in range(len(names)):
                name = names[(place + number) % len(names)]
                with installed(VARIANTS[name]):
                    work()
                    found[name].append(cpu(work, 2) / EVENTS * 1e6)
        for name in names[1:]:
            added = spread([one - bare for one, bare in zip(found[name], found["bare"], strict=True)])
            print(f"layers  {way:14}{name:26}   {added!s:>34} us an event", flush=True)


if __name__ == "__main__":
    main()
