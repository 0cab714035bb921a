"""The fake API in a namespace of its own: prints its port, plays until its input ends."""

from __future__ import annotations

import sys

from tests.support.proxies.cases import SCRIPTS
from tests.support.proxies.namespaces import SERVER

from otel_claude_stream.testing import server

if __name__ == "__main__":
    server.HOST = SERVER  # never another than loopback, but nobody else reaches this namespace
    with server.FakeAPI(SCRIPTS) as api:
        print(api.port, flush=True)
        sys.stdin.read()
