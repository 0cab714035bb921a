"""Fixtures for pytest, which finds this module by its entry point. They import the test kit when a test uses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otel_claude_stream.testing import Capture, FakeAPI


@pytest.fixture
def claude_stream_api() -> Iterator[FakeAPI]:
    """A fake API that runs while the test runs. Its `set_route` takes scripts and returns the base URL for a client."""
    from otel_claude_stream.testing import FakeAPI

    with FakeAPI({}) as api:
        yield api


@pytest.fixture
def claude_stream_telemetry() -> Iterator[Capture]:
    """The telemetry of the test. The package instruments the SDK with providers in memory while the test runs.

    Raises ``RuntimeError`` if the process is instrumented already, since its telemetry would go elsewhere.
    """
    from otel_claude_stream import ClaudeStreamInstrumentor
    from otel_claude_stream.testing import Capture

    instrumentor = ClaudeStreamInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        raise RuntimeError(
            "claude_stream_telemetry cannot instrument the SDK, because this process is instrumented already: "
            "call ClaudeStreamInstrumentor().uninstrument() before the test"
        )
    with Capture() as capture:
        instrumentor.instrument(**capture.providers)
        try:
            yield capture
        finally:
            instrumentor.uninstrument()
