"""Replacements of a client's `request` that bypass the wrapper around the SDK's own.

Logfire puts a function on a client or on its class, and keeps the `request` that was there in a closure. If that was
before `instrument()`, its function would call the SDK's own. It is made to call the wrapper, as if it had come later.
"""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import Any

_log = logging.getLogger("otel_claude_stream")

_PACKAGE = __name__.partition(".")[0]
_ATTRIBUTE = "request"
_MAX_LAYERS = 32


def reroute_subclasses(owner: Any, wrapper: Any) -> None:
    """Make replacements on the subclasses of a client's class call `wrapper`, which is around its `request`."""
    for kind in owner.__subclasses__():
        _reroute(kind, _bypassing(vars(kind).get(_ATTRIBUTE), wrapper), wrapper.__get__(None, kind))
        reroute_subclasses(kind, wrapper)


def reroute_client(client: Any) -> None:
    """Make a replacement that hid a stream of this client call the wrapper from now on, and log the loss."""
    holders = [one for one in (client, *type(client).__mro__) if _ATTRIBUTE in vars(one)]
    wrapper: Any = next(filter(_is_ours, (vars(one)[_ATTRIBUTE] for one in holders)), None)
    layers = _bypassing(vars(holders[0])[_ATTRIBUTE], wrapper) if wrapper is not None else []
    if layers:
        instance = client if holders[0] is client else None
        rerouted = _reroute(holders[0], layers, wrapper.__get__(instance, type(client)))
        names = getattr(layers[0], "__globals__", {}) if len(layers) > 1 else {}
        origin = str(names.get("__name__", "another library")).partition(".")[0]
        lost = "the first stream of each such client is" if rerouted else "its streams are"
        _warn(type(client).__name__, origin, lost)


@functools.cache
def _warn(client: str, origin: str, lost: str) -> None:
    _log.warning(
        "otel-claude-stream: %s replaced `request` of %s before instrument() was called; "
        "%s not recorded or retried. Call instrument() first",
        origin,
        client,
        lost,
    )


def _bypassing(request: Any, wrapper: Any) -> list[Any]:
    """Return the layers of a `request` down to what `wrapper` is around; none if they do not lead there directly."""
    layers: list[Any] = []
    while request is not None and len(layers) < _MAX_LAYERS:
        if _is_ours(request):
            return []
        layers.append(request)
        request = getattr(request, "__wrapped__", None)
    return layers if layers and getattr(layers[-1], "__func__", layers[-1]) is wrapper.__wrapped__ else []


def _reroute(holder: Any, layers: list[Any], instead: object) -> bool:
    """Make the layer above the SDK's own call `instead`. Return False if its closure does not have the SDK's own.

    Without such a layer, the SDK's own was put back on the holder, which then inherits it again.
    """
    if len(layers) == 1:
        delattr(holder, _ATTRIBUTE)
        return True
    rerouted = False
    for cell in getattr(layers[-2], "__closure__", None) or () if layers else ():
        with suppress(ValueError):  # an empty cell
            if cell.cell_contents is layers[-1]:
                cell.cell_contents = layers[-2].__wrapped__ = instead
                rerouted = True
    return rerouted


def _is_ours(request: object) -> bool:
    """Whether this is a wrapper of this package, on a class or bound to one."""
    around = getattr(request, "_self_wrapper", None)  # an attribute of wrapt's wrappers
    return str(getattr(around, "__module__", "")).partition(".")[0] == _PACKAGE
