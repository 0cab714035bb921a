"""Measure what the gateway carries on this machine.

Run: make bench-collector, or python -m tests.collector.bench --rounds 1

The Collector shares the processors with the load generator and with a backend that discards everything. Its processor
time for each span hardly depends on these, and is printed beside the rate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.collector import load
from tests.support.collector.building import load_build
from tests.support.collector.running import GATEWAY, HOST, eventually, running
from tests.support.ports import free_port

CEILING = 512
"""Limit of the memory limiter, in MiB."""
UNSAMPLED = "service: {pipelines: {traces/sampled: {processors: [filter/no_trouble]}}}\n"
"""An overlay that removes the sampler."""


class Sink(BaseHTTPRequestHandler):
    """A backend that accepts everything and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        left = int(self.headers["content-length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Do not log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore connections of a Collector that was killed."""


@contextmanager
def sink(port):
    server = Server((HOST, port), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def settings(port):
    return {
        **{
            f"OTELCOL_{name}_ENDPOINT": f"http://{HOST}:{port}/v1/{name.lower()}"
            for name in ("TRACES", "METRICS", "LOGS")
        },
        "OTELCOL_MEMORY_MIB": str(CEILING),
        "GOMEMLIMIT": f"{CEILING * 3 // 4}MiB",
        "OTELCOL_RETRY_MAX": "1s",
    }


def throughput(binary, seconds, *overlays, **more):
    """Send as fast as possible: spans a second, microseconds of processor for each, share refused, memory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configs = [GATEWAY]
        for number, text in enumerate(overlays):
            path = Path(folder) / f"overlay-{number}.yaml"
            path.write_text(text)
            configs.append(path)
        with sink(port), running(binary, Path(folder) / "c", *configs, **settings(port), **more) as collector:
            load.send(collector.http, spans=2 * load.BATCH)
            before = collector.metric("otelcol_process_cpu_seconds")
            stop_watching = watch_memory(collector)
            sent = load.send(collector.http, seconds=seconds)
            used = collector.metric("otelcol_process_cpu_seconds") - before
            rss = stop_watching()
            return {
                "spans/s": sent.accepted / sent.seconds,
                "us/span": used / max(1, sent.accepted) * 1e6,
                "refused %": 100 * sent.refused / max(1, sent.refused + sent.accepted),
                "RSS MiB": rss / 2**20,
            }


def watch_memory(collector):
    """Record the largest resident size from now on. The returned function stops that and returns the size."""
    highest, done = [0.0], threading.Event()

    def look():
        while not done.wait(0.2):
            highest[0] = max(highest[0], collector.metric("otelcol_process_memory_rss"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    def stop():
        done.set()
        thread.join()
        return highest[0]

    return stop


def memory_of_waiting_spans(binary, traces):
    """Bytes of heap for each span that waits for the decision of the sampler."""
    port = free_port()
    waits = {"OTELCOL_DECISION_WAIT": "300s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "300s", "OTELCOL_MEMORY_MIB": "4096"}
    with (
        tempfile.TemporaryDirectory() as folder,
        sink(port),
        running(binary, Path(folder), GATEWAY, **{**settings(port), **waits, "GOGC": "20"}) as collector,
    ):

        def heap():
            """Return the heap after a few garbage collections, which small requests trigger."""
            found = []
            for _ in range(4):
                load.send(collector.http, spans=load.BATCH, connections=1)
                time.sleep(0.3)
                found.append(collector.metric("otelcol_process_runtime_heap_alloc_bytes"))
            return min(found)

        empty = heap()
        sent = load.send(collector.http, spans=2 * traces, per_second=20_000)
        return {"bytes/span waiting": (heap() - empty) / (sent.accepted + 4 * load.BATCH)}


def replay(binary, spans):
    """How fast a queue on disk empties once the backend is back, and how much of the disk a span takes."""
    port = free_port()
    wait = {"OTELCOL_DECISION_WAIT": "2s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "1s", "OTELCOL_HEALTHY_PERCENT": "100"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(binary, Path(folder), GATEWAY, **{**settings(port), **wait, "OTELCOL_MEMORY_MIB": "2048"}) as collector,
    ):
        sent = load.send(collector.http, spans=spans, per_second=10_000)
        eventually(lambda: collector.metric("otelcol_processor_tail_sampling_sampling_traces_on_memory") == 0, 60)
        queued = collector.metric("otelcol_exporter_queue_size")
        disk = sum(path.stat().st_size for path in Path(folder).rglob("exporter_*"))
        with sink(port):
            begin = time.perf_counter()
            assert eventually(lambda: collector.metric("otelcol_exporter_queue_size") == 0, 300)
            seconds = time.perf_counter() - begin
        return {
            "spans/s": sent.accepted / seconds,
            "queue bytes/span": queued / sent.accepted,
            "disk bytes/span": disk / sent.accepted,
        }


def show(title, rounds):
    """Print median and range of each figure."""
    print(f"\n{title}")
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        spread = f"({min(values):,.0f} to {max(values):,.0f})" if len(values) > 1 else ""
        print(f"  {name:<20} {statistics.median(values):>12,.0f}  {spread}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each measurement (3)")
    parser.add_argument("--seconds", type=float, default=20, help="length of each (20)")
    parser.add_argument("--spans", type=int, default=60_000, help="spans for the queue and for the memory (60000)")
    options = parser.parse_args()
    build = load_build()
    try:
        binary = build.collector()
    except build.CollectorUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    size = load.Payload().bytes_per_span
    print(f"{os.cpu_count()} processors; {size:,.0f} bytes a span over the wire; half of the spans are streams")
    print(f"ceiling {CEILING} MiB; traces wait 10 s; 5 % of the streams fail, 10 % of the others are sampled")
    each = range(options.rounds)
    show("gateway.yaml", [throughput(binary, options.seconds) for _ in each])
    show(
        "gateway.yaml, decisions after 1 s",
        [throughput(binary, options.seconds, OTELCOL_DECISION_WAIT_AFTER_ROOT="1s") for _ in each],
    )
    show("without tail sampling", [throughput(binary, options.seconds, UNSAMPLED) for _ in each])
    show("memory of traces that wait", [memory_of_waiting_spans(binary, options.spans // 2) for _ in each])
    show("queue on disk, backend back", [replay(binary, options.spans) for _ in each])
    return 0


if __name__ == "__main__":
    sys.exit(main())
