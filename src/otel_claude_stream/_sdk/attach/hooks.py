"""The attributes of the SDK that are wrapped: the table of hooks, their installation and removal.

All twelve attributes have had the same shape from SDK 0.34 to 2.11. Each is verified when it is wrapped. One that does
not fit is left out with one log line, and the others still work.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

from otel_claude_stream import _guard
from otel_claude_stream._sdk.attach.replaced import reroute_subclasses

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks

_log = logging.getLogger("otel_claude_stream")

_MAX_WRAPPERS = 32
"""Wrappers of others around one of ours that are followed."""

BASE_CLIENT = "anthropic._base_client"
STREAMING = "anthropic._streaming"

_REQUEST = ("cast_to", "options", "stream", "stream_cls")
_RESPONSE = ("response", "stream", "options")

Around = Callable[[Any, Any, Any, Any], Any]
"""Called instead of an attribute, with what was there, the instance, the arguments and the keywords, as by wrapt."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One attribute of one class of the SDK, what is called around it, and the parameters it must have."""

    module: str
    owner: str
    attribute: str
    around: Callable[[SdkHooks], Around]
    """Returns the method of `SdkHooks` that is called around it."""
    parameters: tuple[str, ...] = ()
    requires: str = ""
    """Attribute of the same class without which this one is of no use: both or neither is wrapped."""


HOOKS: tuple[Hook, ...] = (
    Hook(BASE_CLIENT, "SyncAPIClient", "request", lambda hooks: hooks.sync_request, _REQUEST),
    Hook(BASE_CLIENT, "AsyncAPIClient", "request", lambda hooks: hooks.async_request, _REQUEST),
    Hook(BASE_CLIENT, "BaseClient", "_should_retry", lambda hooks: hooks.should_retry, ("response",)),
    Hook(
        BASE_CLIENT,
        "BaseClient",
        "_calculate_retry_timeout",
        lambda hooks: hooks.calculate_retry_timeout,
        ("remaining_retries", "options", "response_headers"),
    ),
    Hook(BASE_CLIENT, "SyncAPIClient", "_process_response", lambda hooks: hooks.process_response, _RESPONSE),
    Hook(BASE_CLIENT, "AsyncAPIClient", "_process_response", lambda hooks: hooks.process_response, _RESPONSE),
    # Without both of a pair, the events are read out of the bytes instead, as for a caller that reads bytes.
    Hook(STREAMING, "Stream", "_iter_events", lambda hooks: hooks.sync_iter_events, requires="__stream__"),
    Hook(STREAMING, "AsyncStream", "_iter_events", lambda hooks: hooks.async_iter_events, requires="__stream__"),
    Hook(STREAMING, "Stream", "__stream__", lambda hooks: hooks.sync_stream, requires="_iter_events"),
    Hook(STREAMING, "AsyncStream", "__stream__", lambda hooks: hooks.async_stream, requires="_iter_events"),
    Hook(STREAMING, "Stream", "close", lambda hooks: hooks.close),
    Hook(STREAMING, "AsyncStream", "close", lambda hooks: hooks.close),
)


class InstalledHook:
    """One hook in its place: what was there before, and what is there now."""

    __slots__ = ("live", "original", "owner", "wrapper")

    def __init__(self, owner: type, original: Any) -> None:
        self.owner = owner
        self.original = original
        self.wrapper: Any = None
        self.live = True
        """False once another one took its place, while there may still be references to it."""

    def switch_off(self) -> None:
        """Let calls pass that still come through it."""
        self.live = False

    def is_there(self, attribute: str) -> bool:
        """Whether the class has the wrapper, maybe under wrappers that others put around it."""
        current = self.owner.__dict__.get(attribute)
        for _ in range(_MAX_WRAPPERS):
            if current is None or current is self.wrapper:
                break
            current = getattr(current, "__wrapped__", None)
        return current is self.wrapper


class Hooks:
    """The hooks of one process: waiting for the SDK's import, in place, or switched off."""

    def __init__(self) -> None:
        self._lazy: LazyHooks | None = None
        self._prepare: Callable[[], object] = _nothing
        self._installed: dict[Hook, InstalledHook] = {}
        self._awaited: set[str] = set()

    def install(self, lazy: LazyHooks, prepare: Callable[[], object]) -> None:
        """Wrap the attributes of the table, now or as soon as the SDK is imported. Never import it.

        `prepare` is called when there is an SDK, before anything is wrapped. It never raises.
        """
        import sys

        self._lazy, self._prepare = lazy, prepare
        for name in dict.fromkeys(hook.module for hook in HOOKS):
            if name not in self._awaited:
                self._awaited.add(name)
                wrapt.register_post_import_hook(self._imported, name)  # at once, if it is imported already
            elif name in sys.modules:
                self._imported(sys.modules[name])

    def _imported(self, module: ModuleType) -> None:
        if self._lazy is None:
            return
        self._prepare()
        for hook in HOOKS:
            if hook.module == module.__name__:
                self._place(hook, module)

    def _place(self, hook: Hook, module: ModuleType) -> None:
        before = self._installed.get(hook)
        if before is not None:
            if before.is_there(hook.attribute):
                return
            before.switch_off()  # others removed it, or hide it: never two of ours at work
        owner = getattr(module, hook.owner, None)
        original = owner.__dict__.get(hook.attribute) if owner is not None else None
        if owner is None or original is None or not _fits(original, hook.parameters):
            _log.warning(
                "otel-claude-stream: cannot wrap %s.%s.%s in this version of anthropic (unexpected signature); "
                "its part of the telemetry will be missing. Please report this",
                hook.module,
                hook.owner,
                hook.attribute,
            )
            return
        if hook.requires and not _fits_required(hook, owner):
            return
        installed = InstalledHook(owner, original)
        installed.wrapper = wrapt.FunctionWrapper(original, self._around(hook, installed))
        setattr(owner, hook.attribute, installed.wrapper)
        self._installed[hook] = installed
        if hook.attribute == "request":
            with _guard.guard("instrument"):
                reroute_subclasses(owner, installed.wrapper)

    def _around(self, hook: Hook, installed: InstalledHook) -> Around:
        def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            lazy = self._lazy
            hooks = lazy.get() if lazy is not None and installed.live else None
            if hooks is None:
                return wrapped(*args, **kwargs)
            return hook.around(hooks)(wrapped, instance, args, kwargs)

        return around

    def remove(self) -> None:
        """Remove the wrappers. One that others have wrapped stays, switched off."""
        self._lazy = None
        for hook, installed in list(self._installed.items()):
            if installed.owner.__dict__.get(hook.attribute) is installed.wrapper:
                setattr(installed.owner, hook.attribute, installed.original)
                del self._installed[hook]


def _nothing() -> None:
    """No preparation."""


def _fits_required(hook: Hook, owner: type) -> bool:
    """Whether the attribute that a hook requires can be wrapped too (or is already)."""
    return any(
        other.owner == hook.owner
        and other.attribute == hook.requires
        and _fits(owner.__dict__.get(other.attribute), other.parameters)
        for other in HOOKS
    )


def _fits(original: object, parameters: tuple[str, ...]) -> bool:
    """Whether an attribute is callable and takes these parameters by name."""
    if not callable(original):
        return False
    try:
        found = inspect.signature(original).parameters
    except (TypeError, ValueError):
        return False
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in found.values())
    return anything or all(name in found for name in parameters)
