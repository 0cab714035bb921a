"""The back-off before an attempt and the wait for its permit, which both end when the caller leaves."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

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


def wait_sync(retry: RetryFlow, seconds: float) -> None:
    """Wait for the permit of the next request. Return at once if the caller leaves.

    A finaliser of this very thread may grant the permit. So it is no event, whose lock the thread would hold.
    """
    woken = threading.Lock()
    woken.acquire()

    def wake() -> None:
        with suppress(RuntimeError):  # woken already
            woken.release()

    retry.wake_by(wake)
    retry.permit_wakes(wake)
    if not retry.caller_left.is_set():
        woken.acquire(timeout=seconds)
    retry.wake_by(None)


async def wait_async(retry: RetryFlow, seconds: float) -> None:
    """As `wait_sync`. The permit may be granted in another thread or event loop."""
    import anyio  # as above

    woken = anyio.Event()
    retry.wake_by(woken.set)
    permits = retry.session.state.call_policy.permits
    retry.permit_wakes(_in_this_loop(woken.set, permits.leave if permits is not None else woken.set))
    with anyio.move_on_after(seconds):
        await woken.wait()
    retry.wake_by(None)


def _in_this_loop(wake: Callable[[], object], closed: Callable[[], object]) -> Callable[[], None]:
    """Return what calls `wake` in the event loop that runs now, from any thread; `closed` if the loop has ended."""
    trio = sys.modules.get("trio")
    in_loop: Callable[[Callable[[], object]], object]
    try:
        in_loop = trio.lowlevel.current_trio_token().run_sync_soon  # type: ignore[union-attr] # see below
    except (AttributeError, RuntimeError):  # no trio, or another loop
        in_loop = asyncio.get_running_loop().call_soon_threadsafe

    def wake_in_loop() -> None:
        try:
            in_loop(wake)
        except RuntimeError:
            closed()

    return wake_in_loop
