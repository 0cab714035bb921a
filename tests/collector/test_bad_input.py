"""Malformed requests, full disks and wrong settings lead to a clear error, and nothing that was accepted is lost."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.collector import sending
from tests.support.collector.running import FILES, GATEWAY, PROMETHEUS, QUICK, Collector, eventually

pytestmark = pytest.mark.slow

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def post(url, body, kind, **headers):
    """Send a body. Returns the status."""
    request = urllib.request.Request(url, body, {"Content-Type": kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


MALFORMED = {
    "not protobuf": (b"\xff" * 100, PROTOBUF, {}, 400),
    "truncated protobuf": (b"\x0a\x80\x10", PROTOBUF, {}, 400),
    "not JSON": (b"{", JSON, {}, 400),
    "JSON of another schema": (b'{"resourceSpans": 7}', JSON, {}, 400),
    "unknown content type": (b"<xml/>", "text/xml", {}, 415),
    "not gzip": (b"no gzip", PROTOBUF, {"Content-Encoding": "gzip"}, 400),
    "unknown encoding": (b"", PROTOBUF, {"Content-Encoding": "br"}, 400),
    "20 MB of zeros, compressed": (gzip.compress(bytes(20_000_000)), PROTOBUF, {"Content-Encoding": "gzip"}, 400),
    "empty": (b"", PROTOBUF, {}, 200),
}


def test_malformed_requests_get_a_status_that_is_not_retried(start, backend):
    """The next valid request is accepted."""
    collector = start(GATEWAY, **QUICK)
    found = {
        name: post(f"{collector.url}/v1/traces", body, kind, **headers)
        for name, (body, kind, headers, _) in MALFORMED.items()
    }
    assert found == {name: status for name, (*_, status) in MALFORMED.items()}
    assert post(f"{collector.url}/v1/nothing", b"", PROTOBUF) == 404
    sending.send(collector.url, "traces", sending.traces(sending.span()))
    assert len(backend.wait_for_spans(1)) == 1
    assert collector.is_healthy()


def test_a_span_of_12_mb_passes_and_one_of_20_mb_is_refused(start, backend):
    """The limit for a request is 16 MiB."""
    collector = start(GATEWAY, **QUICK)
    huge = sending.span(filler="x" * 12_000_000, **{"claude.stream.abort.reason": "overloaded"})
    sending.send(collector.url, "traces", sending.traces(huge))
    larger = json.dumps(sending.traces(sending.span(filler="x" * 20_000_000))).encode()
    # Compressed, so that all of it is sent before the answer comes.
    assert post(f"{collector.url}/v1/traces", gzip.compress(larger), JSON, **{"Content-Encoding": "gzip"}) == 400
    (arrived,) = backend.wait_for_spans(1)
    assert len(sending.plain(arrived["attributes"])["filler"]) == 12_000_000
    assert collector.is_healthy()


def test_a_trace_above_32_mib_is_dropped_except_for_its_failed_spans(start, backend):
    """A metric of the Collector counts such traces."""
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s"})
    trace = sending.new_id(16)
    for _ in range(4):
        filler = sending.span("part", trace=trace, parent="0" * 15 + "1", filler="x" * 10_000_000)
        sending.send(collector.url, "traces", sending.traces(filler))
    failed = sending.span(trace=trace, parent="0" * 15 + "1", **{"claude.stream.abort.reason": "overloaded"})
    sending.send(collector.url, "traces", sending.traces(failed))
    assert [span["spanId"] for span in backend.wait_for_spans(1)] == [failed["spanId"]]
    assert collector.metric("otelcol_processor_tail_sampling_traces_dropped_too_large") == 1


def test_unusual_spans_pass_the_pipeline(start, backend):
    """Spans without ids, times or name, with thousands of attributes, with an end before the start."""
    overlays = (FILES / "metrics-from-spans.yaml", FILES / "sdk-spans.yaml")
    collector = start(GATEWAY, PROMETHEUS, *overlays, **QUICK)
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add()
    spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="x" * 100_000, start_time_unix_nano=2**63, kind=99)
    many = spans.add(trace_id=b"\x01" * 16, span_id=b"\x03" * 8, trace_state="no = state;;;")
    for number in range(5000):
        many.attributes.add(key=f"key.{number}").value.int_value = number
    twice = spans.add(trace_id=b"\x04" * 16, span_id=b"\x05" * 8)
    for value in ("failed", "completed", ""):
        twice.attributes.add(key="claude.stream.outcome").value.string_value = value
    twice.attributes.add(key="claude.stream.attempt.count").value.string_value = "many"
    twice.attributes.add(key="claude.stream.chunk.longest_gap")
    twice.status.code = 77
    deep = spans.add(trace_id=b"\x06" * 16, span_id=b"\x07" * 8).attributes.add(key="deep").value
    for _ in range(8):
        deep = deep.kvlist_value.values.add(key="deeper").value
    assert post(f"{collector.url}/v1/traces", request.SerializeToString(), PROTOBUF) == 200
    eventually(lambda: len(backend.spans()) >= 4)
    assert len(backend.spans()) >= 4
    sending.send(collector.url, "traces", sending.traces(sending.span("after")))
    assert eventually(lambda: any(span.get("name") == "after" for span in backend.spans()))
    assert collector.process.poll() is None
    assert "panic" not in collector.output()


def run_until_exit(binary, folder, **settings):
    """Exit code and output of a Collector that cannot start."""
    collector = Collector(binary, folder, settings=settings).launch()
    try:
        return collector.process.wait(timeout=30), collector.output()
    finally:
        collector.kill()


def test_a_state_folder_that_cannot_be_made_is_named(otelcol, tmp_path):
    """The Collector does not start without its queue."""
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    code, output = run_until_exit(otelcol, tmp_path / "one", OTELCOL_STATE_DIR=str(blocked))
    assert code == 1
    assert f"{blocked}/queue" in output
    assert "not a directory" in output


def test_a_state_folder_that_may_not_be_written_is_named(otelcol, require_tool):
    """The Collector runs as a user without the permission."""
    if os.geteuid() != 0:
        pytest.skip("only root can become a user who may not write there")
    setpriv = str(require_tool("setpriv", "util-linux"))
    # pytest's own folder is closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        state = folder / "state"
        state.mkdir(mode=0o555)
        binary = folder / "otelcol"
        shutil.copy(otelcol, binary)
        binary.chmod(0o755)
        prefix = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
        settings = {"OTELCOL_STATE_DIR": str(state)}
        config = folder / "gateway.yaml"
        shutil.copy(GATEWAY, config)
        config.chmod(0o644)
        collector = Collector(binary, folder / "one", (config,), settings, prefix).launch()
        try:
            assert collector.process.wait(timeout=30) == 1
            assert "permission denied" in collector.output()
            assert str(state) in collector.output()
        finally:
            collector.kill()


def test_a_second_collector_in_the_same_state_folder_does_not_start(otelcol, start, tmp_path, backend):
    """It cannot damage the queue of the first."""
    first = start(GATEWAY, **QUICK)
    code, output = run_until_exit(otelcol, tmp_path / "second", OTELCOL_STATE_DIR=first.settings["OTELCOL_STATE_DIR"])
    assert code == 1
    assert "timeout" in output
    sending.send(first.url, "traces", sending.traces(sending.span()))
    assert len(backend.wait_for_spans(1)) == 1


@pytest.mark.parametrize("name", ["OTELCOL_OTLP_GRPC", "OTELCOL_OTLP_HTTP", "OTELCOL_HEALTH"])
def test_a_port_in_use_ends_the_start_and_is_named(otelcol, start, tmp_path, name):
    first = start(GATEWAY, **QUICK)
    code, output = run_until_exit(otelcol, tmp_path / "second", **{name: first.settings[name]})
    assert code == 1
    assert f"listen tcp {first.settings[name]}: bind: address already in use" in output
    assert first.is_healthy()


def test_a_word_instead_of_a_number_ends_the_start_and_names_the_key(otelcol, tmp_path):
    code, output = run_until_exit(otelcol, tmp_path / "one", OTELCOL_QUEUE_BYTES="plenty")
    assert code == 1
    assert "queue_size" in output


@contextmanager
def small_disk(folder, size):
    """A small file system in memory. Needs root."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_senders_and_loses_nothing_that_was_accepted(start, backend, tmp_path):
    """The log names the disk, and the refused requests are accepted once the backend is back."""
    with small_disk(tmp_path / "disk", "6m") as disk:
        backend.down()
        collector = start(GATEWAY, **QUICK, OTELCOL_STATE_DIR=str(disk))
        accepted = []
        for _ in range(60):
            spans = [
                sending.span(filler="x" * 10_000, **{"claude.stream.abort.reason": "overloaded"}) for _ in range(20)
            ]
            status, _ = sending.post(collector.url, "traces", sending.traces(*spans))
            if status != 200:
                break
            accepted += [span["spanId"] for span in spans]
        assert status == 503
        assert "no space left on device" in collector.output()
        assert collector.metric("otelcol_exporter_enqueue_failed_spans") > 0
        assert collector.is_healthy()
        backend.up()
        assert eventually(lambda: set(accepted) <= {span["spanId"] for span in backend.spans()}, 30), (
            len(accepted),
            len(backend.spans()),
            collector.output()[-2000:],
        )
        again = sending.traces(*spans)
        assert eventually(lambda: sending.post(collector.url, "traces", again)[0] == 200)
        sent = {*accepted, *(span["spanId"] for span in spans)}
        assert eventually(lambda: sent <= {span["spanId"] for span in backend.spans()})
        collector.kill()
