"""The example application of the demo, a worker that answers questions with Claude and has no telemetry code.

It reads jobs as a JSON list from standard input and works on all of them at once. Synchronous jobs run in threads,
asynchronous ones in an event loop. It prints one line for each job. A job has a ``base_url``, a ``model``,
a ``prompt`` and a ``style``, the name of a function below. It starts ``after`` so many seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic

READ_TIMEOUT = 30.0  # seconds without a byte, unless the job has another value
PATIENCE = 1.5  # seconds until the user of `cancelled` leaves
TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "The weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def request(job: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the API call."""
    parameters: dict[str, Any] = {"model": job["model"], "max_tokens": 1024}
    parameters["messages"] = [{"role": "user", "content": job["prompt"]}]
    if job.get("tools"):
        parameters["tools"] = TOOLS
    if job.get("thinking"):
        parameters["thinking"] = {"type": "adaptive"}
    return parameters


def options(job: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the client."""
    timeout = anthropic.Timeout(READ_TIMEOUT, read=job.get("read_timeout", READ_TIMEOUT))
    return {"base_url": job["base_url"], "timeout": timeout, "max_retries": job.get("max_retries", 2)}


# --- Ways to stream an answer -----------------------------------------------------------------------------------------


def chat(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Read the text as it arrives, as a chat window does."""
    with client.messages.stream(**request(job)) as stream:
        return "".join(stream.text_stream)


def events(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Read each event, as a gateway does."""
    answer = ""
    for event in client.messages.create(stream=True, **request(job)):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            answer += event.delta.text
    return answer


def final_message(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Wait for the whole message, as an agent does that needs the tool call."""
    with client.messages.stream(**request(job)) as stream:
        return ", ".join(block.type for block in stream.get_final_message().content)


def first_sentence(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Stop reading after the first sentence."""
    answer = ""
    with client.messages.stream(**request(job)) as stream:
        for text in stream.text_stream:
            answer += text
            if len(answer) > 40:
                break
    return answer


def careless(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Read a few events and drop the stream without closing it."""
    stream = client.messages.create(stream=True, **request(job))
    seen = [event.type for event, _ in zip(stream, range(12), strict=False)]
    return f"{len(seen)} events"


def buggy(client: anthropic.Anthropic, job: dict[str, Any]) -> str:
    """Fail in the body of the loop."""
    totals: dict[str, int] = {}
    with client.messages.stream(**request(job)) as stream:
        for number, text in enumerate(stream.text_stream):
            if number == 14:
                totals[text] += 1  # a KeyError
    return str(totals)


async def async_chat(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> str:
    """Read the text as `chat` does, in an event loop."""
    async with client.messages.stream(**request(job)) as stream:
        return "".join([text async for text in stream.text_stream])


async def cancelled(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> str:
    """Cancel the task, as a web framework does when the user leaves."""
    return await asyncio.wait_for(async_chat(client, job), PATIENCE)


SYNC = {style.__name__: style for style in (chat, events, final_message, first_sentence, careless, buggy)}
ASYNC = {style.__name__: style for style in (async_chat, cancelled)}


# --- The worker -------------------------------------------------------------------------------------------------------


def print_answer(job: dict[str, Any], answer: str, started: float) -> None:
    """Print one line about a job that worked."""
    print(f"{job['name']}: {answer[:60]!r} after {time.monotonic() - started:.1f} s", flush=True)


def print_error(job: dict[str, Any], error: Exception) -> None:
    """Print one line about a job that failed, without details, as such applications usually do."""
    print(f"{job['name']}: sorry, something went wrong ({type(error).__name__})", flush=True)


def work(client: anthropic.Anthropic, job: dict[str, Any]) -> None:
    """Work on a synchronous job."""
    time.sleep(job["after"])
    started = time.monotonic()
    try:
        print_answer(job, SYNC[job["style"]](client.with_options(**options(job)), job), started)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the others
        print_error(job, error)


async def work_async(client: anthropic.AsyncAnthropic, job: dict[str, Any]) -> None:
    """Work on an asynchronous job."""
    await asyncio.sleep(job["after"])
    started = time.monotonic()
    try:
        print_answer(job, await ASYNC[job["style"]](client.with_options(**options(job)), job), started)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the others
        print_error(job, error)


async def work_all_async(jobs: list[dict[str, Any]]) -> None:
    """Work on all asynchronous jobs at once."""
    async with anthropic.AsyncAnthropic() as client:
        await asyncio.gather(*(work_async(client, job) for job in jobs))


def main() -> None:
    """Work on all jobs at once."""
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
