"""Fixtures for the ways to activate the instrumentation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_claude_stream.testing import FakeAPI, Script


@pytest.fixture(scope="session")
def api() -> Iterator[str]:
    """The URL of a fake API that streams a short message. On the route `open`, the stream stays open."""
    hello = Script.message("Hello there.")
    routes = {"default": hello, "open": hello.insert_pause(4, 60.0)}
    with FakeAPI(routes) as running:
        yield running.url
