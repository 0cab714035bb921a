"""Which exceptions count as the caller's, by their class and by the code that raised them."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import zlib

import anthropic
import pytest
from tests.support.rig import HTTP

from otel_claude_stream._core.retry.resume.seam import SeamResult
from otel_claude_stream._core.retry.resume.splice import SeamMismatch
from otel_claude_stream._sdk.read.errors import exception_of_caller
from otel_claude_stream._sdk.retry.failure import ErrorEvent


class JobTimeout(Exception):
    """A deadline of the application."""


class Stop(BaseException):
    """A deadline that no `except Exception` catches."""


class ApplicationTimeout(TimeoutError):
    """A deadline with a class of the standard library as its base."""


REQUEST = HTTP.Request("POST", "https://api.example.com")


def raised(error, module, cause=None):
    """Return the exception after code of a module raised it."""
    scope = {"__name__": module}
    exec("def strike(error, cause):\n    raise error from cause", scope)  # a frame of that module
    try:
        scope["strike"](error, cause)
    except BaseException as struck:  # noqa: BLE001 - returned
        return struck


LIBRARY = {
    "the SDK's": raised(anthropic.APIConnectionError(request=REQUEST), "anthropic._base_client"),
    "the HTTP library's": raised(HTTP.ReadTimeout("timed out"), "httpcore._exceptions"),
    "the HTTP library's, raised by the application's transport": raised(HTTP.ReadError("cut"), "application.transport"),
    "the same, with a cause of its own": raised(HTTP.ReadError("cut"), "application.transport", JobTimeout("tunnel")),
    "the HTTP library's, never raised": HTTP.ReadError("cut"),
    "wrapped by the SDK": raised(
        anthropic.APIConnectionError(request=REQUEST),
        "anthropic._base_client",
        raised(HTTP.ReadError("cut"), "httpx._transports.default", raised(OSError(104, "reset"), "httpcore._backends")),
    ),
    "a time-out of the socket": raised(TimeoutError("timed out"), "ssl"),
    "a time-out of asyncio": raised(asyncio.TimeoutError(), "asyncio.timeouts"),
    "a time-out of gevent's socket": raised(TimeoutError("timed out"), "gevent._socket3"),
    "of the system, in the application's transport": raised(ConnectionResetError(104, "reset"), "application"),
    "of the name resolution": raised(socket.gaierror(-2, "not known"), "socket"),
    "of TLS": raised(ssl.SSLError(1, "bad record"), "httpcore._backends.sync"),
    "of the decoder": raised(json.JSONDecodeError("no", "", 0), "json.decoder"),
    "of the decompression": raised(zlib.error("no"), "httpx._decoders"),
    "a defect of the SDK": raised(AttributeError("no"), "anthropic._streaming"),
    "a defect of this package": raised(KeyError("no"), "otel_claude_stream._sdk.retry.gate"),
    "an error event": raised(ErrorEvent(None), "otel_claude_stream._sdk.retry.gate"),
    "a builtin, never raised": ValueError("no"),
    "a time-out that a library made of its own cancellation": raised(
        HTTP.ReadTimeout("timed out"), "aiohttp.client_reqrep", raised(asyncio.CancelledError(), "asyncio.futures")
    ),
}
CALLER = {
    "of the application": raised(JobTimeout(), "application"),
    "asynchronous, inside a read": raised(JobTimeout(), "ssl"),
    "asynchronous, inside the SDK": raised(JobTimeout(), "anthropic._streaming"),
    "of the application, never raised": JobTimeout(),
    "of the application, with a cause": raised(JobTimeout(), "application", HTTP.ReadError("cut")),
    "derived from a builtin": raised(ApplicationTimeout(), "ssl"),
    "a builtin of a signal handler": raised(TimeoutError("deadline"), "application.jobs"),
    "the same in the main script": raised(OSError("deadline"), "__main__"),
    "no Exception": raised(Stop(), "httpcore._backends.sync"),
    "an interrupt": raised(KeyboardInterrupt(), "ssl"),
    "a cancellation": raised(asyncio.CancelledError(), "asyncio.futures"),
}
WRAPPED = {
    "by the SDK": raised(
        anthropic.APIConnectionError(request=REQUEST), "anthropic._base_client", CALLER["of the application"]
    ),
    "by both": raised(
        anthropic.APITimeoutError(request=REQUEST),
        "anthropic._base_client",
        raised(HTTP.ReadTimeout("deadline"), "httpx2._transports.default", CALLER["a builtin of a signal handler"]),
    ),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_exceptions_of_what_reads_are_not_the_callers(name):
    assert exception_of_caller(LIBRARY[name]) is None


@pytest.mark.parametrize("name", CALLER)
def test_other_exceptions_are_the_callers(name):
    assert exception_of_caller(CALLER[name]) is CALLER[name]


@pytest.mark.parametrize("name", WRAPPED)
def test_what_a_library_wraps_is_found(name):
    error = WRAPPED[name]
    while type(error).__module__.partition(".")[0] in ("anthropic", HTTP.__name__):
        error = error.__cause__
    assert exception_of_caller(WRAPPED[name]) is error


def within(error, module, struck):
    """Return the exception that code of a module makes of another one, whose cause it then removes."""
    scope = {"__name__": module}
    exec("def convert(error, struck):\n    try: raise struck\n    except Exception: raise error from None", scope)
    try:
        scope["convert"](error, struck)
    except BaseException as converted:  # noqa: BLE001 - returned
        return converted


def test_an_exception_that_was_converted_without_a_cause_is_found():
    deadline = raised(TimeoutError("deadline"), "application")
    assert exception_of_caller(within(HTTP.ReadTimeout("deadline"), "httpcore._exceptions", deadline)) is deadline


def test_a_mismatch_that_a_defect_of_this_package_leads_to_is_not_the_callers():
    error = SeamMismatch(SeamResult.MISMATCH)
    assert exception_of_caller(within(error, "otel_claude_stream._sdk.retry.gate", JobTimeout())) is None


def test_an_exception_that_the_caller_handles_meanwhile_is_not_the_cause():
    handled, error = CALLER["of the application"], HTTP.ReadError("cut")
    scope = {"raised": raised, "error": error, "handled": handled}
    exec("try: raise handled\nexcept Exception: raised(error, 'httpcore._exceptions')", scope)
    assert error.__context__ is handled
    assert exception_of_caller(error) is None


def test_a_chain_that_ends_nowhere_is_bounded():
    error = raised(HTTP.ReadError("cut"), "httpcore._exceptions")
    error.__cause__ = error
    assert exception_of_caller(error) is None
