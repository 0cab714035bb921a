"""Creates the hooks of an instrumentation with the first call that one of them sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_claude_stream import _guard

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks


class LazyHooks:
    """The hooks of an instrumentation, created when they are first needed.

    By then the application has set its providers, and a process that never streams creates no instruments.
    """

    def __init__(self, make: Callable[[], SdkHooks]) -> None:
        self._make = make
        self._hooks: SdkHooks | None = None
        self._called = False

    def get(self) -> SdkHooks | None:
        """Return the hooks; None while they are created, and if they cannot be."""
        if self._hooks is None:
            with _guard.setup_lock:
                if not self._called:
                    try:
                        self._called = True
                        with _guard.guard("instrument"):  # a wrong provider, passed in code
                            self._hooks = self._make()
                    except BaseException:  # an interrupt: the next call creates them
                        self._called = False
                        raise
        return self._hooks
