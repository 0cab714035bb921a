"""A real Prometheus with the data of the scenarios that the tests of the dashboards use."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.dashboards.build_prometheus import find_existing
from tests.support.dashboards.cached_builds import NotBuilt, find_tool
from tests.support.dashboards.prometheus_server import Prometheus, running
from tests.support.dashboards.scenarios import START
from tests.support.dashboards.tsdb_blocks import write_blocks

SCENARIOS: Final = frozenset({"alb", "buffering", "guarded", "incident", "recovered"})
END: Final = START + 3 * 3600
"""The end of these scenarios."""


def find_prometheus() -> Path:
    """Return Prometheus 3 if it is built, else Debian's Prometheus. Raises `NotBuilt` without one."""
    try:
        return find_existing()
    except NotBuilt:
        return Path(find_tool("prometheus"))


@contextmanager
def scenario_prometheus() -> Iterator[Prometheus]:
    """Play the scenarios and run Prometheus over their blocks until the end of the `with` block."""
    promtool, program = find_tool("promtool"), find_prometheus()

    def run(*arguments: str | Path) -> str:
        command = [promtool, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with tempfile.TemporaryDirectory(prefix="claude-stream-dashboards-") as folder:
        write_blocks(Path(folder), run, SCENARIOS)
        with running(program, Path(folder)) as prometheus:
            yield prometheus
