"""A table of the ways to open a stream with the SDK and to read it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import pytest
from tests.support.modes import ASK, Mode

END = object()


@dataclass
class Seen:
    """The results that the caller received, for comparison."""

    events: list[Any] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    message: Any = None
    classes: list[type] = field(default_factory=list)
    raw: bytes = b""
    error: BaseException | None = None


Read = Callable[[Mode, Any, Seen], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """One way to call and to read, with the attributes of the resulting span."""

    name: str
    helper: str
    run: Read
    """Makes the call with the `messages` resource of a client."""
    api: str = "messages"
    read: str = "events"

    def resource(self, client: Any) -> Any:
        """Return the resource of the client that makes the call."""
        if self.api == "messages":
            return client.messages
        return client.beta.messages

    def skip_unless_there(self) -> None:
        """Skip the test if this release of the SDK lacks the method or parameter."""
        runner = getattr(anthropic.Anthropic(api_key="none").beta.messages, "tool_runner", None)
        if self.helper == "tool_runner" and runner is None:
            pytest.skip("this release of the SDK has no tool runner")
        if "output_format" in self.name and not has_output_format():
            pytest.skip("this release of the SDK has no structured output in stream()")


def has_output_format() -> bool:
    """Whether `messages.stream()` takes `output_format`."""
    from anthropic.resources.messages import Messages

    return "output_format" in inspect.signature(Messages.stream).parameters


# --- messages.stream() ------------------------------------------------------------------------------------------------
def streaming(read: Read, **more: Any) -> Read:
    """Return the way `with messages.stream() as stream`, read by `read`."""

    async def run(mode: Mode, messages: Any, seen: Seen) -> None:
        manager = messages.stream(**ASK, **more)
        seen.classes.append(type(manager))
        async with mode.entered(manager) as stream:
            seen.classes += [type(stream), stream.__class__]
            await read(mode, stream, seen)
            seen.message = await mode.do(stream.get_final_message())

    return run


async def by_iteration(mode: Mode, stream: Any, seen: Seen) -> None:
    async for event in mode.each(stream):
        seen.events.append(event)


async def by_next(mode: Mode, stream: Any, seen: Seen) -> None:
    while True:
        event = await anext(stream, END) if mode.is_async else next(stream, END)
        if event is END:
            return
        seen.events.append(event)


async def by_text_stream(mode: Mode, stream: Any, seen: Seen) -> None:
    async for text in mode.each(stream.text_stream):
        seen.texts.append(text)


async def by_final_text(mode: Mode, stream: Any, seen: Seen) -> None:
    seen.texts.append(await mode.do(stream.get_final_text()))


async def by_until_done(mode: Mode, stream: Any, seen: Seen) -> None:
    await mode.do(stream.until_done())


async def by_final_message(mode: Mode, stream: Any, seen: Seen) -> None:
    seen.message = await mode.do(stream.get_final_message())


# --- create(stream=True) ----------------------------------------------------------------------------------------------
def creating(read: Read) -> Read:
    """Return the way `create(stream=True)` without `with`, read by `read`."""

    async def run(mode: Mode, messages: Any, seen: Seen) -> None:
        stream = await mode.do(messages.create(**ASK, stream=True))
        seen.classes += [type(stream), stream.__class__, type(stream.response)]
        await read(mode, stream, seen)

    return run


async def create_in_with(mode: Mode, messages: Any, seen: Seen) -> None:
    async with mode.entered(await mode.do(messages.create(**ASK, stream=True))) as stream:
        await by_iteration(mode, stream, seen)


# --- raw and streaming responses --------------------------------------------------------------------------------------
async def raw_response_parsed(mode: Mode, messages: Any, seen: Seen) -> None:
    response = await mode.do(messages.with_raw_response.create(**ASK, stream=True))
    seen.classes.append(type(response))
    stream = await mode.do(response.parse())
    seen.classes.append(type(stream))
    await by_iteration(mode, stream, seen)


def streaming_response(read: Read) -> Read:
    """Return the way `with_streaming_response.create(stream=True)`, read by `read`."""

    async def run(mode: Mode, messages: Any, seen: Seen) -> None:
        async with mode.entered(messages.with_streaming_response.create(**ASK, stream=True)) as response:
            seen.classes += [type(response), response.__class__]
            await read(mode, response, seen)

    return run


async def by_parse(mode: Mode, response: Any, seen: Seen) -> None:
    await by_iteration(mode, await mode.do(response.parse()), seen)


async def by_lines(mode: Mode, response: Any, seen: Seen) -> None:
    async for line in mode.each(response.iter_lines()):
        seen.texts.append(line)


async def by_bytes(mode: Mode, response: Any, seen: Seen) -> None:
    async for piece in mode.each(response.iter_bytes()):
        seen.raw += piece


async def by_text(mode: Mode, response: Any, seen: Seen) -> None:
    async for piece in mode.each(response.iter_text()):
        seen.raw += piece.encode()


async def by_read(mode: Mode, response: Any, seen: Seen) -> None:
    seen.raw = await mode.do(response.read())


# --- structured output, tool runner -----------------------------------------------------------------------------------
def output_format() -> type:
    """Create a model for structured output."""
    from pydantic import create_model

    return create_model("Answer", n=(int, ...))


async def structured(mode: Mode, messages: Any, seen: Seen) -> None:
    async with mode.entered(messages.stream(**ASK, output_format=output_format())) as stream:
        await by_iteration(mode, stream, seen)
        seen.message = await mode.do(stream.get_final_message())


def doubling(mode: Mode) -> Any:
    """Return a tool that the tool runner can call."""
    if mode.is_async:

        @anthropic.beta_async_tool
        async def double(n: int) -> str:
            """Double a number."""
            return str(2 * n)

        return double

    @anthropic.beta_tool
    def double_now(n: int) -> str:
        """Double a number."""
        return str(2 * n)

    return double_now


async def tool_runner(mode: Mode, messages: Any, seen: Seen) -> None:
    runner = messages.tool_runner(**ASK, tools=[doubling(mode)], stream=True)
    async for stream in mode.each(runner):
        seen.classes.append(type(stream))
        await by_iteration(mode, stream, seen)


WAYS = (
    Way("stream, iterated", "stream", streaming(by_iteration)),
    Way("stream, next()", "stream", streaming(by_next)),
    Way("stream, text_stream", "stream", streaming(by_text_stream)),
    Way("stream, get_final_message()", "stream", streaming(by_final_message)),
    Way("stream, get_final_text()", "stream", streaming(by_final_text)),
    Way("stream, until_done()", "stream", streaming(by_until_done)),
    Way("create, iterated", "create", creating(by_iteration)),
    Way("create, next()", "create", creating(by_next)),
    Way("create, in with", "create", create_in_with),
    Way("raw response, parse()", "raw_response", raw_response_parsed),
    Way("streaming response, parse()", "streaming_response", streaming_response(by_parse)),
    Way("streaming response, iter_lines()", "streaming_response", streaming_response(by_lines), read="bytes"),
    Way("streaming response, iter_bytes()", "streaming_response", streaming_response(by_bytes), read="bytes"),
    Way("streaming response, iter_text()", "streaming_response", streaming_response(by_text), read="bytes"),
    Way("streaming response, read()", "streaming_response", streaming_response(by_read), read="bytes"),
)
BETA_WAYS = tuple(
    Way(f"beta {way.name}", way.helper, way.run, "beta.messages", way.read)
    for way in WAYS
    if way.name
    in {
        "stream, iterated",
        "stream, text_stream",
        "create, iterated",
        "raw response, parse()",
        "streaming response, iter_lines()",
    }
)
STRUCTURED = Way("stream(output_format=)", "stream", structured)
TOOL_RUNNER = Way("beta tool runner", "tool_runner", tool_runner, "beta.messages")
ALL_WAYS = (*WAYS, *BETA_WAYS)
