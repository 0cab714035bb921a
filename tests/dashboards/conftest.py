"""Fixtures for Prometheus, promtool and the committed rules."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from dashboards.generator.command import ROOT
from tests.dashboards import build_perses_model, build_prometheus
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.prometheus_server import running
from tests.support.dashboards.tsdb_blocks import ScenarioBlocks, write_blocks


@pytest.fixture(scope="session")
def promtool(require_tool):
    """Path of promtool, from Debian's package `prometheus`."""
    return require_tool("promtool", "prometheus")


@pytest.fixture(scope="session")
def run_promtool(promtool):
    """`run_promtool(*arguments)` runs promtool. If it fails, the error contains its output."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [str(promtool), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"promtool {arguments[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def perses_model():
    """Path of the check with the Go model of Perses. Skips if it has not been built."""
    try:
        return build_perses_model.PERSES_MODEL.find()
    except NotBuilt as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rule_files() -> list[Path]:
    """The committed rule files."""
    return sorted((ROOT / "prometheus").glob("*.yaml"))


@pytest.fixture(scope="session")
def scenario_blocks(tmp_path_factory, run_promtool) -> ScenarioBlocks:
    """The blocks of all scenarios."""
    return write_blocks(tmp_path_factory.mktemp("prometheus"), run_promtool)


@pytest.fixture(scope="session")
def prometheus(require_tool, scenario_blocks):
    """Debian's Prometheus with the blocks of the scenarios."""
    with running(require_tool("prometheus", "prometheus"), scenario_blocks.folder) as found:
        yield found


@pytest.fixture(scope="session")
def prometheus3(scenario_blocks, tmp_path_factory):
    """Prometheus 3 with the same blocks and an OTLP receiver. Skips if it has not been built."""
    try:
        program = build_prometheus.find_existing()
    except NotBuilt as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("prometheus3")
    for block in (scenario_blocks.folder / "data").iterdir():
        if block.is_dir() and (block / "meta.json").exists():
            shutil.copytree(block, folder / "data" / block.name)
    with running(program, folder, "--web.enable-otlp-receiver") as found:
        yield found
