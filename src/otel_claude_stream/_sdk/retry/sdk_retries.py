"""The policy's caps on the SDK's own retries, which from 1.6 on sleep as long as `retry-after` asks, even for days."""

from __future__ import annotations

import sys
from typing import Any

from otel_claude_stream._core.retry.context import Blocker
from otel_claude_stream._core.retry.decide import sdk_retry_blocker
from otel_claude_stream._sdk.read.errors import exception_of_caller
from otel_claude_stream._session.session import StreamSession


class SdkRetryCaps:
    """The caps on the SDK's retries of one call."""

    __slots__ = ("_requested_wait", "_session")

    def __init__(self, session: StreamSession) -> None:
        self._session = session
        self._requested_wait: float | None = None
        """Seconds that the last response asked to wait."""

    def stop(self, client: Any, response: Any) -> bool:
        """Whether the SDK may not retry after this response.

        The caller left, the wait is too long, the deadline has passed, or no budget is left.
        """
        if self._session.is_over:
            return True
        wait = self._requested_wait = _requested_wait(client, response)
        return self._stopped(wait, min(wait or 0.0, self._session.policy.retry_after.max))

    def longest_sleep(self) -> float | None:
        """Return the cap on the SDK's next sleep if the server asked for it; None for no cap."""
        wait, self._requested_wait = self._requested_wait, None
        return None if wait is None else self._session.policy.retry_after.max

    def error_instead_of_retry(self, delay: float) -> Exception | None:
        """Return what ends the SDK's retries of a failed connection: the caller left, it is late, or no budget is left.

        It is what the SDK itself raises when it has no retries left. After a response it is not needed: the SDK asks
        `stop` beforehand.
        """
        error = sys.exc_info()[1]
        # After a response the exception is not one of the SDK's: the caller may be handling one of its own.
        if self._session.state.attempts.pending is not None or not isinstance(error, Exception):
            return None
        if self._session.is_open and exception_of_caller(error) is not None:
            return error  # the caller is reading: it does not know of this request
        if self._session.is_over:
            return _as_raised(error)
        return _as_raised(error) if self._stopped(None, delay) else None

    def _stopped(self, requested: float | None, delay: float) -> bool:
        session = self._session
        by = sdk_retry_blocker(
            session.policy,
            requested=requested,
            delay=delay,
            elapsed=session.age,
            take_token=session.state.call_policy.take,
        )
        if by is not Blocker.NONE:
            session.retries.sdk_retries_stopped(by)
        return by is not Blocker.NONE


def _as_raised(error: Exception) -> Exception:
    """Return the exception that the SDK raises for one of the HTTP library, which its loop has before 0.108."""
    sdk = sys.modules["anthropic"]
    if any(kind is sdk.AnthropicError for kind in type(error).__mro__):
        return error
    timed_out = any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__)
    kind = sdk.APITimeoutError if timed_out else sdk.APIConnectionError
    made: Exception = kind(request=error.request)  # type: ignore[attr-defined] # a request error of the HTTP library
    made.__cause__ = error
    return made


def _requested_wait(client: Any, response: Any) -> float | None:
    """Return the seconds that a response asks to wait, as the SDK reads them: milliseconds, seconds, or a date."""
    read = getattr(client, "_parse_retry_after_header", None)
    wait = read(response.headers) if read is not None else None
    return float(wait) if isinstance(wait, int | float) else None
