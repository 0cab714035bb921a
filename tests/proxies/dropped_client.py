"""Stream in a separate namespace, all jobs at once.

The jobs come from the input as JSON. The next line of the input starts the jobs that begin on a dead path. The output
is the spans as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.proxies import calls

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig
from otel_claude_stream.testing import Capture

KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
]


def play(job):
    """Stream once. A job with `keepalive` probes the path every second."""
    timeout = calls.HTTP.Timeout(**job["timeout"])
    http_client = calls.client(job["mode"], KEEPALIVE if job["keepalive"] else None)
    return calls.play(job["mode"], job["url"], job["name"], timeout=timeout, http_client=http_client)


if __name__ == "__main__":
    os.environ["OTEL_CLAUDE_STREAM_STRICT"] = "1"
    jobs = json.loads(sys.stdin.readline())
    late = [job for job in jobs if job["late"]]
    with Capture() as capture, ThreadPoolExecutor(len(jobs)) as pool:
        ClaudeStreamInstrumentor().instrument(**capture.providers, config=StreamConfig())
        running = {job["name"]: pool.submit(play, job) for job in jobs if not job["late"]}
        sys.stdin.readline()
        running |= {job["name"]: pool.submit(play, job) for job in late}
        codes = {name: future.result() for name, future in running.items()}
        spans = {span["name"].partition(" ")[2]: span["attributes"] for span in capture.spans()}
    json.dump({name: {"codes": codes[name], "attributes": spans[name]} for name in codes}, sys.stdout, default=list)
