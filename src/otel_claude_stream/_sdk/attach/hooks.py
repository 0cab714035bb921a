"""The hooks: one table of what is wrapped in the SDK, and putting them in and out.

All twelve attributes have had the same shape from SDK 0.34 to 2.11. Each is verified when it is wrapped, and one that
does not fit is left out with one log line: the others still work.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks

_log = logging.getLogger("otel_claude_stream")

_MAX_WRAPPERS = 32
"""Wrappers of others that are looked through."""

BASE_CLIENT = "anthropic._base_client"
STREAMING = "anthropic._streaming"


@dataclass(frozen=True, slots=True)
class Hook:
    """One attribute of one class of the SDK, what goes around it, and the parameters it must have."""

    module: str
    owner: str
    attribute: str
    around: str
    """Name of the method of `SdkHooks` that goes around it."""
    parameters: tuple[str, ...] = ()
    partner: str = ""
    """Attribute of the same class without which this one tells half: both or neither is wrapped."""


HOOKS: tuple[Hook, ...] = (
    Hook(BASE_CLIENT, "SyncAPIClient", "request", "sync_request", ("cast_to", "options", "stream", "stream_cls")),
    Hook(BASE_CLIENT, "AsyncAPIClient", "request", "async_request", ("cast_to", "options", "stream", "stream_cls")),
    Hook(BASE_CLIENT, "BaseClient", "_should_retry", "should_retry", ("response",)),
    Hook(
        BASE_CLIENT,
        "BaseClient",
        "_calculate_retry_timeout",
        "calculate_retry_timeout",
        ("remaining_retries", "options", "response_headers"),
    ),
    Hook(BASE_CLIENT, "SyncAPIClient", "_process_response", "process_response", ("response", "stream", "options")),
    Hook(BASE_CLIENT, "AsyncAPIClient", "_process_response", "process_response", ("response", "stream", "options")),
    # Without both of a pair, the events are read out of the bytes instead, as for a caller that reads bytes.
    Hook(STREAMING, "Stream", "_iter_events", "sync_iter_events", partner="__stream__"),
    Hook(STREAMING, "AsyncStream", "_iter_events", "async_iter_events", partner="__stream__"),
    Hook(STREAMING, "Stream", "__stream__", "sync_stream", partner="_iter_events"),
    Hook(STREAMING, "AsyncStream", "__stream__", "async_stream", partner="_iter_events"),
    Hook(STREAMING, "Stream", "close", "close"),
    Hook(STREAMING, "AsyncStream", "close", "close"),
)


class InstalledHook:
    """One hook in place: what was there before, and what is there now."""

    __slots__ = ("live", "original", "owner", "wrapper")

    def __init__(self, owner: type, original: Any) -> None:
        self.owner = owner
        self.original = original
        self.wrapper: Any = None
        self.live = True
        """False once another took its place: somebody may still hold it."""

    def is_there(self, attribute: str) -> bool:
        """Whether the wrapper is what the class has, or is under wrappers that others put around it."""
        current = self.owner.__dict__.get(attribute)
        for _ in range(_MAX_WRAPPERS):
            if current is None or current is self.wrapper:
                break
            current = getattr(current, "__wrapped__", None)
        return current is self.wrapper


class Hooks:
    """The hooks of one process: waiting for the SDK's import, in place, or switched off."""

    def __init__(self) -> None:
        self._watch: SdkHooks | None = None
        self._prepare: Callable[[], object] = _nothing
        self._placed: dict[Hook, InstalledHook] = {}
        self._awaited: set[str] = set()

    def install(self, watch: SdkHooks, prepare: Callable[[], object]) -> None:
        """Wrap what the table says, now or as soon as the SDK is imported: never imports it.

        `prepare` is called when there is an SDK, before anything is wrapped. It never raises.
        """
        import sys

        self._watch, self._prepare = watch, prepare
        for name in dict.fromkeys(hook.module for hook in HOOKS):
            if name not in self._awaited:
                self._awaited.add(name)
                wrapt.register_post_import_hook(self._imported, name)  # at once, if it is imported already
            elif name in sys.modules:
                self._imported(sys.modules[name])

    def _imported(self, module: ModuleType) -> None:
        if self._watch is None:
            return
        self._prepare()
        for hook in HOOKS:
            if hook.module == module.__name__:
                self._place(hook, module)

    def _place(self, hook: Hook, module: ModuleType) -> None:
        before = self._placed.get(hook)
        if before is not None:
            if before.is_there(hook.attribute):
                return
            before.live = False  # somebody took it off, or hides it: never two of ours at work
        owner = getattr(module, hook.owner, None)
        original = owner.__dict__.get(hook.attribute) if owner is not None else None
        if owner is None or original is None or not _fits(original, hook.parameters):
            _log.warning(
                "otel-claude-stream: %s.%s.%s does not have the expected shape in this anthropic version; "
                "what it tells will be missing",
                hook.module,
                hook.owner,
                hook.attribute,
            )
            return
        if hook.partner and not _has_partner(hook, owner):
            return
        placed = InstalledHook(owner, original)
        placed.wrapper = wrapt.FunctionWrapper(original, self._around(hook.around, placed))
        setattr(owner, hook.attribute, placed.wrapper)
        self._placed[hook] = placed

    def _around(self, name: str, placed: InstalledHook) -> Callable[..., Any]:
        def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            watch = self._watch
            if watch is None or not placed.live:
                return wrapped(*args, **kwargs)
            return getattr(watch, name)(wrapped, instance, args, kwargs)

        return around

    @property
    def placed(self) -> int:
        """How many hooks are in place."""
        return len(self._placed)

    def remove(self) -> None:
        """Take out what can be taken out. Where somebody wrapped around ours, it stays, switched off."""
        self._watch = None
        for hook, placed in list(self._placed.items()):
            if placed.owner.__dict__.get(hook.attribute) is placed.wrapper:
                setattr(placed.owner, hook.attribute, placed.original)
                del self._placed[hook]


def _nothing() -> None:
    """No preparation."""


def _has_partner(hook: Hook, owner: type) -> bool:
    """Whether the partner of a hook can be wrapped too (or is already)."""
    return any(
        other.owner == hook.owner
        and other.attribute == hook.partner
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
