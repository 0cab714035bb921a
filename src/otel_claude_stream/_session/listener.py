"""The interface between the shells around the SDK's iterators and the session."""

from __future__ import annotations

from typing import Protocol

from otel_claude_stream._core.diagnosis.facts import End
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.hot_path import Arrival, HotPath


class StreamListener(Protocol):
    """The listener of one stream.

    Its methods are called in the order of the stream, in whatever thread or task reads it. Only `ended` may be called
    elsewhere, and more than once: by a thread that closes the stream, by the garbage collector, or at exit. The shells
    guard each call, so an exception of a listener never reaches the caller.
    """

    @property
    def hot(self) -> HotPath:
        """The fields that the shells write themselves, for a read that did not wait and for a delta in a burst."""

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended for the listener. Reading on changes nothing."""

    def opened(self, reply: Reply) -> None:
        """Called with the head of each response whose body is the stream: once, and once for each later attempt."""

    def bytes_read(self, n: int, waited: int, at: int) -> None:
        """Called when a read blocked for `waited` ns before `n` bytes arrived `at`, before anything parses them."""

    def frame(self, name: str | None, data: object) -> None:
        """Called with the name and the JSON text of a frame that is no event of a message: a ping, an error, ..."""

    def event(self, event: object, arrival: Arrival | None) -> None:
        """Called with each event of the message that is not a delta in a burst, before the caller gets it.

        `event` has the fields of the API's JSON as attributes. `arrival` is None if it came with the last bytes.
        """

    def ended(self, end: End | None) -> None:
        """Called when the stream ends in any way; None if it is not known how. Only the first call counts."""
