"""The first response of a call, once its stream is read on from another one.

It is what the caller holds, and what a `with` of his closes: as long as the other one is open, so is this.
"""

from __future__ import annotations

from typing import Any

from otel_claude_stream import _guard


class ForwardingBody:
    """In place of the body of the first response: whoever closes that, closes what took its place."""

    __slots__ = ("_body", "_later")

    def __init__(self, body: Any, later: Any) -> None:
        self._body = body
        self._later = later

    @property  # type: ignore[misc] # what `isinstance` asks besides the type: the HTTP library does, before it closes
    def __class__(self) -> Any:
        return self._body.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the response that is read."""
        self._later.close()

    async def aclose(self) -> None:
        """As `close`."""
        await self._later.aclose()


@_guard.guarded("taken_over", None)
def forward_close_to(first: Any, later: Any) -> None:
    """Note that the stream of the first response, which is closed, is read on from a later one."""
    body = first.stream
    first.stream = ForwardingBody(body._body if type(body) is ForwardingBody else body, later)  # noqa: SLF001 - its own kind
    first.is_closed = False
