"""A worker that answers questions with Claude: the application the demo watches. It knows nothing of telemetry.

It reads jobs as a JSON list from standard input, works on all of them at once (threads for the synchronous ones, one
event loop for the asynchronous ones), and prints one line a job. Each job says where (``base_url``), which ``model``,
what (``prompt``) and how (``style``, one of the functions below); ``after`` is when it comes in, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic

READ_TIMEOUT = 30.0  # seconds without a byte, unless the job says otherwise
PATIENCE = 1.5  # seconds that the user of `cancelled` waits
TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "The weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def request(job: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the API call."""
    asked: dict[str, Any] = {"model": job["model"], "max_tokens": 1024}
    asked["messages"] = [{"role": "user", "content": job["prompt"]}]
    if job.get("tools"):
        asked["tools"] = TOOLS
    if job.get("thinking"):
        asked["thinking"] = {"type": "adaptive"}
    return asked


def options(job: dict[str, Any]) -> dict[str, Any]:
    """The options of the client."""
    timeout = anthropic.Timeout(READ_TIMEOUT, read=job.get("read_timeout", READ_TIMEOUT))
    return {"base_url": job["base_url"], "timeout": timeout, "max_retries": job.get("max_retries", 2)}


# --- Ways to stream an answer -----------------------------------------------------------------------------------------


def chat(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Print as it comes: what a chat window does."""
    with client.messages.stream(**request(job)) as stream:
        return "".join(stream.text_stream)


def events(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Look at each event: what a gateway does that passes them on."""
    answer = ""
    for event in client.messages.create(stream=True, **request(job)):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            answer += event.delta.text
    return answer


def final_message(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Wait for the whole: what an agent does that needs the tool call."""
    with client.messages.stream(**request(job)) as stream:
        return ", ".join(block.type for block in stream.get_final_message().content)


def first_sentence(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Stop reading when there is enough."""
    answer = ""
    with client.messages.stream(**request(job)) as stream:
        for text in stream.text_stream:
            answer += text
            if len(answer) > 40:
                break
    return answer


def careless(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Read a little, and forget the stream without closing it."""
    stream = client.messages.create(stream=True, **request(job))
    seen = [event.type for event, _ in zip(stream, range(12), strict=False)]
    return f"{len(seen)} events"


def buggy(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Fail in the loop's own body."""
    totals: dict[str, int] = {}
    with client.messages.stream(**request(job)) as stream:
        for number, text in enumerate(stream.text_stream):
            if number == 14:
                totals[text] += 1  # nobody has put it there
    return str(totals)


async def async_chat(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> str:
    """The same as `chat`, in an event loop."""
    async with client.messages.stream(**request(job)) as stream:
        return "".join([text async for text in stream.text_stream])


async def cancelled(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> str:
    """The user goes away: the web framework cancels the task."""
    return await asyncio.wait_for(async_chat(client, job), PATIENCE)


SYNC = {style.__name__: style for style in (chat, events, final_message, first_sentence, careless, buggy)}
ASYNC = {style.__name__: style for style in (async_chat, cancelled)}


# --- The worker -------------------------------------------------------------------------------------------------------


def tell(job: dict[str, Any], answer: str, started: float) -> None:
    """One line about a job that worked."""
    print(f"{job['name']}: {answer[:60]!r} after {time.monotonic() - started:.1f} s", flush=True)


def tell_error(job: dict[str, Any], error: Exception) -> None:
    """One line about a job that failed: all that such an application usually says."""
    print(f"{job['name']}: sorry, something went wrong ({type(error).__name__})", flush=True)


def work(client: anthropic.Anthropic, job: dict[str, Any]) -> None:
    """One synchronous job."""
    time.sleep(job["after"])
    started = time.monotonic()
    try:
        tell(job, SYNC[job["style"]](client.with_options(**options(job)), job), started)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the others
        tell_error(job, error)


async def work_async(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> None:
    """One asynchronous job."""
    await asyncio.sleep(job["after"])
    started = time.monotonic()
    try:
        tell(job, await ASYNC[job["style"]](client.with_options(**options(job)), job), started)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the others
        tell_error(job, error)


async def work_all_async(jobs: list[dict[str, Any]]) -> None:
    """All asynchronous jobs, at once."""
    async with anthropic.AsyncAnthropic() as client:
        await asyncio.gather(*(work_async(client, job) for job in jobs))


def main() -> None:
    """All jobs, at once."""
    jobs = json.load(sys.stdin)
    sync_jobs = [job for job in jobs if job["style"] in SYNC]
    async_jobs = [job for job in jobs if job["style"] in ASYNC]
    with anthropic.Anthropic() as client, ThreadPoolExecutor(len(jobs) + 1) as pool:
        running = [pool.submit(work, client, job) for job in sync_jobs]
        running.append(pool.submit(asyncio.run, work_all_async(async_jobs)))
        for job in running:
            job.result()


if __name__ == "__main__":
    main()
