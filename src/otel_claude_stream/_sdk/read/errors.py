"""Exceptions as plain data. No exception class is imported, so none can be missing."""

from __future__ import annotations

import sys
from socket import gaierror
from types import FrameType

from otel_claude_stream._core.diagnosis.facts import Fault

_MAX_LINKS = 16
_MAX_MESSAGE = 200

_PACKAGE = __name__.partition(".")[0]
"""This package, whose exceptions are never made from one of the caller."""

_READERS = frozenset({
    "anthropic", _PACKAGE, "httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2", "hpack", "hyperframe",
    "idna", "certifi", "truststore", "socksio", "httpx_socks", "python_socks", "aiohttp", "httpx_aiohttp",
    "aiohappyeyeballs", "async_timeout", "aiodns", "pycares", "anyio", "trio", "sniffio", "exceptiongroup", "uvloop",
    "winloop", "gevent", "eventlet", "greenlet", "requests", "urllib3", "OpenSSL", "brotli", "brotlicffi", "zstandard",
    "pydantic", "pydantic_core", "jiter", "google", "boto3", "botocore", "azure",
})  # fmt: skip
"""The top-level packages that send, read and decode for the caller."""

_STANDARD = sys.stdlib_module_names
"""The same for the standard library, whose exceptions are also raised by applications."""


def links(error: BaseException) -> list[BaseException]:
    """Return the chain, outermost first, by cause or else by context, also a suppressed one (`raise ... from None`)."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(found) < _MAX_LINKS and all(current is not seen for seen in found):
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _errno(error: BaseException) -> int | None:
    """Return the POSIX errno of an `OSError`. Those of `ssl.SSLError` and `gaierror` are other libraries' numbers."""
    if isinstance(error, OSError) and not isinstance(error, gaierror) and not type(error).__module__.startswith("ssl"):
        number = error.errno
        return number if isinstance(number, int) else None
    return None


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_MESSAGE]
    except Exception as broken:  # noqa: BLE001 - its `__str__` raises, so only the name of its class is known
        return type(broken).__name__


def fault_of(error: BaseException) -> Fault:
    """Return the exception chain as data."""
    chain = links(error)
    return Fault(
        kinds=tuple(type(link).__name__ for link in chain),
        modules=tuple(type(link).__module__.partition(".")[0] for link in chain),
        bases=tuple(frozenset(base.__name__ for base in type(link).__mro__) for link in chain),
        message=_message(error),
        messages=tuple(_message(link) for link in chain),
        errno=next((number for number in map(_errno, chain) if number is not None), None),
    )


def exception_of_caller(error: BaseException) -> BaseException | None:
    """Return the exception of the caller's code that struck inside a read, a back-off or a request, if one did.

    Signal handlers and other threads raise such exceptions. The result is `error` itself, or what a library made it
    from. The HTTP library makes a read time-out of any `TimeoutError`. The SDK makes a connection error of any
    exception inside a request.
    """
    if not isinstance(error, Exception):
        return error
    for _ in range(_MAX_LINKS):
        package, frame = _package(type(error).__module__), _raising_frame(error)
        in_reader = frame is None or _reads(_package(str(frame.f_globals.get("__name__", ""))))
        if package in _READERS:
            converted = _converted(error, frame) if in_reader and package != _PACKAGE else None
            if not isinstance(converted, Exception):  # libraries make time-outs of their own cancellations
                return None  # raised for itself, or by an application's transport in the terms of the HTTP library
            error = converted
        elif package in _STANDARD:
            # The operating system's errors have a number. A transport of the application may raise them.
            numbered = isinstance(error, OSError) and error.errno is not None
            return None if in_reader or numbered else error
        else:
            return error
    return None


def _raising_frame(error: BaseException) -> FrameType | None:
    """Return the frame of the code that raised an exception; None if it was never raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame if trace is not None else None


def _converted(error: BaseException, frame: FrameType | None) -> BaseException | None:
    """Return the exception that `error` was made from.

    httpcore removes the cause of its exceptions. Their context is the same, if the code that raised `error` had caught
    it. Otherwise the context is any exception that the caller handles meanwhile.
    """
    context = error.__context__
    caught = context.__traceback__ if context is not None else None
    return error.__cause__ or (context if caught is not None and caught.tb_frame is frame else None)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _reads(package: str) -> bool:
    """Whether the code of a package sends, reads and decodes for the caller."""
    return package in _READERS or package in _STANDARD


def fault_of_attempt(error: BaseException) -> Fault:
    """Return the fault of an attempt that is retried, as the caller would get it without a retry.

    SDKs before 1.0 decide on a retry before they wrap the transport's error.
    """
    fault = fault_of(error)
    if not fault.outermost_is("TransportError") or fault.has("HTTPStatusError"):
        return fault
    names = ("APITimeoutError",) if fault.outermost_is("TimeoutException") else ()
    bases = frozenset({*names, "APIConnectionError", "APIError", "Exception"})
    return Fault(
        kinds=((*names, "APIConnectionError")[0], *fault.kinds),
        modules=("anthropic", *fault.modules),
        bases=(bases, *fault.bases),
        message=fault.message,
        messages=fault.messages,
        errno=fault.errno,
    )


def name_of(error: BaseException) -> str:
    """Return the class as `module.Class`, with the top-level package that users import it from."""
    kind = type(error)
    module = kind.__module__.partition(".")[0]
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
