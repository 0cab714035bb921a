"""The logs of a real nginx and a real HAProxy meet the spans of the streams that these cut."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.collector import sending
from tests.support.collector.application import application
from tests.support.collector.exposition import sorted_samples
from tests.support.collector.running import FILES, GATEWAY, PROMETHEUS, QUICK, eventually
from tests.support.proxies import servers
from tests.support.proxies.cases import LIMITS, SCRIPTS

from otel_claude_stream import StreamConfig
from otel_claude_stream.testing import FakeAPI

pytestmark = [pytest.mark.slow, pytest.mark.proxy]

OVERLAY = FILES / "proxy-logs.yaml"
NGINX_LOGS = 'access_log "{folder}/access.log" claude;\n'
CASES = {
    "nginx": {
        "stall": ("upstream_timed_out", "streaming", "idle:2s"),
        "slow_head": ("upstream_timed_out", "awaiting_response", "idle:2s"),
        "up_fin": ("upstream_closed", "streaming", "none"),
        "healthy": (None, None, None),
    },
    "haproxy": {
        "stall": ("upstream_timed_out", "streaming", "idle:2s"),
        "slow_head": ("upstream_timed_out", "awaiting_response", "idle:2s"),
        "up_fin": ("upstream_closed", "streaming", "none"),
        "healthy": (None, None, None),
    },
}
"""By script of the upstream, the cause and phase in the log of the proxy, and `limit_match` of the client."""


def snippet(name):
    """A log format of `collector/`, escaped for a template."""
    return (FILES / name).read_text().replace("{", "{{").replace("}", "}}")


@pytest.fixture
def logging(monkeypatch):
    """Give the proxies of `tests/proxies` the log formats of `collector/`."""
    nginx = servers.NGINX.replace("access_log off;", snippet("nginx-log-format.conf") + NGINX_LOGS)
    haproxy = servers.HAPROXY.replace("global\n", "global\n    log stdout len 2048 format raw local0\n")
    haproxy = haproxy.replace("frontend lab\n", "frontend lab\n" + snippet("haproxy-log-format.cfg"))
    monkeypatch.setattr(servers, "NGINX", nginx)
    monkeypatch.setattr(servers, "HAPROXY", haproxy)


def by_request(logs, name):
    """Attributes of the lines that have a certain attribute, by its value."""
    found = [sending.plain(line.get("attributes", ())) for line in logs]
    return {one[name]: one for one in found if one.get(name)}


def test_spans_and_proxy_logs_meet_by_request_id(start, backend, require_tool, logging, tmp_path):
    """A line of nginx's error log has no request id, and meets its access line by the connection."""
    makers = {"nginx": servers.nginx, "haproxy": servers.haproxy}
    programs = {name: require_tool(name, name) for name in makers}
    with ExitStack() as stack:
        api = stack.enter_context(FakeAPI(SCRIPTS))
        closed = stack.enter_context(servers.closed_port())
        folders, proxies = {}, {}
        for name, make in makers.items():
            folders[name] = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tmp_path))
            proxies[name] = stack.enter_context(make(programs[name], folders[name], api.port, closed))
        collector = start(
            GATEWAY,
            PROMETHEUS,
            OVERLAY,
            **QUICK,
            OTELCOL_PROXY_LOGS_FROM="beginning",
            OTELCOL_NGINX_ACCESS_LOG=str(folders["nginx"] / "access.log"),
            OTELCOL_NGINX_ERROR_LOG=str(folders["nginx"] / "error.log"),
            OTELCOL_HAPROXY_LOG=str(folders["haproxy"] / "output.log"),
        )
        app = stack.enter_context(application(collector.url, StreamConfig(known_limits=LIMITS)))
        calls = [(proxy, script) for proxy, scripts in CASES.items() for script in scripts]
        play(app, [(f"{proxies[proxy].url}/plain/s/{script}", f"{proxy} {script}") for proxy, script in calls])
        app.stream(f"{proxies['nginx'].url}/down/s/healthy", "nginx down")
        app.stream(f"{proxies['haproxy'].url}/down/s/healthy", "haproxy down")
        app.flush()

        counted = "proxy_stream_aborts_total"
        wanted = {
            ("nginx", "upstream_timed_out", "streaming"): 1.0,
            ("nginx", "upstream_timed_out", "awaiting_response"): 1.0,
            ("nginx", "upstream_closed", "streaming"): 1.0,
            ("nginx", "upstream_refused", "connecting"): 1.0,
            ("haproxy", "upstream_timed_out", "streaming"): 1.0,
            ("haproxy", "upstream_timed_out", "awaiting_response"): 1.0,
            ("haproxy", "upstream_closed", "streaming"): 1.0,
            ("haproxy", "upstream_refused", "connecting"): 1.0,
        }

        def counts(name, *keys):
            return {tuple(found[key] for key in keys): amount for found, amount in sorted_samples(collector, name)}

        keys = ("proxy_product", "proxy_cause", "proxy_phase")
        eventually(lambda: counts(counted, *keys) == wanted)
        assert counts(counted, *keys) == wanted, collector.output()[-3000:]
        assert counts("proxy_answers_total", "proxy_product", "http_response_status_code") == {
            ("nginx", "504"): 1.0,
            ("nginx", "502"): 1.0,
            ("haproxy", "504"): 1.0,
            ("haproxy", "503"): 1.0,
        }
        assert eventually(lambda: len(client_spans(backend)) == len(calls) + 2)
        eventually(lambda: len(by_request(backend.logs(), "claude.stream.request_id")) >= 6)

    lines = by_request(backend.logs(), "claude.stream.request_id")
    errors = [sending.plain(one.get("attributes", ())) for one in backend.logs()]
    for proxy, script in calls:
        cause, phase, limit = CASES[proxy][script]
        span = client_spans(backend)[f"{proxy} {script}"]
        assert span.get("claude.stream.abort.limit_match") == limit, (proxy, script)
        if script == "slow_head":
            assert "claude.stream.request_id" not in span
            continue
        line = lines[span["claude.stream.request_id"]]
        assert line["proxy.product"] == proxy
        assert line["http.response.status_code"] == "200"  # whatever happened later
        if proxy == "nginx" and cause:
            (line,) = [
                one
                for one in errors
                if one.get("proxy.connection") == line["proxy.connection"] and "proxy.cause" in one
            ]
        assert (line.get("proxy.cause"), line.get("proxy.phase")) == (cause, phase), (proxy, script)


def play(app, calls):
    """Make all calls at once, as each waits for a time-out."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(lambda call: app.stream(*call), calls))


def client_spans(backend):
    """Attributes of the spans of streams by model, which names the case here."""
    spans = [sending.plain(span["attributes"]) for span in backend.spans()]
    return {span["gen_ai.request.model"]: span for span in spans if "claude.stream.outcome" in span}


LINES = Path(__file__).with_name("lines")
"""A file of log lines for each receiver, with some that no proxy writes."""
NAMES = ("nginx_access", "nginx_error", "haproxy")
WANTED = {
    ("nginx", "client_closed", "awaiting_response"),
    ("nginx", "upstream_timed_out", "streaming"),
    ("nginx", "upstream_closed", "awaiting_response"),
    ("nginx", "client_closed", "streaming"),
    ("haproxy", "client_timed_out", "streaming"),
}


def test_each_kind_of_log_line_gets_its_cause_and_phase(start, backend, tmp_path):
    """A `traceparent` gives the trace id. A line that cannot be parsed passes unchanged."""
    lines = {name: (LINES / f"{name}.log").read_bytes() + b"\x00\xff garbage\n" for name in NAMES}
    for name, text in lines.items():
        (tmp_path / name).write_bytes(text)
    logs = {f"OTELCOL_{name.upper()}_LOG": str(tmp_path / name) for name in NAMES}
    start(GATEWAY, OVERLAY, **QUICK, OTELCOL_PROXY_LOGS_FROM="beginning", **logs)
    count = sum(bool(line) for text in lines.values() for line in text.split(b"\n"))
    assert eventually(lambda: len(backend.logs()) == count), len(backend.logs())
    found = [sending.plain(line["attributes"]) for line in backend.logs()]
    causes = {(one["proxy.product"], one["proxy.cause"], one["proxy.phase"]) for one in found if "proxy.cause" in one}
    assert causes == WANTED
    (traced,) = [line for line in backend.logs() if line.get("traceId")]
    assert (traced["traceId"], traced["spanId"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert {one["claude.stream.request_id"] for one in found if "claude.stream.request_id" in one} == {"req_1", "req_2"}


def test_cuts_of_the_same_second_are_all_counted(start, backend, tmp_path):
    """nginx's error log has whole seconds, and a line may arrive after a later one."""
    log = tmp_path / "error.log"
    log.write_text("")
    collector = start(
        GATEWAY, PROMETHEUS, OVERLAY, **QUICK, OTELCOL_NGINX_ERROR_LOG=str(log), OTELCOL_PROXY_LOGS_FROM="beginning"
    )
    line = (LINES / "nginx_error.log").read_text().splitlines(keepends=True)[0]
    for number in range(5):
        with log.open("a") as file:
            file.write(line)
        assert eventually(lambda: len(backend.logs()) == number + 1)  # noqa: B023 - called at once
    assert eventually(lambda: [amount for _, amount in sorted_samples(collector, "proxy_stream_aborts_total")] == [5.0])


def test_a_restart_reads_each_line_once(start, backend, tmp_path):
    """The position in the file is kept with the queue, so lines written meanwhile are read."""
    (line,) = (line for line in (LINES / "haproxy.log").read_text().splitlines(keepends=True) if "req_2" in line)
    log = tmp_path / "haproxy.log"
    log.write_text("")
    collector = start(GATEWAY, OVERLAY, **QUICK, OTELCOL_HAPROXY_LOG=str(log), OTELCOL_PROXY_LOGS_FROM="beginning")

    def write(first, last):
        with log.open("a") as file:
            file.writelines(line.replace("req_2", f"req_{n}") for n in range(first, last))

    def arrived():
        return sorted(
            int(sending.plain(line["attributes"])["claude.stream.request_id"].removeprefix("req_"))
            for line in backend.logs()
        )

    write(0, 50)
    assert eventually(lambda: arrived() == list(range(50)))
    assert collector.stop() == 0
    write(50, 80)
    collector.start()
    write(80, 100)
    assert eventually(lambda: len(arrived()) >= 100)
    assert arrived() == list(range(100))
