"""The application that `fastapi_uvicorn` serves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from probe import in_worker

from adapters import sdk
from adapters.servers import lines, lines_async

application = FastAPI()
probe = in_worker()


@application.get("/ask/async")
async def ask_async(url: str) -> StreamingResponse:
    return StreamingResponse(lines_async(sdk.stream_async(url)))


@application.get("/ask/sync")
def ask(url: str) -> StreamingResponse:
    return StreamingResponse(lines(sdk.stream(url)))


@application.get("/telemetry")
def telemetry() -> dict[str, Any]:
    return probe.collect()
