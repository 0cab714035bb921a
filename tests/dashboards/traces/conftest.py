"""A real Jaeger with the traces of the demo, and the requests with which they were sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.dashboards.build_jaeger import JAEGER
from tests.support.dashboards import jaeger_server
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.demo_traces import LINKED, MODES, RESOURCE, SCOPE, Sent
from tests.support.otlp_receiver import JSON, post, receiving

SECONDS = 180.0


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory) -> Iterator[jaeger_server.Jaeger]:
    """Jaeger v2 without traces. Skips if it has not been built."""
    try:
        program = JAEGER.find()
    except NotBuilt as error:
        pytest.skip(str(error))
    with jaeger_server.running(program, tmp_path_factory.mktemp("jaeger")) as found:
        yield found


@pytest.fixture(scope="session")
def sent(jaeger) -> dict[str, Sent]:
    """The telemetry that the demo sent in each mode. Jaeger has received it byte for byte."""
    found = {mode: Sent() for mode in MODES}

    def forward(mode: str, message: Any) -> None:
        status, _, body = post(jaeger.otlp, message.path, message.raw, dict(message.headers))
        assert status == 200, body
        if message.signal == "traces":
            found[mode].documents.append(message.document)

    with ExitStack() as stack:
        demos, errors = [], []
        for mode in MODES:
            receiver, _, reported = stack.enter_context(receiving(lambda message, mode=mode: forward(mode, message)))
            command = [sys.executable, "-m", "otel_claude_stream", "demo", "--mode", mode, "--no-report"]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            demos.append(stack.enter_context(subprocess.Popen([*command, "--otlp", receiver.url], **pipes)))
            stack.callback(demos[-1].kill)
            errors.append(reported)
        outputs = [demo.communicate(timeout=SECONDS)[0] for demo in demos]
    for demo, output, reported in zip(demos, outputs, errors, strict=True):
        assert (demo.returncode, reported) == (0, []), output
        assert "cannot forward" not in output
    return found


@pytest.fixture(scope="session")
def stored(jaeger, sent) -> dict[str, list[dict[str, Any]]]:
    """The traces of the demo as Jaeger returns them, by ID."""
    counts = Counter(span["traceId"] for one in sent.values() for span, _, _ in one.spans)
    return {trace: jaeger_server.read_trace(jaeger, trace, count) for trace, count in counts.items()}


@pytest.fixture(scope="session")
def linked(jaeger) -> tuple[dict[str, Any], ...]:
    """Two spans in Jaeger, of which the first has a link to the second."""
    scopes = [{"scope": SCOPE, "spans": list(LINKED)}]
    request = {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": scopes}]}
    status, _, body = post(jaeger.otlp, "/v1/traces", json.dumps(request).encode(), JSON)
    assert status == 200, body
    return LINKED
