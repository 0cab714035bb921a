"""The four ways in which an application streams with the SDK, and what became of each call."""

from __future__ import annotations

import asyncio
import sys

import anthropic

HTTP = sys.modules.get("httpx2") or sys.modules["httpx"]
"""The HTTP library of this SDK generation."""

MODES = ("sync-stream", "sync-create", "async-stream", "async-create")
READ_TIMEOUT = 20.0  # seconds; above every limit of the lab
MESSAGES = [{"role": "user", "content": "Hello?"}]


def play(mode, base_url, model, *, timeout=READ_TIMEOUT, http_client=None):
    """Stream once, to the end; returns what the caller saw, in the codes of ``proxy_signatures.md`` beside this."""
    try:
        if mode.startswith("sync"):
            _sync(mode, base_url, model, timeout, http_client)
        else:
            asyncio.run(_async(mode, base_url, model, timeout, http_client))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return code_of(error)
    return "END"


def code_of(error):
    """The exception in the codes of the reference: ``IC``, ``504h``, ``529api``, ``ev:overloaded``, ``DISC``, ..."""
    status = getattr(error, "status_code", None)
    if status is not None:
        if status < 300:
            return f"ev:{error.body['error']['type'].removesuffix('_error')}"
        return f"{status}{_body(error.body)}"
    said, kind, errno = str(error), type(error).__name__, _errno(error)
    if kind == "APITimeoutError":
        return "HANG0"
    if kind == "APIConnectionError":
        return {111: "REFUSED", 104: "CRST"}.get(errno, "DISC")
    if kind == "RemoteProtocolError":
        return "IC" if "incomplete chunked read" in said else "SHORT"
    return {"ReadTimeout": "HANG", "ReadError": "RST"}.get(kind, kind)


def _body(body):
    if isinstance(body, dict):
        return "api" if body.get("type") == "error" else "j"
    return "-" if not body else "h" if "<html" in body.lower() else "t"


def _errno(error):
    """The first errno of the chain: httpcore suppresses the context, which holds it all the same."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _arguments(base_url, timeout):
    # No retries: one call is one stream.
    return {"api_key": "none", "base_url": base_url, "timeout": timeout, "max_retries": 0}


def transport(mode, socket_options=None):
    """Without certificates: loading them takes 20 ms of a processor that other streams wait for."""
    kind = HTTP.HTTPTransport if mode.startswith("sync") else HTTP.AsyncHTTPTransport
    return kind(verify=False, trust_env=False, socket_options=socket_options)


def client(mode, socket_options=None):
    """An HTTP client of the SDK's own kind, which asks nobody's environment for a proxy."""
    kind = anthropic.DefaultHttpxClient if mode.startswith("sync") else anthropic.DefaultAsyncHttpxClient
    return kind(transport=transport(mode, socket_options), trust_env=False)


def _request(model):
    return {"model": model, "max_tokens": 99, "messages": MESSAGES}


def _sync(mode, base_url, model, timeout, http_client):
    http = http_client or client(mode)
    with anthropic.Anthropic(**_arguments(base_url, timeout), http_client=http) as claude:
        if mode == "sync-stream":
            with claude.messages.stream(**_request(model)) as stream:
                for _ in stream:
                    continue
        else:
            with claude.messages.create(**_request(model), stream=True) as stream:
                for _ in stream:
                    continue


async def _async(mode, base_url, model, timeout, http_client):
    http = http_client or client(mode)
    async with anthropic.AsyncAnthropic(**_arguments(base_url, timeout), http_client=http) as claude:
        if mode == "async-stream":
            async with claude.messages.stream(**_request(model)) as stream:
                async for _ in stream:
                    continue
        else:
            async with await claude.messages.create(**_request(model), stream=True) as stream:
                async for _ in stream:
                    continue
