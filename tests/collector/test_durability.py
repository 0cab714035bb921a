"""Nothing that was accepted is lost: backends that go away, a Collector that is killed, counted to the last one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.running import GATEWAY, QUICK, eventually, free_ports

from otel_claude_stream.testing import FakeAPI, Script

pytestmark = pytest.mark.slow

QUEUE = "otelcol_exporter_queue_size"
ABORTED = {"claude.stream.outcome": "failed", "claude.stream.abort.reason": "overloaded"}
FILLER = "x" * 500


class Ledger:
    """What was sent and accepted, by id, to be compared with what arrives."""

    def __init__(self, collector):
        self.collector = collector
        self.spans, self.points, self.lines = [], [], []

    def send(self, batches, size=100):
        """So many requests of each signal; half of the spans are healthy traces, which wait for a verdict."""
        for _ in range(batches):
            spans = [sending.span(filler=FILLER, **ABORTED) for _ in range(size // 2)]
            spans += [sending.span("POST /answer", filler=FILLER) for _ in range(size // 2)]
            points = [sending.point(1, number=str(len(self.points) + n)) for n in range(size)]
            lines = [sending.record(f"line {len(self.lines) + n}") for n in range(size)]
            sending.send(self.collector.url, "traces", sending.traces(*spans))
            sending.send(self.collector.url, "metrics", sending.metrics(sending.counter("orders", *points)))
            sending.send(self.collector.url, "logs", sending.logs(*lines))
            self.spans += [span["spanId"] for span in spans]
            self.points += [sending.plain(point["attributes"])["number"] for point in points]
            self.lines += [line["body"]["stringValue"] for line in lines]

    def wait_until_judged(self):
        """No trace is in memory any more: all that was accepted is on disk or delivered."""
        decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
        arrived = "otelcol_processor_tail_sampling_new_trace_id_received"
        met = self.collector.metric
        assert eventually(lambda: met(decided) == met(arrived) > 0)

    def arrived(self, backend):
        """The same three lists, as the backend has them."""
        return (
            [span["spanId"] for span in backend.spans()],
            [sending.plain(point["attributes"])["number"] for name, point in backend.points() if name == "orders"],
            [line["body"]["stringValue"] for line in backend.logs()],
        )

    def is_complete(self, backend):
        sent = (self.spans, self.points, self.lines)
        return all(set(one) == set(other) for one, other in zip(sent, self.arrived(backend), strict=True))

    def twice(self, backend):
        """How many came more than once, by signal."""
        return [len(one) - len(set(one)) for one in self.arrived(backend)]


def test_backend_away_and_collector_killed(start, backend):
    """Down, filled, killed, started, filled, killed, started, up: each span, point and line arrives, none twice."""
    backend.down()
    collector = start(GATEWAY, **QUICK)
    ledger = Ledger(collector)
    for _ in range(2):
        ledger.send(15)
        ledger.wait_until_judged()
        assert collector.metric(QUEUE, data_type="traces") > 0
        collector.kill()
        collector.start()
    assert backend.messages == []
    backend.up()
    assert eventually(lambda: ledger.is_complete(backend), 60), [len(one) for one in ledger.arrived(backend)]
    assert len(ledger.spans) == len(ledger.points) == len(ledger.lines) == 3000
    assert not eventually(lambda: ledger.twice(backend) != [0, 0, 0], 2)
    assert eventually(lambda: collector.metric(QUEUE) == 0)


def test_killed_in_the_middle_of_a_delivery(start, backend):
    """All arrives; what arrives twice is at most what was under way, a batch for each sender."""
    backend.down()
    collector = start(GATEWAY, **QUICK, OTELCOL_SENDERS="2")
    ledger = Ledger(collector)
    ledger.send(80)
    ledger.wait_until_judged()
    backend.up()
    assert eventually(lambda: backend.messages, every=0.001)
    collector.kill()
    before = len(backend.messages)
    collector.start()
    assert eventually(lambda: ledger.is_complete(backend), 60), [len(one) for one in ledger.arrived(backend)]
    assert all(count <= 2 * 8192 for count in ledger.twice(backend))
    assert len(backend.messages) > before, "everything had arrived before the kill: nothing was tested"


def test_stopped_in_order_judges_what_waits(start, backend):
    """SIGTERM, with the longest waits and no backend: undecided traces are judged and kept on disk."""
    backend.down()
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"})
    ledger = Ledger(collector)
    ledger.send(3)
    assert collector.stop() == 0
    collector.start()
    backend.up()
    assert eventually(lambda: ledger.is_complete(backend), 30), [len(one) for one in ledger.arrived(backend)]
    assert ledger.twice(backend) == [0, 0, 0]


def test_killed_while_traces_wait_for_a_verdict(start, backend):
    """The one loss there is: healthy traces not judged yet. Spans of trouble, metrics and logs are all on disk."""
    backend.down()
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"})
    ledger = Ledger(collector)
    ledger.send(3)
    collector.kill()
    collector.start()
    backend.up()
    trouble = {span for index, span in enumerate(ledger.spans) if index % 100 < 50}
    assert eventually(lambda: [len(one) for one in ledger.arrived(backend)] >= [len(trouble), 300, 300])
    spans, points, lines = ledger.arrived(backend)
    assert set(spans) == trouble
    assert (set(points), set(lines)) == (set(ledger.points), set(ledger.lines))


def test_an_outage_longer_than_the_application_can_remember(start, backend):
    """More streams than the SDK's queue of spans holds, while the backend is down: the gateway has them all."""
    backend.down()
    collector = start(GATEWAY, **QUICK)
    count = 150
    with (
        FakeAPI(Script.http_error(529)) as api,
        application(collector.url, max_queue_size=64, max_export_batch_size=32, schedule_delay_millis=100) as app,
    ):
        for _ in range(count):
            app.stream(api.url)
        app.flush()
    backend.up()
    eventually(lambda: len(streams(backend)) >= count)
    assert len(streams(backend)) == len(set(streams(backend))) == count
    # Cumulative: said by the flush and again by the end of the application.
    assert eventually(lambda: set(aborts(backend)) == {str(count)})


def streams(backend):
    return [span["spanId"] for span in backend.spans() if "claude.stream.outcome" in sending.plain(span["attributes"])]


def aborts(backend):
    return [
        point["asInt"] for name, point in backend.points() if name == "claude.stream.aborts" and point["asInt"] != "0"
    ]


def test_retries_have_no_end_and_queues_are_on_disk():
    """Of every exporter to a backend: a default of five minutes in either would be a loss."""
    exporters = yaml.safe_load(GATEWAY.read_text())["exporters"]
    assert set(exporters) == {"otlp_http/traces", "otlp_http/metrics", "otlp_http/logs"}
    for exporter in exporters.values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
        assert exporter["sending_queue"]["storage"] == "file_storage/queue"


class Recorder(BaseHTTPRequestHandler):
    """Keeps the headers of what it takes."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar = []

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append({key.lower(): value for key, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing."""


def test_credentials_go_to_the_backend_alone(start):
    """After a restart too, from the queue; neither they nor a tenant stand in the log or on the disk."""
    (port,) = free_ports(1)
    where = {f"OTELCOL_{name}_ENDPOINT": f"http://127.0.0.1:{port}/" for name in ("TRACES", "METRICS", "LOGS")}
    secret = {"OTELCOL_AUTHORIZATION": "Bearer not-for-the-log", "OTELCOL_TENANT": "team-of-ours"}
    collector = start(GATEWAY, **{**QUICK, **where, **secret})
    sending.send(collector.url, "logs", sending.logs(sending.record("a line")))
    collector.kill()
    collector.start()
    Recorder.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", port), Recorder)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        assert eventually(lambda: Recorder.seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (headers,) = Recorder.seen
    assert (headers["authorization"], headers["x-scope-orgid"]) == tuple(secret.values())
    kept = b"".join(path.read_bytes() for path in collector.folder.rglob("*") if path.is_file())
    assert not [value for value in secret.values() if value.encode() in kept]
