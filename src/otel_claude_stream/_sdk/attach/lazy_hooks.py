"""Stands for the watch until the first call that a hook sees."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from otel_claude_stream import _guard

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks


class LazyHooks:
    """Has the watch made by the first call that a hook sees, and hands that and the others over to it.

    By then the application has set its providers, and a process that never streams has paid for no instruments.
    """

    def __init__(self, make: Callable[[], SdkHooks]) -> None:
        self._make = make
        # Re-entrant: a garbage collection while the watch is made may close a stream that somebody dropped, by a hook.
        self._lock = threading.RLock()
        self._watch: SdkHooks | PassthroughHooks | None = None
        self._making = False

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._making:
                return getattr(PassthroughHooks(), name)
            if self._watch is None:
                self._watch = self._made()
        found = getattr(self._watch, name)
        setattr(self, name, found)  # from now on without this method
        return found

    def _made(self) -> SdkHooks | PassthroughHooks:
        self._making = True
        try:
            return self._make()
        except Exception as error:  # noqa: BLE001 - the boundary: a wrong provider, given in code
            _guard.report("instrument", error)
            return PassthroughHooks()
        finally:
            self._making = False


class PassthroughHooks:
    """What goes around the hooks if there is no watch: nothing."""

    def __getattr__(self, _: str) -> Any:
        return _call


def _call(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*args, **kwargs)
