"""A check of a release lists what a tag still needs. A final one fails then."""

from __future__ import annotations

import importlib.util
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from tests.support.paths import ROOT

if sys.version_info < (3, 11):
    pytest.skip("the script needs Python 3.11", allow_module_level=True)

SPEC = importlib.util.spec_from_file_location("release_check", ROOT / "tools" / "release_check.py")
release_check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release_check)

REPOSITORY = "https://git.example/team/otel-claude-stream"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that lacks nothing, in its repository on GitHub."""
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "team/otel-claude-stream")
    version = tmp_path / "src" / "otel_claude_stream" / "version.py"
    version.parent.mkdir(parents=True)
    version.write_text('__version__ = "1.2.3"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.3] - 2026-11-28\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nSource = "{REPOSITORY}"\n', encoding="utf-8")
    return tmp_path


@pytest.fixture
def site():
    """A server with a page of this project at `/ours`, another page at `/other`, and nothing else."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            body = {"/ours": b"<title>otel-claude-stream</title>", "/other": b"<title>parked</title>"}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_project_that_lacks_nothing(project):
    assert list(release_check.missing_for_tag("1.2.3", ask=False)) == []


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (("CHANGELOG.md", "2026-11-28", "soon"), "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'"),
        (("pyproject.toml", "Source", "Homepage"), "pyproject.toml has no Source in [project.urls]: add the address"),
        (
            ("pyproject.toml", "team", "them"),
            f"pyproject.toml names {REPOSITORY.replace('team', 'them')} as Source, but",
        ),
    ],
    ids=["no date", "no source", "another source"],
)
def test_what_is_missing_fails_a_final_check(project, capsys, monkeypatch, change, missing):
    file, before, after = change
    path = project / file
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    (found,) = release_check.missing_for_tag("1.2.3", ask=False)
    assert found.startswith(missing)
    monkeypatch.setattr(release_check, "failure_of", lambda _: "")
    assert release_check.main(["--final"]) == 1
    assert f"1.2.3 cannot be released:\n  {missing}" in capsys.readouterr().err


def test_addresses_that_are_not_those_of_the_project(site):
    assert release_check.failure_of(f"{site}/ours") == ""
    assert release_check.failure_of(f"{site}/other") == f"{site}/other does not name otel-claude-stream"
    assert release_check.failure_of(f"{site}/none").startswith(f"{site}/none does not answer: HTTP Error 404")
    assert "does not answer" in release_check.failure_of("http://127.0.0.1:9/")
    assert "does not answer" in release_check.failure_of("none")


def test_a_final_check_asks_each_address(project, site):
    text = f'[project.urls]\nSource = "{REPOSITORY}"\nDocumentation = "{site}/other"\n'
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    source, documentation = release_check.missing_for_tag("1.2.3", ask=True)
    assert source.startswith(f"Source: {REPOSITORY} does not answer")
    assert documentation == f"Documentation: {site}/other does not name otel-claude-stream"
