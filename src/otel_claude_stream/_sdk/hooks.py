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
from typing import Any

import wrapt

from otel_claude_stream._sdk.watching import Watch

_log = logging.getLogger("otel_claude_stream")

BASE_CLIENT = "anthropic._base_client"
STREAMING = "anthropic._streaming"


@dataclass(frozen=True, slots=True)
class Hook:
    """One attribute of one class of the SDK, what goes around it, and the parameters it must have."""

    module: str
    owner: str
    attribute: str
    around: str
    """Name of the method of `Watch` that goes around it."""
    parameters: tuple[str, ...] = ()


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
    Hook(STREAMING, "Stream", "_iter_events", "sync_iter_events"),
    Hook(STREAMING, "AsyncStream", "_iter_events", "async_iter_events"),
    Hook(STREAMING, "Stream", "__stream__", "sync_stream"),
    Hook(STREAMING, "AsyncStream", "__stream__", "async_stream"),
    Hook(STREAMING, "Stream", "close", "close"),
    Hook(STREAMING, "AsyncStream", "close", "close"),
)


class Hooks:
    """The hooks of one process: waiting for the SDK's import, in place, or switched off."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._placed: dict[Hook, tuple[type, Any, Any]] = {}
        self._awaited: set[str] = set()

    def install(self, watch: Watch) -> None:
        """Wrap what the table says, now or as soon as the SDK is imported: never imports it."""
        self._watch = watch
        for module in dict.fromkeys(hook.module for hook in HOOKS):
            if module in self._awaited:
                continue
            self._awaited.add(module)
            wrapt.register_post_import_hook(self._imported, module)
        self._replace()

    def _replace(self) -> None:
        import sys

        for hook in HOOKS:
            module = sys.modules.get(hook.module)
            if module is not None and hook not in self._placed:
                self._place(hook, module)

    def _imported(self, module: ModuleType) -> None:
        if self._watch is None:
            return
        for hook in HOOKS:
            if hook.module == module.__name__ and hook not in self._placed:
                self._place(hook, module)

    def _place(self, hook: Hook, module: ModuleType) -> None:
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
        wrapper = wrapt.FunctionWrapper(original, self._around(hook.around), enabled=self._is_on)
        setattr(owner, hook.attribute, wrapper)
        self._placed[hook] = (owner, original, wrapper)

    def _around(self, name: str) -> Callable[..., Any]:
        def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            watch = self._watch
            if watch is None:
                return wrapped(*args, **kwargs)
            return getattr(watch, name)(wrapped, instance, args, kwargs)

        return around

    def _is_on(self) -> bool:
        return self._watch is not None

    @property
    def placed(self) -> int:
        """How many hooks are in place."""
        return len(self._placed)

    def remove(self) -> None:
        """Take out what can be taken out. Where somebody wrapped around ours, it stays, switched off."""
        self._watch = None
        for hook, (owner, original, wrapper) in list(self._placed.items()):
            if owner.__dict__.get(hook.attribute) is wrapper:
                setattr(owner, hook.attribute, original)
                del self._placed[hook]


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
