"""The four ways in which an application streams with the SDK, and the result of each call."""

from __future__ import annotations

import asyncio
import sys

import anthropic

HTTP = sys.modules.get("httpx2") or sys.modules["httpx"]
"""The HTTP library that the installed SDK uses."""

MODES = ("sync-stream", "sync-create", "async-stream", "async-create")
READ_TIMEOUT = 20.0  # seconds, longer than every limit of the lab
MESSAGES = [{"role": "user", "content": "Hello?"}]


def play(mode, base_url, model, *, timeout=READ_TIMEOUT, http_client=None):
    """Stream once to the end and return the view of the caller, in the codes of `proxy_signatures.md`."""
    try:
        if mode.startswith("sync"):
            _sync(mode, base_url, model, timeout, http_client)
        else:
            asyncio.run(_async(mode, base_url, model, timeout, http_client))
    except Exception as error:  # noqa: BLE001 - any exception is a result
        return code_of(error)
    return "END"


def code_of(error):
    """Return the code of an exception, such as ``IC``, ``504h``, ``529api``, ``ev:overloaded`` or ``DISC``."""
    status = getattr(error, "status_code", None)
    if status is not None:
        if status < 300:
            return f"ev:{error.body['error']['type'].removesuffix('_error')}"
        return f"{status}{_body(error.body)}"
    message, kind, errno = str(error), type(error).__name__, _errno(error)
    if kind == "APITimeoutError":
        return "HANG0"
    if kind == "APIConnectionError":
        return {111: "REFUSED", 104: "CRST"}.get(errno, "DISC")
    if kind == "RemoteProtocolError":
        return "IC" if "incomplete chunked read" in message else "SHORT"
    return {"ReadTimeout": "HANG", "ReadError": "RST"}.get(kind, kind)


def _body(body):
    if isinstance(body, dict):
        return "api" if body.get("type") == "error" else "j"
    return "-" if not body else "h" if "<html" in body.lower() else "t"


def _errno(error):
    """Return the first errno of the chain, also from contexts that httpcore suppresses."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _arguments(base_url, timeout):
    # Without retries, one call is one stream.
    return {"api_key": "none", "base_url": base_url, "timeout": timeout, "max_retries": 0}


def transport(mode, socket_options=None):
    """Return a transport without certificates, since loading them blocks other streams for 20 ms."""
    kind = HTTP.HTTPTransport if mode.startswith("sync") else HTTP.AsyncHTTPTransport
    return kind(verify=False, trust_env=False, socket_options=socket_options)


def client(mode, socket_options=None):
    """Return an HTTP client of the SDK's class that ignores proxy settings in the environment."""
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
