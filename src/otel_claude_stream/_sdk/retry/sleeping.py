"""The back-off before an attempt, which ends when the caller leaves."""

from __future__ import annotations

from otel_claude_stream._sdk.retry.flow import RetryFlow


def sleep_sync(retry: RetryFlow, seconds: float) -> None:
    """Sleep. Return at once if the caller leaves."""
    retry.caller_left.wait(seconds)


async def sleep_async(retry: RetryFlow, seconds: float) -> None:
    """As `sleep_sync`."""
    import anyio  # the SDK's own; not before the SDK is imported

    left = anyio.Event()
    retry.wake_by(left.set)
    with anyio.move_on_after(seconds):
        await left.wait()
    retry.wake_by(None)
