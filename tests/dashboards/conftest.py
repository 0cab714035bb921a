"""Fixtures for Prometheus, promtool and the committed rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards.generator.command import ROOT
from dashboards.live.browser import ARGUMENTS, INITIAL_SCRIPT, MILLISECONDS, WINDOW
from dashboards.live.server import serving
from tests.dashboards import build_perses_model, build_prometheus
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt
from tests.support.dashboards.perses_page import RECORD_TEXTS, Site
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


@pytest.fixture(scope="module")
def browser(require_tool) -> Iterator[Any]:
    """Chromium for the page, one for each module. Skips without playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = require_tool("chromium", "chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(chromium), args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def page_of_perses() -> Path:
    """Folder of the built page. Skips if it has not been built."""
    try:
        return PAGE.find()
    except NotBuilt as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site_of_scenarios(browser, page_of_perses, prometheus) -> Iterator[tuple[str, Any]]:
    """URL of the page over the scenarios, and the browser's context, whose cache keeps the scripts of the page."""
    with serving(page_of_perses, prometheus.url, "/") as url:
        context = browser.new_context(viewport=WINDOW, timezone_id="UTC")
        context.add_init_script(INITIAL_SCRIPT)
        context.add_init_script(RECORD_TEXTS)
        context.set_default_timeout(MILLISECONDS)
        yield url, context
        context.close()


@pytest.fixture
def site(site_of_scenarios) -> Iterator[Site]:
    """The page over the scenarios, with all windows closed at the end of the test."""
    found = Site(*site_of_scenarios)
    yield found
    found.close()
