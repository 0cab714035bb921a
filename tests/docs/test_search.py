"""The search of the built documentation in Chromium, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.paths import ROOT

pytest.importorskip("sphinx", reason="Sphinx is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory) -> Path:
    """The documentation, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "docs", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "OTEL_CLAUDE_STREAM_STRICT"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def first_page(browser, site):
    """The first page of the site, from a file. The test fails if a page requests anything but a file."""
    context = browser.new_context()
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    yield page
    context.close()
    assert requests
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("kill_switch_file", "retry-policy.html"),
        ("claude.stream.abort.limit_match", "reference/telemetry.html"),
        ("FakeAPI", "reference/test-kit.html"),
        ("proxy_read_timeout", "reference/limits.html"),
        ("gunicorn", "how-to/use-a-framework.html"),
    ],
)
def test_a_search_finds_the_page(first_page, site, words, expected):
    first_page.fill("input[name=q]", words)
    first_page.press("input[name=q]", "Enter")
    links = first_page.locator("#search-results li a")
    links.first.wait_for()
    first_page.wait_for_function("document.querySelector('.search-summary').textContent.includes('found')")
    first_page.locator(f"#search-results li a[href*='{expected}']").first.click()
    assert first_page.url.split("?")[0].split("#")[0] == (site / expected).as_uri()


def test_a_search_for_nothing_of_the_site_finds_nothing(first_page):
    first_page.fill("input[name=q]", "xylophone")
    first_page.press("input[name=q]", "Enter")
    first_page.get_by_text("did not match any documents").wait_for()
    assert first_page.locator("#search-results li").count() == 0
