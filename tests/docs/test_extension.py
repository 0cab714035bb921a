"""The build of the documentation leads links between pages to the copies that it makes."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from tests.support.paths import ROOT

pytest.importorskip("sphinx", reason="Sphinx is not installed")


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    """The extension, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "_extensions" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def adapted(extension: ModuleType, link: str, folder: str, place: str) -> str:
    """The link of a page in a folder of the repository, once the page is in its place below `docs/`."""
    text: str = extension.adapted(link, ROOT / folder, ROOT / "docs" / place)
    return text


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("[a](../../collector/README.md)", "[a](../_pages/collector.md)"),
        ("[a](../../collector/)", "[a](../_pages/collector.md)"),
        ("[a](../../dashboards/RUNBOOK.md#who-ended-a-stream)", "[a](../_pages/runbook.md#who-ended-a-stream)"),
        ("[a](../../CHANGELOG.md)", "[a](../_pages/changelog.md)"),
        ("[a](switch-on.md#the-code)", "[a](switch-on.md#the-code)"),
        ("[a](../index.md)", "[a](../index.md)"),
        ("[a](#here), [b](https://example.com/README.md)", "[a](#here), [b](https://example.com/README.md)"),
        ("`values[0](none)`", "`values[0](none)`"),
    ],
)
def test_a_page_links_to_the_copies(extension, link, led):
    assert adapted(extension, link, "docs/how-to", "how-to") == led


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("[a](kubernetes/)", "a"),
        ("[a](flush.py)", "[a](../../examples/flush.py)"),
        ("[a](../docs/frameworks.md)", "[a](../frameworks.md)"),
        ("[a](../collector/README.md#sizing)", "[a](collector.md#sizing)"),
    ],
)
def test_a_copy_links_to_copies_and_to_the_repository(extension, link, led):
    assert adapted(extension, link, "examples", "_pages") == led


def test_every_page_that_is_copied_exists(extension):
    assert [source for source in extension.PAGES if not (ROOT / source).exists()] == []
