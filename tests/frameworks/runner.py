"""Run one application in its environment.

    python runner.py JOB RESULT

The file JOB names an adapter, the neighbours that are set up before or after our instrumentation, and rounds of calls.
The file RESULT gets the texts, the exception and the telemetry of each call.

An adapter is a module of `adapters`. Its `WAYS` map names to functions, which take a base URL and yield the texts of
one answer. They are generators or asynchronous generators. An adapter for servers and workers has two more functions.
`serving(mode)` is a context manager around the calls of a round. `collect()` asks the worker for its telemetry.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.metadata
import inspect
import json
import platform
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from probe import Probe

ADDRESSES = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xADDRESS"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
)
"""Parts of messages that differ from run to run."""

MAX_CHAIN = 10


def error_chain(error: BaseException | None) -> list[list[str]]:
    """Types and messages of an exception and of its causes or contexts."""
    chain: list[list[str]] = []
    while error is not None and len(chain) < MAX_CHAIN:
        chain.append([f"{type(error).__module__}.{type(error).__qualname__}", same_in_every_run(str(error))])
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def same_in_every_run(text: str) -> str:
    for pattern, replacement in ADDRESSES:
        text = pattern.sub(replacement, text)
    return text


class RemoteError(Exception):
    """An exception that a server or worker reported; `chain` is as `error_chain` returned it there."""

    def __init__(self, chain: list[list[str]]) -> None:
        super().__init__(chain)
        self.chain = chain


def call(way: Callable[[str], Any], url: str, leave_after: int | None) -> dict[str, Any]:
    """Make one call. Return its texts and the exception that it raised."""
    texts: list[str] = []
    error: BaseException | None = None
    try:
        answer = way(url)
        if inspect.isasyncgen(answer):
            asyncio.run(_read_async(answer, texts, leave_after))
        else:
            _read(answer, texts, leave_after)
    except BaseException as raised:  # noqa: BLE001 - every ending is an observation
        error = raised
    seen = {"texts": texts, "error": error.chain if isinstance(error, RemoteError) else error_chain(error)}
    del error
    gc.collect()
    return seen


def _read(answer: Iterator[str], texts: list[str], leave_after: int | None) -> None:
    with contextlib.closing(answer):
        for text in answer:
            texts.append(text)
            if len(texts) == leave_after:
                break


async def _read_async(answer: AsyncIterator[str], texts: list[str], leave_after: int | None) -> None:
    async with contextlib.aclosing(answer):
        async for text in answer:
            texts.append(text)
            if len(texts) == leave_after:
                break


def run_round(adapter: Any, probe: Probe, a_round: dict[str, Any]) -> dict[str, Any]:
    """Make the calls of a round. Return what each saw and the telemetry of it, by the name of the call."""
    serving = getattr(adapter, "serving", None)
    collect = getattr(adapter, "collect", probe.collect)
    seen = {}
    with serving(a_round["mode"]) if serving else contextlib.nullcontext():
        collect()
        for name, asked in a_round["calls"].items():
            started = time.monotonic()
            with probe.around():
                seen[name] = call(adapter.WAYS[asked["way"]], asked["url"], asked["leave_after"])
            seen[name] |= {"telemetry": collect(), "seconds": time.monotonic() - started}
    return seen


def main(job_file: str, result_file: str) -> None:
    started = time.monotonic()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    probe = Probe()
    before, after = ([_neighbour(name) for name in job[key]] for key in ("before_us", "after_us"))
    if not any(getattr(set_up, "sets_providers", False) for set_up in (*before, *after)):
        probe.set_providers()
    serving = job["adapter"] in job["in_workers"]
    for set_up in before:
        set_up(probe)
    if not serving:
        probe.switch(job["rounds"][0]["mode"])
    for set_up in after:
        set_up(probe)
    adapter = importlib.import_module(f"adapters.{job['adapter']}")
    # Imported modules are no garbage. Without them, a collection takes a tenth of its time.
    gc.collect()
    gc.freeze()
    rounds = []
    for n, a_round in enumerate(job["rounds"]):
        if n and not serving:
            probe.switch(a_round["mode"])
        rounds.append(run_round(adapter, probe, a_round))
    result = {
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in job["packages"]},
        "seconds": time.monotonic() - started,
        "rounds": rounds,
    }
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


def _neighbour(name: str) -> Any:
    return getattr(importlib.import_module("adapters.neighbours"), name)


if __name__ == "__main__":
    # As a module, so that what adapters import from here is this module and not a second copy of it.
    import runner

    runner.main(*sys.argv[1:])
