"""Prometheus' tools, from Debian's package, and the generated files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from dashboards.generator.command import ROOT
from tests.dashboards.exposition import Exposition
from tests.dashboards.scenarios import SCENARIOS, Truth, made_up, produce
from tests.dashboards.store import running


@dataclass(frozen=True)
class History:
    """Blocks of samples, and what really happened, by scenario."""

    folder: Path
    truth: dict[str, Truth]


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
    """Every scenario played by the real package, as the blocks of a Prometheus."""
    folder = tmp_path_factory.mktemp("prometheus")
    truth = {}
    for name, week in (("hours", False), ("week", True)):  # a file is read once for each of its blocks
        samples = Exposition()
        for scenario in SCENARIOS:
            if (scenario.hours > 24) is week:
                truth[scenario.job] = produce(scenario, samples)
        if not week:
            made_up(samples)
        path = folder / f"{name}.txt"
        with path.open("w", encoding="utf-8") as file:
            samples.write(file)
        run_promtool(
            "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=336h", path, folder / "data"
        )
        path.unlink()
    return History(folder, truth)


@pytest.fixture(scope="session")
def prometheus(require_tool, history):
    """Debian's Prometheus over the scenarios."""
    with running(require_tool("prometheus", "prometheus"), history.folder) as found:
        yield found
