"""Replacements of a client's `request` that bypass the wrapper around the SDK's own.

Logfire puts a function on a client or on its class, and keeps the `request` that was there in a closure. If that was
before `instrument()`, its function would call the SDK's own. It is made to call the wrapper, as if it had come later.
"""

from __future__ import annotations

import functools
import inspect
import logging
from contextlib import suppress
from typing import Any

_log = logging.getLogger("otel_claude_stream")

_PACKAGE = __name__.partition(".")[0]
_SDK_MODULE = "anthropic._base_client"
_MAX_LAYERS = 32


def reroute_subclasses(owner: Any, wrapper: Any) -> None:
    """Make replacements on the subclasses of a client's class call `wrapper`, which is around its `request`."""
    for kind in owner.__subclasses__():
        _reroute(_bypassing(vars(kind).get("request")), wrapper.__get__(None, kind))
        reroute_subclasses(kind, wrapper)


def reroute_client(client: Any) -> None:
    """Make a replacement that hid a stream of this client call the wrapper from now on, and log the loss."""
    wrapper: Any = next(filter(_is_ours, (vars(kind).get("request") for kind in type(client).__mro__)), None)
    layers = _bypassing(inspect.getattr_static(client, "request", None)) if wrapper is not None else []
    if layers:
        rerouted = _reroute(layers, wrapper.__get__(client if "request" in vars(client) else None, type(client)))
        origin = layers[0].__globals__["__name__"].partition(".")[0] if rerouted else "another library"
        _warn(
            type(client).__name__, origin, "the first stream of each such client is" if rerouted else "its streams are"
        )


@functools.cache
def _warn(client: str, origin: str, lost: str) -> None:
    _log.warning(
        "otel-claude-stream: %s replaced `request` of %s before instrument() was called; "
        "%s not recorded or retried. Call instrument() first",
        origin,
        client,
        lost,
    )


def _bypassing(request: Any) -> list[Any]:
    """Return the layers of a `request` down to the SDK's own; none if there is another end, or a wrapper of ours."""
    layers: list[Any] = []
    while request is not None and len(layers) < _MAX_LAYERS:
        if _is_ours(request):
            return []
        layers.append(request)
        request = getattr(request, "__wrapped__", None)
    return layers if layers and getattr(layers[-1], "__module__", "") == _SDK_MODULE else []


def _reroute(layers: list[Any], instead: object) -> bool:
    """Make the layer above the SDK's own call `instead`. Return False if its closure does not have the SDK's own."""
    rerouted = False
    for cell in getattr(layers[-2], "__closure__", None) or () if len(layers) > 1 else ():
        with suppress(ValueError):  # an empty cell
            if cell.cell_contents is layers[-1]:
                cell.cell_contents = layers[-2].__wrapped__ = instead
                rerouted = True
    return rerouted


def _is_ours(request: object) -> bool:
    """Whether this is a wrapper of this package, on a class or bound to one."""
    around = getattr(request, "_self_wrapper", None)  # an attribute of wrapt's wrappers
    return str(getattr(around, "__module__", "")).partition(".")[0] == _PACKAGE
