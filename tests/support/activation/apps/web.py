"""A WSGI and an ASGI application, which read one answer for each request and return the id of the worker."""

from __future__ import annotations

import os
import runpy

import anthropic

CALL = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello?"}]}


def wsgi(environ, start_response):
    with anthropic.Anthropic(max_retries=0).messages.stream(**CALL) as stream:
        stream.get_final_text()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    async with anthropic.AsyncAnthropic(max_retries=0) as client, client.messages.stream(**CALL) as stream:
        await stream.get_final_text()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def asgi_flushing(scope, receive, send):
    """Serve as `asgi`, and flush as in examples/flush.py at the end of the lifespan."""
    if scope["type"] != "lifespan":
        return await asgi(scope, receive, send)
    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            runpy.run_path(os.environ["EXAMPLE"])["flush"]()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return None
