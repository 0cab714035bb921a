"""The faults of the demo, streamed from Python, Node and Go, as the metrics of each source show them."""

from __future__ import annotations

import json
import os

import pytest
from tests.dashboards import build_prometheus
from tests.support.collector.go_sdk import APPLICATION
from tests.support.collector.node_sdk import PACKAGES
from tests.support.collector.running import FILES, GATEWAY, QUICK
from tests.support.collector.sources import play, settled
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.prometheus_server import running
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

TABLE = ROOT / "docs" / "reference" / "sources.json"
FOUND = ROOT / "build" / "sources.json"


def required(find):
    """Return what `find` finds. If that is not built, the test skips with the reason, or fails with `CI=true`."""
    try:
        return find()
    except NotBuilt as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def test_each_source_sees_the_faults_of_the_demo_as_the_table_states(start, tmp_path):
    """Each stream counts once, from the package where it is installed, otherwise from the SDK's own span."""
    packages, go = required(PACKAGES.find), required(APPLICATION.find)
    program = required(build_prometheus.find_existing)
    wanted = json.loads(TABLE.read_text(encoding="utf-8"))
    (tmp_path / "prometheus").mkdir()
    with running(program, tmp_path / "prometheus", "--web.enable-otlp-receiver") as prometheus:
        endpoint = f"{prometheus.url}/api/v1/otlp/v1/metrics"
        collector = start(GATEWAY, FILES / "sdk-spans.yaml", **QUICK, OTELCOL_METRICS_ENDPOINT=endpoint)
        play(collector.url, packages, go)
        found = settled(prometheus, wanted)
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert found == wanted, f"to accept this, copy {FOUND} to {TABLE}"
