"""The contents of the built wheel and its metadata."""

from __future__ import annotations

import email
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.message import Message
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version
from trove_classifiers import classifiers, deprecated_classifiers

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "otel_claude_stream"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in `WHEEL_UNDER_TEST`, or one that is built now."""
    path = os.environ.get("WHEEL_UNDER_TEST")
    if path:
        return Path(path)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def archive(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as opened:
        yield opened


def dist_info(archive: zipfile.ZipFile, name: str) -> str:
    (found,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
    return archive.read(found).decode()


@pytest.fixture(scope="module")
def metadata(archive: zipfile.ZipFile) -> Message:
    return email.message_from_string(dist_info(archive, "METADATA"))


def extra(metadata: Message, name: str) -> set[str]:
    """Return the requirements of an extra, normalised and without their marker."""
    found = set()
    for text in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.marker and requirement.marker.evaluate({"extra": name}):
            requirement.marker = None
            found.add(str(requirement))
    return found


def test_wheel_is_pure_and_named_for_its_version(wheel: Path):
    """It works with any interpreter on any platform."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    assert (name, version, {str(tag) for tag in tags}) == (
        "otel-claude-stream",
        Version(importlib.import_module(f"{PACKAGE}.version").__version__),
        {"py3-none-any"},
    )


def test_wheel_contains_only_the_package(archive: zipfile.ZipFile):
    tops = {path.split("/")[0] for path in archive.namelist()}
    assert tops - {PACKAGE} == {top for top in tops if top.endswith(".dist-info")}
    assert not [path for path in archive.namelist() if "/tests/" in path or path.endswith((".pyc", ".sse"))]


def test_wheel_contains_every_module_of_the_sources(archive: zipfile.ZipFile):
    """A file that the build omits would fail at run time only."""
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / PACKAGE).rglob("*.py")}
    assert sources <= set(archive.namelist())


def test_wheel_contains_the_built_page_without_its_sources(archive: zipfile.ZipFile):
    assert f"{PACKAGE}/cli/view/report.html" in archive.namelist()
    assert not [path for path in archive.namelist() if "/web/" in path or path.endswith((".ts", ".tsx", ".mjs"))]


def test_wheel_contains_the_marker_for_types(archive: zipfile.ZipFile):
    """Without `py.typed` (PEP 561), type checkers ignore the annotations."""
    assert f"{PACKAGE}/py.typed" in archive.namelist()


def test_wheel_runs_nothing_at_interpreter_start(archive: zipfile.ZipFile):
    """A `.pth` file (from Python 3.15 on a `.start` file) would run in every process of the environment."""
    assert not [path for path in archive.namelist() if path.endswith((".pth", ".start"))]


def test_wheel_registers_the_instrumentor_and_the_command(archive: zipfile.ZipFile):
    """OpenTelemetry's auto-instrumentation and the shell look for these names."""
    parser = ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep case
    parser.read_string(dist_info(archive, "entry_points.txt"))
    assert {section: dict(parser[section]) for section in parser.sections()} == {
        "console_scripts": {"otel-claude-stream": f"{PACKAGE}.__main__:main"},
        "opentelemetry_instrumentor": {"claude_stream": f"{PACKAGE}:ClaudeStreamInstrumentor"},
        "pytest11": {"claude_stream": f"{PACKAGE}.pytest_plugin"},
    }


def test_entry_points_can_be_loaded():
    """Auto-instrumentation skips an entry point that cannot be loaded."""
    points = importlib.metadata.distribution("otel-claude-stream").entry_points
    assert sorted((point.group, point.name, bool(point.load())) for point in points) == [
        ("console_scripts", "otel-claude-stream", True),
        ("opentelemetry_instrumentor", "claude_stream", True),
        ("pytest11", "claude_stream", True),
    ]


def test_metadata_is_valid(archive: zipfile.ZipFile):
    """The rules are those of the core metadata specification, which the index applies."""
    metadata = Metadata.from_email(dist_info(archive, "METADATA"), validate=True)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert str(metadata.requires_python) == ">=3.10"
    assert metadata.description_content_type == "text/markdown"


def test_the_description_links_and_shows_nothing_that_the_index_lacks(metadata: Message):
    """A relative link or image of the README leads nowhere on the package index. Links to pages lead to the site."""
    description = str(metadata.get_payload())
    site = dict(text.split(", ") for text in metadata.get_all("Project-URL", []))["Documentation"]
    assert "# otel-claude-stream" in description
    assert f"[switch it on]({site}en/latest/how-to/switch-on.html)." in description
    assert f"[Frameworks]({site}en/latest/frameworks.html#not-seen)" in description
    assert {link for link in re.findall(r"\]\(([^)]*)", description) if not link.startswith(site)} == set()


def test_the_examples_quote_the_current_version():
    version = importlib.import_module(f"{PACKAGE}.version").__version__
    quoted = {
        (path.name, found)
        for path in (ROOT / "examples").rglob("*")
        if path.is_file()
        for found in re.findall(r"\b\d+\.\d+\.\d+(?:b|rc)\d+\b", path.read_text(encoding="utf-8"))
    }
    assert quoted == {("Dockerfile", version), ("instrumentation.yaml", version)}


def test_classifiers_exist(metadata: Message):
    """The index rejects an upload with an unknown classifier."""
    assert set(metadata.get_all("Classifier", [])) <= classifiers - set(deprecated_classifiers)


def test_no_dependency_is_pinned(metadata: Message):
    """A library with pinned dependencies conflicts with others."""
    pinned = [text for text in metadata.get_all("Requires-Dist", []) if "==" in text.split(";")[0]]
    assert pinned == []


def test_the_extra_instruments_equals_the_dependencies_of_the_instrumentor(metadata: Message):
    """Auto-instrumentation reads the extra, `instrument()` the class."""
    instrumentor = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="claude_stream")
    (point,) = instrumentor
    required = {str(Requirement(text)) for text in point.load()().instrumentation_dependencies()}
    assert extra(metadata, "instruments") == required


def test_the_extra_all_is_every_optional_feature(metadata: Message):
    """It does not include the SDK, which the user has installed already."""
    optional = set(metadata.get_all("Provides-Extra", [])) - {"all", "instruments"}
    assert optional == {"cli", "otlp", "policy"}
    assert extra(metadata, "all") == set.union(*(extra(metadata, name) for name in optional))


def test_the_suite_runs_against_the_installed_package():
    """Unless the installation is editable, the package is beside its metadata, not elsewhere on the path."""
    distribution = importlib.metadata.distribution("otel-claude-stream")
    if '"editable": true' in (distribution.read_text("direct_url.json") or "").replace('":true', '": true'):
        pytest.skip("an editable installation runs from the sources by design")
    package = importlib.import_module(PACKAGE)
    assert Path(str(package.__file__)).resolve().parent == Path(str(distribution.locate_file(PACKAGE))).resolve()
