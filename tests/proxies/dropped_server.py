"""Run the fake API in its own namespace, and serve until the input ends.

The argument is the number of streams that the client opens. The output is the port, and then `open` when each of
these streams has sent its first events.
"""

from __future__ import annotations

import sys
import time

from tests.support.proxies.cases import SCRIPTS
from tests.support.proxies.namespaces import SERVER

from otel_claude_stream.testing import server

FIRST_EVENTS_SECONDS = 0.8  # the script takes 0.4 s until its pause

if __name__ == "__main__":
    server.HOST = SERVER  # usually loopback only, but no other machine reaches this namespace
    with server.FakeAPI(SCRIPTS) as api:
        print(api.port, flush=True)
        api.wait_for_requests(int(sys.argv[1]), timeout=20)
        time.sleep(FIRST_EVENTS_SECONDS)
        print("open", flush=True)
        sys.stdin.read()
