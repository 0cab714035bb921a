"""The spans of the Claude API itself: only with the token, without content, kept with their traces, and counted.

They are made by hand after the documentation of the API. None came from the API itself.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import ssl
import subprocess
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.collector import backend as backends
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.configs import AGENT, loaded, validate
from tests.support.collector.contents import CONTENT_KEYS, SECRET
from tests.support.collector.exposition import samples, sorted_samples, wait_for_samples
from tests.support.collector.running import API_TOKEN, FILES, GATEWAY, HOST, PROMETHEUS, QUICK, eventually, get, running
from tests.support.collector.streams import ABORTED

from otel_claude_stream.cli.doctor.api_receiver import api_receiver
from otel_claude_stream.cli.main import main
from otel_claude_stream.cli.view.sides import API_SCOPE, API_SERVICE, OUTCOMES
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

pytestmark = pytest.mark.slow

OVERLAY = FILES / "api-spans.yaml"
UNSET, OK, ERROR = 0, 1, 2
NO_HEALTHY = {**QUICK, "OTELCOL_HEALTHY_PERCENT": "0"}
AUTHORIZED = {"Authorization": f"Bearer {API_TOKEN}"}
KEPT_BY_NAME = {
    "gen_ai.request.model": "claude-sonnet-5",
    "gen_ai.provider.name": "anthropic",
    "anthropic.request.id": "req_1",
    "anthropic.workspace.id": "wrkspc_1",
    "http.response.status_code": 200,
}


def request(status=OK, *, trace=None, parent="b7ad6b7169203331", kind=2, name="anthropic.messages.create", **values):
    """Make the span of one request."""
    found = sending.span(name, trace=trace, parent=parent, status=status, **values)
    return {**found, "kind": kind}


def document(*spans, service=API_SERVICE, scope=API_SCOPE, **resource):
    return sending.traces(*spans, resource={"service.name": service, **resource}, scope=scope)


def deliver(collector, *spans, **more):
    """Send spans as the API does."""
    answer = sending.post(collector.api_url, "traces", document(*spans, **more), **AUTHORIZED)
    assert answer == (200, '{"partialSuccess":{}}')


def ids(spans):
    return {span["spanId"] for span in spans}


def test_requests_without_the_token_are_refused(start, backend):
    """They are counted by the status alone. The receiver of applications needs no token, as before."""
    collector = start(GATEWAY, OVERLAY, **QUICK)
    sent = document(request())
    wrong = ("", "Bearer", "Bearer ", API_TOKEN, f"Basic {API_TOKEN}", f"bearer {API_TOKEN}", f"Bearer {API_TOKEN}x")
    for given in wrong:
        status, answer = sending.post(collector.api_url, "traces", sent, Authorization=given, Host="Rumpelstiltskin:1")
        assert (status, API_TOKEN in answer) == (401, False), given
    assert sending.post(collector.api_url, "traces", sent)[0] == 401
    deliver(collector, request())
    sending.send(collector.url, "traces", sending.traces(sending.span()))
    assert len(backend.wait_for_spans(2)) == 2
    assert API_TOKEN not in collector.output()
    name = "otelcol_http_server_request_duration_count"
    assert eventually(lambda: collector.metric(name, http_response_status_code="200") == 2)
    assert collector.metric(name, http_response_status_code="401") == len(wrong) + 1
    own = get(f"http://{HOST}:{collector.telemetry}/metrics")[1]
    assert "Rumpelstiltskin" not in own
    assert not re.search("^# TYPE (http|rpc)", own, re.MULTILINE)
    checks = {
        f"{collector.api_url} accepts the token of OTELCOL_API_TOKEN": (collector.api_url, API_TOKEN),
        f"{collector.api_url} refuses another token with 401": (collector.api_url, API_TOKEN),
        f"{collector.api_url} refuses the token of OTELCOL_API_TOKEN with 401": (collector.api_url, "wrong"),
        f"{collector.url} accepts any token": (collector.url, API_TOKEN),
    }
    for text, (url, token) in checks.items():
        assert text in str(api_receiver(url, {"OTELCOL_API_TOKEN": token})), text


def test_the_collector_does_not_start_without_a_token(otelcol, tmp_path):
    for base in (GATEWAY, AGENT):
        code, output = validate(otelcol, (base, OVERLAY), OTELCOL_STATE_DIR=str(tmp_path))
        assert (code, "no bearer token provided" in output) == (1, True), base


def test_a_body_above_16_mib_is_refused_however_small_it_is_compressed(start, backend):
    collector = start(GATEWAY, OVERLAY, **QUICK)
    large = json.dumps(document(request(filler="x" * 20_000_000))).encode()
    compressed = {**AUTHORIZED, "Content-Encoding": "gzip"}
    assert sending.post(collector.api_url, "traces", gzip.compress(large), **compressed)[0] == 400
    deliver(collector, request())
    assert len(backend.wait_for_spans(1)) == 1


def test_content_is_removed_under_any_name(start, backend):
    """The destination may be set to "Full content", and names may change. Attributes of a list stay."""
    collector = start(GATEWAY, OVERLAY, PROMETHEUS, FILES / "to-file.yaml", **QUICK)
    unknown = ("anthropic.tool_result.content", "anthropic.input", "gen_ai.new", "body", "claude.stream.outcome")
    content = dict.fromkeys([*CONTENT_KEYS, *unknown], SECRET)
    span = request(ERROR, message=f"messages.0: {SECRET}", events=[sending.event(SECRET, **content)], **content)
    span["attributes"] += sending.attributes(KEPT_BY_NAME)
    span["traceState"] = "vendor=Rumpelstiltskin"
    named = request(name=f"anthropic.tool_use {SECRET} {SECRET}", events=[sending.event("exception", **content)])
    credential = request(**{"anthropic.request.id": "sk-ant-api03-Rumpelstiltskin"})
    sent = document(span, named, credential, **{"host.name": SECRET, "prompt": SECRET})
    scope = sent["resourceSpans"][0]["scopeSpans"][0]["scope"]
    scope |= {"version": SECRET, "attributes": sending.attributes({"note": SECRET})}
    assert sending.post(collector.api_url, "traces", sent, **AUTHORIZED)[0] == 200

    arrived = {one["spanId"]: one for one in backend.wait_for_spans(3)}
    failed = arrived[span["spanId"]]
    wanted = {name: next(iter(sending.value(value).values())) for name, value in KEPT_BY_NAME.items()}
    assert sending.plain(failed["attributes"]) == {**wanted, "sampling.keep": "error"}
    assert [(one["name"], one.get("attributes")) for one in failed["events"]] == [("event", None)]
    assert arrived[named["spanId"]]["name"] == "anthropic"
    assert arrived[named["spanId"]]["events"][0]["name"] == "exception"
    assert sending.plain(arrived[credential["spanId"]]["attributes"]) == {"anthropic.request.id": "****"}
    wait_for_samples(collector, "claude_api_requests_total")
    written = Path(collector.settings["OTELCOL_FILE"]).read_text()
    everything = backend.text() + written + "\n".join(collector.scraped()) + collector.output()
    assert "Rumpelstiltskin" not in everything


def decided(collector, sampled, count=1):
    """Wait until the sampler has decided about traces."""
    name = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    assert eventually(lambda: collector.metric(name, sampled=sampled) == count)


def test_a_span_that_comes_after_the_decision_is_kept_with_its_trace(start, backend):
    """Those of a trace that was dropped are dropped, except for requests that failed or were cancelled."""
    collector = start(GATEWAY, OVERLAY, **NO_HEALTHY)
    kept, dropped = sending.span("POST /a", **ABORTED), sending.span("POST /b")
    sending.send(collector.url, "traces", sending.traces(kept, dropped))
    decided(collector, "true")
    decided(collector, "false")
    late = [request(trace=kept["traceId"]), request(trace=kept["traceId"], kind=1, name="anthropic.model_run")]
    late += [request(status, trace=dropped["traceId"]) for status in (ERROR, UNSET)]
    hours = request(OK, trace=kept["traceId"])
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        hours[name] = str(int(hours[name]) - 5 * 3600 * 10**9)
    deliver(collector, *late, hours, request(OK, trace=dropped["traceId"]))
    assert ids(backend.wait_for_spans(5)) >= ids([*late, hours])
    assert not eventually(lambda: len(backend.spans()) > 6, 3)
    assert ids(backend.spans()) == ids([kept, *late, hours])


def test_spans_of_traces_that_do_not_exist_here_are_sampled_as_any(start, backend):
    """No healthy ones are kept here. A failed one is kept alone."""
    collector = start(GATEWAY, OVERLAY, **{**NO_HEALTHY, "OTELCOL_DECISION_WAIT": "1s"})
    failed = request(ERROR)
    deliver(collector, *(request() for _ in range(50)), failed)
    decided(collector, "false", 50)
    assert ids(backend.wait_for_spans(1)) == {failed["spanId"]}


def test_every_span_is_kept_on_request(start, backend):
    """For gateways that may have forgotten their decision, and for traces of the API's own."""
    collector = start(GATEWAY, OVERLAY, **{**NO_HEALTHY, "OTELCOL_API_KEEP": "all"})
    sent = [request(), request(kind=1, name="anthropic.model_run"), request(UNSET)]
    deliver(collector, *sent)
    assert ids(backend.wait_for_spans(3, 5)) == ids(sent)


def test_requests_are_counted_by_outcome_and_error_type(start, backend):
    """Labels are closed. The caller chooses the model of a request that is rejected, and types may be invented."""
    collector = start(GATEWAY, OVERLAY, PROMETHEUS, **NO_HEALTHY)
    model = {"gen_ai.request.model": "claude-sonnet-5"}
    overloaded = {**model, "error.type": "overloaded_error"}
    twice = request(UNSET, **model)
    spans = [request(**model), request(**model), request(ERROR, **overloaded), twice, twice]
    spans += [request(**{"gen_ai.request.model": f"x{n}"}) for n in range(30)]
    spans += [
        request(ERROR, **{"gen_ai.request.model": f"claude-{n}", "error.type": "not_found_error"}) for n in range(30)
    ]
    spans += [request(ERROR, **{"error.type": f"invented_{n}", **model}) for n in range(30)]
    spans += [request(ERROR, **{"error.type": ["a"], "gen_ai.request.model": {"b": 1}}), request(kind=1, **model)]
    spans += [request(name="anthropic.test")]
    deliver(collector, *spans)
    wanted = {
        ("cancelled", "none", "claude-sonnet-5"): 1.0,
        ("completed", "none", "claude-sonnet-5"): 2.0,
        ("completed", "none", "other"): 30.0,
        ("failed", "not_found_error", "other"): 30.0,
        ("failed", "other", "other"): 31.0,
        ("failed", "overloaded_error", "claude-sonnet-5"): 1.0,
    }
    assert eventually(lambda: counted(collector) == wanted), counted(collector)
    assert sum(wanted.values()) == len(spans) - 3  # one is there twice, two are not requests
    deliver(collector, request(**model))
    assert eventually(lambda: counted(collector)["completed", "none", "claude-sonnet-5"] == 3.0)
    assert eventually(lambda: any(name == "claude.api.requests" for name, _ in backend.points()))
    assert "claude.api.span" not in backend.text()


def test_a_span_that_is_delivered_again_counts_once(start, backend):
    """A sender repeats a request whose answer it missed. Spans that come hours late count, also in another order."""
    collector = start(GATEWAY, OVERLAY, PROMETHEUS, **QUICK)
    spans = [request(ERROR, **{"error.type": "overloaded_error"}), request(), request()]
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        spans[1][name] = str(int(spans[1][name]) - 5 * 3600 * 10**9)
    for delivered in (spans[:1], spans, spans[::-1], spans[1:], [request()]):
        deliver(collector, *delivered)
    wanted = {("completed", "none", "other"): 3.0, ("failed", "overloaded_error", "other"): 1.0}
    assert eventually(lambda: counted(collector) == wanted), counted(collector)
    repeated = collector.metric("otelcol_deltatocumulative_datapoints", error="delta.ErrOutOfOrder")
    assert repeated == 1 + 3 + 2


def counted(collector):
    """The counted requests by their labels, which are all of them."""
    found = sorted_samples(collector, "claude_api_requests_total")
    assert all(
        set(labels) == {"claude_api_outcome", "error_type", "gen_ai_request_model", "job"} for labels, _ in found
    )
    keys = ("claude_api_outcome", "error_type", "gen_ai_request_model")
    return {tuple(labels[key] for key in keys): amount for labels, amount in found}


def test_spans_with_a_forged_scope_are_dropped_and_counted(start, backend):
    """The token is not enough to send spans of an application. Without it, no span counts as one of the API."""
    collector = start(GATEWAY, OVERLAY, PROMETHEUS, FILES / "metrics-from-spans.yaml", **QUICK)
    forged = [
        document(sending.span(**ABORTED), scope="otel_claude_stream", service="shop"),
        document(sending.span(**ABORTED), scope="otel_claude_stream"),
        document(request(), service="shop"),
        document(request(), scope=f"{API_SCOPE}.x"),
        document(request(), scope=""),
    ]
    for one in forged:
        assert sending.post(collector.api_url, "traces", one, **AUTHORIZED)[0] == 200
    name = "otelcol_processor_filter_spans_filtered"
    assert eventually(lambda: collector.metric(name, filter="filter/api") == len(forged))
    # Through the receiver of applications: delivered, and not counted as the API's.
    sending.send(collector.url, "traces", document(request()))
    deliver(
        collector, real := request(**{"claude.stream.outcome": "failed", "claude.stream.abort.reason": "api_error"})
    )
    assert len(backend.wait_for_spans(2)) == 2
    assert real["spanId"] in ids(backend.spans())
    assert wait_for_samples(collector, "claude_api_requests_total")
    assert sum(amount for _, amount in samples(collector, "claude_api_requests_total")) == 1.0
    assert samples(collector, "claude_stream_aborts_total") == []


def test_the_receiver_has_tls(start, backend, tmp_path):
    """The API sends protobuf."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("no openssl to make a certificate")
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    command = [tool, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    paths = {"OTELCOL_API_CERTIFICATE": str(certificate), "OTELCOL_API_KEY": str(key)}
    collector = start(GATEWAY, OVERLAY, **QUICK, OTELCOL_API_TLS="true", **paths)
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = API_SERVICE
    scoped = resource.scope_spans.add()
    scoped.scope.name = API_SCOPE
    scoped.spans.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), name="anthropic.messages.create", kind=2)
    url = f"https://{HOST}:{collector.api}/v1/traces"
    sent = urllib.request.Request(
        url, message.SerializeToString(), {"Content-Type": "application/x-protobuf", **AUTHORIZED}
    )
    with urllib.request.urlopen(sent, timeout=10, context=ssl.create_default_context(cafile=certificate)) as answer:
        assert answer.status == 200
    assert [span["name"] for span in backend.wait_for_spans(1)] == ["anthropic.messages.create"]


@pytest.mark.parametrize(
    ("status", "cause"),
    [(OK, "something between the application and the API"), (ERROR, "the API"), (UNSET, "something between")],
)
def test_explain_finds_the_cause_in_the_file_of_a_collector(start, backend, status, cause, capsys):
    """A stream of the real SDK is cut. The API's span comes after the decision about its trace."""
    collector = start(GATEWAY, OVERLAY, FILES / "to-file.yaml", **QUICK)
    script = Script.message("All well so far.", deltas=6).cut_after(5, ending=CutMidChunk())
    with FakeAPI({"cut": script}) as api, application(collector.url) as app:
        app.stream(api.url_for("cut"))
        app.flush()
    (stream,) = [
        span for span in backend.wait_for_spans(1) if "claude.stream.outcome" in sending.plain(span["attributes"])
    ]
    decided(collector, "true")
    found = request(status, trace=stream["traceId"], parent=stream["spanId"])
    found |= {name: stream[name] for name in ("startTimeUnixNano", "endTimeUnixNano")}
    request_id = sending.plain(stream["attributes"])["claude.stream.request_id"]
    found["attributes"] = sending.attributes({"anthropic.request.id": request_id})
    file = collector.settings["OTELCOL_FILE"]
    for times in (1, 2):  # delivered again: the verdict is the same
        deliver(collector, found)
        assert eventually(lambda times=times: Path(file).read_text().count(found["spanId"]) == times)
    assert main(["explain", file, "--failed"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"caused by {cause}" in text
    assert text.count(f"; api {OUTCOMES[status].value}.") == 1


def test_an_agent_sends_the_spans_to_the_gateway_of_their_trace(otelcol, tmp_path):
    """It counts them, and the gateways do not count them again."""
    with ExitStack() as stack:
        ends = [stack.enter_context(backends.backend()) for _ in range(2)]
        settings = {**NO_HEALTHY, "OTELCOL_DECISION_WAIT": "2s"}
        gateways = [
            stack.enter_context(
                running(otelcol, tmp_path / f"gateway-{n}", GATEWAY, OVERLAY, **settings, **end.settings)
            )
            for n, end in enumerate(ends)
        ]
        names = ", ".join(f'"{HOST}:{gateway.grpc}"' for gateway in gateways)
        static = tmp_path / "static.yaml"
        static.write_text(
            f"exporters: {{load_balancing: {{resolver: {{dns: null, static: {{hostnames: [{names}]}}}}}}}}\n"
        )
        where = {"OTELCOL_GATEWAY_HOST": HOST, "OTELCOL_GATEWAY_PORT": str(gateways[0].grpc), "OTELCOL_RETRY_MAX": "1s"}
        agent = stack.enter_context(running(otelcol, tmp_path / "agent", AGENT, static, OVERLAY, **where))
        streams = [sending.span("POST /answer", **ABORTED) for _ in range(20)]
        sending.send(agent.url, "traces", sending.traces(*streams))
        assert eventually(lambda: sum(len(end.spans()) for end in ends) == 20)
        assert eventually(lambda: sum(gateway.metric(SAMPLED, sampled="true") for gateway in gateways) == 20)
        sent = [request(trace=stream["traceId"]) for stream in streams]
        deliver(agent, *sent)
        assert eventually(lambda: sum(len(end.spans()) for end in ends) == 40)
        by_trace = [{span["traceId"] for span in end.spans()} for end in ends]
        assert not by_trace[0] & by_trace[1]
        assert min(map(len, by_trace)) >= 2
        assert eventually(lambda: totals(ends) == [20.0])


SAMPLED = "otelcol_processor_tail_sampling_global_count_traces_sampled"


def totals(ends):
    """The counts of requests that arrived at backends, the last one of each series."""
    found = {}
    for end in ends:
        for name, point in end.points():
            if name == "claude.api.requests":
                found[json.dumps(point["attributes"], sort_keys=True)] = float(
                    point.get("asInt", point.get("asDouble"))
                )
    return list(found.values())


def test_the_overlay_masks_credentials_by_the_pattern_of_the_gateway():
    ours = loaded(OVERLAY)["processors"]["redaction/api"]
    assert ours == loaded(GATEWAY)["processors"]["redaction/secrets"]


def test_the_overlay_extends_the_list_of_extensions():
    """A list of an overlay replaces that of its base."""
    for base in (GATEWAY, AGENT):
        extensions = loaded(base)["service"]["extensions"]
        assert loaded(OVERLAY)["service"]["extensions"] == [*extensions, "bearertokenauth/api"]


def test_the_list_of_attributes_has_no_content_key():
    (pattern,) = re.findall(r'keep_matching_keys\(span\.attributes, "(.*?)"\)', OVERLAY.read_text())
    allowed = re.compile(pattern.replace("\\\\", "\\"))
    assert [key for key in CONTENT_KEYS if allowed.search(key)] == []
    assert all(allowed.search(key) for key in KEPT_BY_NAME)
