"""Exceptions as plain data. No exception class is imported, so none can be missing."""

from __future__ import annotations

from socket import gaierror

from otel_claude_stream._core.diagnosis.facts import Fault

_MAX_LINKS = 16
_MAX_MESSAGE = 200


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
