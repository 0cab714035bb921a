"""`python -m dashboards.live` serves the page and the dashboards, and ends with everything that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.perses_json import path
from dashboards.live.server import address, serving
from tests.dashboards.build_jaeger import JAEGER
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt


@pytest.fixture
def site(tmp_path):
    """The URL of the server, with a page of one file."""
    (tmp_path / "index.html").write_text("the page", encoding="utf-8")
    with serving(tmp_path, "http://127.0.0.1:9090", address(BOARDS[0], 10, 20, job="a/b")) as url:
        yield url


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.url, answer.read().decode()


def test_the_page_is_served_under_the_path_of_each_dashboard(site):
    assert {fetch(f"{site}{path(board)}?var-job=x")[1] for board in BOARDS} == {"the page"}


def test_the_dashboards_are_served_as_committed(site):
    for folder in ("grafana", "perses"):
        text = (ROOT / folder / "pipeline.json").read_text(encoding="utf-8")
        assert fetch(f"{site}/{folder}/pipeline.json")[1] == text


def test_settings_name_prometheus_and_all_dashboards(site):
    settings = json.loads(fetch(f"{site}/settings.json")[1])
    assert settings["prometheus"] == "http://127.0.0.1:9090"
    assert [board["file"] for board in settings["boards"]] == [board.file for board in BOARDS]


def test_the_root_leads_to_the_first_dashboard_with_times_and_variables(site):
    url, text = fetch(site)
    assert url == f"{site}{path(BOARDS[0])}?start=10000&end=20000&var-job=a%2Fb"
    assert text == "the page"


@pytest.mark.parametrize(
    "name", ["/README.md", "/generator/model.py", "/grafana/../README.md", "/perses/%2e%2e/README.md"]
)
def test_other_files_of_the_repository_are_not_served(site, name):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(site + name)


def test_the_schema_of_perses_types_is_up_to_date():
    """Compares the committed schema with the one that the build of the page makes."""
    try:
        made = PAGE.find() / "schema.json"
    except NotBuilt as error:
        pytest.skip(str(error))
    committed = Path(__file__).with_name("perses_schema.json")
    assert json.loads(made.read_text(encoding="utf-8")) == json.loads(committed.read_text(encoding="utf-8"))


def running_children(process):
    """Return the processes below one."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def is_built(build):
    """Return whether a build exists."""
    try:
        return bool(build.find())
    except NotBuilt:
        return False


def test_help_starts_nothing():
    command = [sys.executable, "-m", "dashboards.live", "--help"]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("usage: python -m dashboards.live")
    assert done.stderr == ""


def test_ctrl_c_ends_the_server_and_its_programs(promtool, require_tool):
    """Starts Prometheus and, if it is built, Jaeger with the traces of the demo."""
    require_tool("pgrep", "procps")
    try:
        PAGE.find()
    except NotBuilt as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "dashboards.live"]
    with subprocess.Popen(command, cwd=ROOT.parent, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        children = running_children(process)
        url = line.split()[1]
        assert fetch(url)[0].startswith(f"{url}projects/")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert len(children) == 1 + is_built(JAEGER)
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
