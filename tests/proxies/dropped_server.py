"""Run the fake API in its own namespace: print its port, and serve until the input ends."""

from __future__ import annotations

import sys

from tests.support.proxies.cases import SCRIPTS
from tests.support.proxies.namespaces import SERVER

from otel_claude_stream.testing import server

if __name__ == "__main__":
    server.HOST = SERVER  # usually loopback only, but no other machine reaches this namespace
    with server.FakeAPI(SCRIPTS) as api:
        print(api.port, flush=True)
        sys.stdin.read()
