"""The first response of a call, after its stream has been taken over by a later one.

The caller holds and closes the first response, so it stays open as long as the later one.
"""

from __future__ import annotations

from typing import Any

from otel_claude_stream import _guard


class ForwardingBody:
    """The body of the first response, whose close closes the later response."""

    __slots__ = ("_body", "_later")

    def __init__(self, body: Any, later: Any) -> None:
        self._body = body
        self._later = later

    @property  # type: ignore[misc] # the HTTP library asks `isinstance` before it closes
    def __class__(self) -> Any:
        return self._body.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the later response."""
        self._later.close()

    async def aclose(self) -> None:
        """As `close`."""
        await self._later.aclose()


@_guard.guarded("taken_over", None)
def forward_close_to(first: Any, later: Any) -> None:
    """Reopen the first response, and let its close close the later one."""
    body = first.stream
    first.stream = ForwardingBody(body._body if type(body) is ForwardingBody else body, later)  # noqa: SLF001 - its own kind
    first.is_closed = False
