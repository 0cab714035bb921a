"""Prometheus' tools, from Debian's package, and the generated files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from dashboards.generator.command import ROOT
from tests.dashboards import build_prometheus
from tests.support.dashboards.history import History, make
from tests.support.dashboards.store import running


@pytest.fixture(scope="session")
def promtool(require_tool):
    """Prometheus' tool for rules and blocks."""
    return require_tool("promtool", "prometheus")


@pytest.fixture(scope="session")
def run_promtool(promtool):
    """`run_promtool(*arguments)` runs promtool; what it said is in the error if it failed."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [str(promtool), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"promtool {arguments[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def rule_files() -> list[Path]:
    """The committed rules."""
    return sorted((ROOT / "prometheus").glob("*.yaml"))


@pytest.fixture(scope="session")
def history(tmp_path_factory, run_promtool) -> History:
    """Every scenario, played by the real package."""
    return make(tmp_path_factory.mktemp("prometheus"), run_promtool)


@pytest.fixture(scope="session")
def prometheus(require_tool, history):
    """Debian's Prometheus over the scenarios."""
    with running(require_tool("prometheus", "prometheus"), history.folder) as found:
        yield found


@pytest.fixture(scope="session")
def prometheus3(history, tmp_path_factory):
    """A current Prometheus over the same scenarios, and open for OTLP. Skips where none has been built."""
    try:
        program = build_prometheus.found()
    except build_prometheus.NoPrometheus as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("prometheus3")
    for block in (history.folder / "data").iterdir():
        if block.is_dir() and (block / "meta.json").exists():
            shutil.copytree(block, folder / "data" / block.name)
    with running(program, folder, "--web.enable-otlp-receiver") as found:
        yield found
