"""Cuts without any notice: a router stops forwarding, and neither end is informed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from tests.support.paths import ROOT
from tests.support.proxies.calls import MODES
from tests.support.proxies.namespaces import SERVER, NotAllowed, network

pytestmark = [pytest.mark.network_namespace, pytest.mark.slow]

SECONDS = 40.0


@dataclass(frozen=True)
class Case:
    """A call and its expected span. If ``late``, the call begins when the path is already dead."""

    name: str
    script: str
    timeout: dict[str, float]
    expected: dict[str, object]
    codes: tuple[str, ...]
    keepalive: bool = False
    late: bool = False


PATIENT = {"connect": 30.0, "read": 30.0, "write": 30.0, "pool": 30.0}
SHORT_READ = {**PATIENT, "read": 1.0}
SHORT_CONNECT = {**PATIENT, "connect": 1.0}
NONE = {"outcome": "failed", "abort.limit_match": "none"}
CASES = (
    Case(
        "read time-out mid-stream",
        "stall",
        SHORT_READ,
        {
            **NONE,
            "phase": "streaming",
            "abort.reason": "silent",
            "abort.origin": "client",
            "abort.also_possible": ["connection_closed"],
        },
        ("HANG",),
    ),
    Case(
        "keep-alive mid-stream",
        "stall",
        PATIENT,
        {
            **NONE,
            "phase": "streaming",
            "abort.reason": "silent",
            "abort.origin": "network",
            "abort.errno": 110,
            "abort.also_possible": None,
        },
        ("HANG", "RST"),  # sync raises ReadTimeout and async ReadError, with the same errno
        keepalive=True,
    ),
    Case(
        "read time-out before the headers",
        "slow_head",
        SHORT_READ,
        {**NONE, "phase": "awaiting_response", "abort.reason": "response_timeout", "abort.origin": "client"},
        ("HANG0",),
    ),
    Case(
        "dead before the call",
        "healthy",
        SHORT_CONNECT,
        {**NONE, "phase": "connecting", "abort.reason": "connect_failed", "abort.origin": "network"},
        ("HANG0",),
        late=True,
    ),
)

EARLY = len(MODES) * sum(not case.late for case in CASES)
"""The number of streams that are open when the path dies."""


@pytest.fixture(scope="module")
def results(require_tool):
    """Return the result of each case by its name and mode."""
    ip = require_tool("ip", "iproute2")
    try:
        with network(ip) as net, child(net.command(net.server), "dropped_server", str(EARLY)) as server:
            port = server.stdout.readline().strip()
            with child(net.command(net.client), "dropped_client") as client:
                client.stdin.write(json.dumps(jobs(port)) + "\n")
                client.stdin.flush()
                assert server.stdout.readline() == "open\n", server.stderr.read()
                net.forward(on=False)
                output, errors = client.communicate("dropped\n", timeout=SECONDS)
                assert client.returncode == 0, errors
                return json.loads(output)
    except NotAllowed as reason:
        pytest.skip(f"no network namespace: {reason}")


def jobs(port):
    return [
        {
            "name": f"{case.name}/{mode}",
            "mode": mode,
            "url": f"http://{SERVER}:{port}/s/{case.script}",
            "timeout": case.timeout,
            "keepalive": case.keepalive,
            "late": case.late,
        }
        for case in CASES
        for mode in MODES
    ]


@contextmanager
def child(prefix, module, *arguments):
    """Run a module of this folder as a process in a namespace, and kill it at the end."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", f"tests.proxies.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_span_reports_a_dead_path(case, mode, results):
    """As a silence, by the time-out of the client or of the kernel."""
    result = results[f"{case.name}/{mode}"]
    found = {name: result["attributes"].get(f"claude.stream.{name}") for name in case.expected}
    assert found == case.expected
    assert result["codes"] in case.codes
