"""Streams in a namespace of its own, all at once: jobs in (JSON), `open` when it is time to drop packets, spans out."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
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
OPEN_SECONDS = 0.8  # the script's first events take 0.4 s


def play(job):
    """Stream once; a job with `keepalive` probes the path each second."""
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
        time.sleep(OPEN_SECONDS)
        print("open", flush=True)
        sys.stdin.readline()
        running |= {job["name"]: pool.submit(play, job) for job in late}
        seen = {name: future.result() for name, future in running.items()}
        spans = {span["name"].partition(" ")[2]: span["attributes"] for span in capture.spans()}
    json.dump({name: {"seen": seen[name], "attributes": spans[name]} for name in seen}, sys.stdout, default=list)
