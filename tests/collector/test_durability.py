"""Nothing that was accepted is lost when backends are down or the Collector is killed, counted item by item."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.running import GATEWAY, QUICK, eventually
from tests.support.collector.streams import ABORTED, stream_ids
from tests.support.ports import free_port

from otel_claude_stream.testing import FakeAPI, Script

pytestmark = pytest.mark.slow

QUEUE = "otelcol_exporter_queue_size"
FILLER = "x" * 500


class Ledger:
    """The ids of what was accepted, to be compared with what arrives."""

    def __init__(self, collector):
        self.collector = collector
        self.spans, self.points, self.lines = [], [], []

    def send(self, batches, size=100):
        """Send requests of each signal. Half of the spans are healthy traces, which wait for a decision."""
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

    def wait_until_decided(self):
        """Wait until no trace is in memory, so that everything is on disk or delivered."""
        decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
        arrived = "otelcol_processor_tail_sampling_new_trace_id_received"
        met = self.collector.metric
        assert eventually(lambda: met(decided) == met(arrived) > 0)

    def arrived(self, backend):
        """The ids of spans, points and lines that arrived."""
        return (
            [span["spanId"] for span in backend.spans()],
            [sending.plain(point["attributes"])["number"] for name, point in backend.points() if name == "orders"],
            [line["body"]["stringValue"] for line in backend.logs()],
        )

    def is_complete(self, backend):
        """Whether everything that was accepted has arrived, and nothing else."""
        sent = (self.spans, self.points, self.lines)
        return all(set(one) == set(other) for one, other in zip(sent, self.arrived(backend), strict=True))

    def repeated(self, backend):
        """How many items arrived more than once, by signal."""
        return [len(one) - len(set(one)) for one in self.arrived(backend)]


def test_nothing_is_lost_when_the_backend_is_down_and_the_collector_is_killed(start, backend):
    """The Collector is filled and killed twice. Then each span, point and line arrives once."""
    backend.down()
    collector = start(GATEWAY, **QUICK)
    ledger = Ledger(collector)
    for _ in range(2):
        ledger.send(15)
        ledger.wait_until_decided()
        assert collector.metric(QUEUE, data_type="traces") > 0
        collector.kill()
        collector.start()
    assert backend.messages == []
    backend.up()
    assert eventually(lambda: ledger.is_complete(backend), 60), [len(one) for one in ledger.arrived(backend)]
    assert len(ledger.spans) == len(ledger.points) == len(ledger.lines) == 3000
    assert not eventually(lambda: ledger.repeated(backend) != [0, 0, 0], 2)
    assert eventually(lambda: collector.metric(QUEUE) == 0)


def test_a_kill_during_delivery_repeats_at_most_one_batch_for_each_sender(start, backend):
    backend.down()
    collector = start(GATEWAY, **QUICK, OTELCOL_SENDERS="2")
    ledger = Ledger(collector)
    ledger.send(80)
    ledger.wait_until_decided()
    backend.up()
    assert eventually(lambda: backend.messages, every=0.001)
    collector.kill()
    before = len(backend.messages)
    collector.start()
    assert eventually(lambda: ledger.is_complete(backend), 60), [len(one) for one in ledger.arrived(backend)]
    assert all(count <= 2 * 8192 for count in ledger.repeated(backend))
    assert len(backend.messages) > before, "everything had arrived before the kill, so the test shows nothing"


def test_sigterm_decides_the_traces_that_wait(start, backend):
    """Without a backend, their spans are kept on disk."""
    backend.down()
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"})
    ledger = Ledger(collector)
    ledger.send(3)
    assert collector.stop() == 0
    collector.start()
    backend.up()
    assert eventually(lambda: ledger.is_complete(backend), 30), [len(one) for one in ledger.arrived(backend)]
    assert ledger.repeated(backend) == [0, 0, 0]


def test_a_kill_loses_only_healthy_traces_that_wait_for_a_decision(start, backend):
    """Failed spans, metrics and logs are on disk."""
    backend.down()
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s", "OTELCOL_DECISION_WAIT_AFTER_ROOT": "60s"})
    ledger = Ledger(collector)
    ledger.send(3)
    collector.kill()
    collector.start()
    backend.up()
    failed = {span for index, span in enumerate(ledger.spans) if index % 100 < 50}
    assert eventually(lambda: [len(one) for one in ledger.arrived(backend)] >= [len(failed), 300, 300])
    spans, points, lines = ledger.arrived(backend)
    assert set(spans) == failed
    assert (set(points), set(lines)) == (set(ledger.points), set(ledger.lines))


def test_an_outage_longer_than_the_queue_of_the_application_loses_nothing(start, backend):
    """The gateway keeps more streams than the span queue of OpenTelemetry's SDK holds."""
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
    eventually(lambda: len(stream_ids(backend)) >= count)
    assert len(stream_ids(backend)) == len(set(stream_ids(backend))) == count
    # The value is cumulative. The flush exports it, and the end of the application again.
    assert eventually(lambda: set(aborts(backend)) == {str(count)})


def aborts(backend):
    """Values of the aborts counter that are not zero."""
    return [
        point["asInt"] for name, point in backend.points() if name == "claude.stream.aborts" and point["asInt"] != "0"
    ]


def test_exporters_retry_without_limit_from_a_queue_on_disk():
    """The default of five minutes would lose telemetry in a longer outage."""
    exporters = yaml.safe_load(GATEWAY.read_text())["exporters"]
    assert set(exporters) == {"otlp_http/traces", "otlp_http/metrics", "otlp_http/logs"}
    for exporter in exporters.values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
        assert exporter["sending_queue"]["storage"] == "file_storage/queue"


class Recorder(BaseHTTPRequestHandler):
    """A backend that keeps the headers of each request."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar = []

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append({key.lower(): value for key, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Do not log."""


def test_credentials_reach_only_the_backend(start):
    """Neither credentials nor tenant are in the log or on the disk. After a restart they are sent as well."""
    port = free_port()
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
