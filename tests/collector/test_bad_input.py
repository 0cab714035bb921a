"""What senders, disks and other processes do to a gateway: a clear word, a health state, and nothing accepted lost."""

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
    request = urllib.request.Request(url, body, {"Content-Type": kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


MALFORMED = {
    "no protobuf": (b"\xff" * 100, PROTOBUF, {}, 400),
    "cut protobuf": (b"\x0a\x80\x10", PROTOBUF, {}, 400),
    "no JSON": (b"{", JSON, {}, 400),
    "JSON of something else": (b'{"resourceSpans": 7}', JSON, {}, 400),
    "another type": (b"<xml/>", "text/xml", {}, 415),
    "no gzip": (b"no gzip", PROTOBUF, {"Content-Encoding": "gzip"}, 400),
    "unknown encoding": (b"", PROTOBUF, {"Content-Encoding": "br"}, 400),
    "a bomb of 20 MB": (gzip.compress(bytes(20_000_000)), PROTOBUF, {"Content-Encoding": "gzip"}, 400),
    "nothing": (b"", PROTOBUF, {}, 200),
}


def test_malformed_requests_are_refused_for_good(start, backend):
    """By a status that no sender answers with another try; the next good request is taken."""
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


def test_a_huge_span_passes_and_a_larger_one_is_refused(start, backend):
    """12 MB in one attribute is inside the limit of 16 MiB; 20 MB is not."""
    collector = start(GATEWAY, **QUICK)
    huge = sending.span(filler="x" * 12_000_000, **{"claude.stream.abort.reason": "overloaded"})
    sending.send(collector.url, "traces", sending.traces(huge))
    larger = json.dumps(sending.traces(sending.span(filler="x" * 20_000_000))).encode()
    # Packed, so that all of it is sent before the answer comes.
    assert post(f"{collector.url}/v1/traces", gzip.compress(larger), JSON, **{"Content-Encoding": "gzip"}) == 400
    (arrived,) = backend.wait_for_spans(1)
    assert len(sending.plain(arrived["attributes"])["filler"]) == 12_000_000
    assert collector.is_healthy()


def test_a_trace_that_grows_without_end_does_not_fill_the_memory(start, backend):
    """Beyond 32 MiB the others of its spans go; those that tell of trouble are kept, and the log of numbers tells."""
    collector = start(GATEWAY, **{**QUICK, "OTELCOL_DECISION_WAIT": "60s"})
    trace = sending.new_id(16)
    for _ in range(4):
        filler = sending.span("part", trace=trace, parent="0" * 15 + "1", filler="x" * 10_000_000)
        sending.send(collector.url, "traces", sending.traces(filler))
    failed = sending.span(trace=trace, parent="0" * 15 + "1", **{"claude.stream.abort.reason": "overloaded"})
    sending.send(collector.url, "traces", sending.traces(failed))
    assert [span["spanId"] for span in backend.wait_for_spans(1)] == [failed["spanId"]]
    assert collector.metric("otelcol_processor_tail_sampling_traces_dropped_too_large") == 1


def test_odd_spans_pass(start, backend):
    """No ids, no times, no name, thousands of attributes, ends before its start: nothing stops the pipeline."""
    collector = start(GATEWAY, PROMETHEUS, FILES / "metrics-from-spans.yaml", **QUICK)
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
    assert "panic" not in collector.said()


def ended(binary, folder, **settings):
    """A Collector that cannot start: its exit code and its words."""
    collector = Collector(binary, folder, settings=settings).launch()
    try:
        return collector.process.wait(timeout=30), collector.said()
    finally:
        collector.kill()


def test_a_state_folder_that_cannot_be_made(otelcol, tmp_path):
    """It does not start without a queue, and says which folder it is."""
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    code, said = ended(otelcol, tmp_path / "one", OTELCOL_STATE_DIR=str(blocked))
    assert code == 1
    assert f"{blocked}/queue" in said
    assert "not a directory" in said


def test_a_state_folder_that_may_not_be_written(otelcol, require_tool):
    """As a user without the right to it: the same."""
    if os.geteuid() != 0:
        pytest.skip("only root can become a user who may not write there")
    nobody = str(require_tool("setpriv", "util-linux"))
    # Not pytest's folder, into which nobody else may look.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        state = folder / "state"
        state.mkdir(mode=0o555)
        binary = folder / "otelcol"
        shutil.copy(otelcol, binary)
        binary.chmod(0o755)
        prefix = (nobody, "--reuid=65534", "--regid=65534", "--clear-groups")
        settings = {"OTELCOL_STATE_DIR": str(state)}
        config = folder / "gateway.yaml"
        shutil.copy(GATEWAY, config)
        config.chmod(0o644)
        collector = Collector(binary, folder / "one", (config,), settings, prefix).launch()
        try:
            assert collector.process.wait(timeout=30) == 1
            assert "permission denied" in collector.said()
            assert str(state) in collector.said()
        finally:
            collector.kill()


def test_two_of_them_in_one_folder(otelcol, start, tmp_path, backend):
    """The second ends with a word instead of damaging the first one's queue."""
    first = start(GATEWAY, **QUICK)
    code, said = ended(otelcol, tmp_path / "second", OTELCOL_STATE_DIR=first.settings["OTELCOL_STATE_DIR"])
    assert code == 1
    assert "timeout" in said
    sending.send(first.url, "traces", sending.traces(sending.span()))
    assert len(backend.wait_for_spans(1)) == 1


@pytest.mark.parametrize("name", ["OTELCOL_OTLP_GRPC", "OTELCOL_OTLP_HTTP", "OTELCOL_HEALTH"])
def test_a_port_in_use(otelcol, start, tmp_path, name):
    """Ends at once and names the address."""
    first = start(GATEWAY, **QUICK)
    code, said = ended(otelcol, tmp_path / "second", **{name: first.settings[name]})
    assert code == 1
    assert f"listen tcp {first.settings[name]}: bind: address already in use" in said
    assert first.is_healthy()


def test_a_setting_that_makes_no_sense(otelcol, tmp_path):
    """A word instead of a number: refused at the start, with the key."""
    code, said = ended(otelcol, tmp_path / "one", OTELCOL_QUEUE_BYTES="plenty")
    assert code == 1
    assert "queue_size" in said


@contextmanager
def small_disk(folder, size):
    """A file system of its own, in memory; needs root."""
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


def test_the_disk_of_the_queue_is_full(start, backend, tmp_path):
    """Senders are refused so that they try again, the log names it, and what was accepted before arrives later."""
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
        assert "no space left on device" in collector.said()
        assert collector.metric("otelcol_exporter_enqueue_failed_spans") > 0
        assert collector.is_healthy()
        backend.up()
        assert eventually(lambda: set(accepted) <= {span["spanId"] for span in backend.spans()}, 30), (
            len(accepted),
            len(backend.spans()),
            collector.said()[-2000:],
        )
        again = sending.traces(*spans)
        assert eventually(lambda: sending.post(collector.url, "traces", again)[0] == 200)
        sent = {*accepted, *(span["spanId"] for span in spans)}
        assert eventually(lambda: sent <= {span["spanId"] for span in backend.spans()})
        collector.kill()
