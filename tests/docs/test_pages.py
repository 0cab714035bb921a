"""The links of pages lead to files of the repository, and the pages about the design name files that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "otel_claude_stream"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [ROOT / "docs" / "architecture.md", *sorted(DECISIONS.glob("*.md"))]
IGNORED = [
    line.rstrip("/")
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
SEARCHED = ("src", "tests", "tools", "docs", "dashboards", "collector")

CODE_SPAN = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?<![\w/.-])[\w-]+(?:/[\w.-]+)*\.(?:py|md|toml|ya?ml)(?![\w/])")
FOLDER = re.compile(r"(?:_\w+|tests|tools|docs|dashboards|collector|testing|cli)(?:/\w+)*/?")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def files_named_in(page: str) -> set[str]:
    """The paths of files in code spans and code blocks."""
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    rest = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {path for part in (*blocks, *CODE_SPAN.findall(rest)) for path in FILE.findall(part)}


def folders_named_in(page: str) -> set[str]:
    """The paths of folders in code spans, as far as they have a slash."""
    spans = CODE_SPAN.findall(re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    return {span for span in spans if FOLDER.fullmatch(span) and "/" in span}


def exists(path: str) -> bool:
    """Whether a path exists at the root or in the package; a name without a folder may be anywhere."""
    if (ROOT / path).exists() or (PACKAGE / path).exists():
        return True
    return "/" not in path and any(next((ROOT / folder).rglob(path), None) for folder in SEARCHED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = files_named_in(text) | folders_named_in(text)
    assert sorted(path for path in named if not exists(path)) == []


def ignored(path: Path) -> bool:
    """Whether git ignores a path below the root, or a folder above it."""
    parts = path.relative_to(ROOT).parts
    paths = {"/" + "/".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return any(fnmatch(name, pattern) for pattern in IGNORED for name in (*parts, *paths))


def pages_in(folder: Path) -> Iterator[Path]:
    """Yield the pages of the repository in a folder."""
    for path in folder.iterdir():
        if path.name == ".git" or ignored(path):
            continue
        if path.is_dir():
            yield from pages_in(path)
        elif path.suffix == ".md":
            yield path


def broken_links_in(text: str, folder: Path) -> list[str]:
    """The relative links of a page in a folder whose targets are missing, or are made by a build."""
    targets = {target: (folder / target).resolve() for target in LINK.findall(text)}
    return [target for target, path in targets.items() if not path.exists() or ignored(path)]


def test_links_lead_to_files_of_the_repository() -> None:
    pages = list(pages_in(ROOT))
    broken = {page: broken_links_in(page.read_text(encoding="utf-8"), page.parent) for page in pages}
    assert len(pages) > 50
    assert {page: links for page, links in broken.items() if links} == {}


@pytest.mark.parametrize("target", ["_pages", "_pages/collector.md", "../build/docs/index.html", "none.md"])
def test_a_link_to_what_a_build_makes_is_broken(target) -> None:
    assert broken_links_in(f"[a page]({target}#part)", ROOT / "docs") == [target]


@pytest.mark.parametrize("page", ["benchmarks.md", "concepts/cost.md", "operate/capacity.md"])
def test_pages_repeat_the_measured_memory_of_an_open_stream(page: str) -> None:
    measured = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))["bytes of an open stream"]
    found = re.findall(r"open stream\b[^.]*? ([\d.]+) kB", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert found == [f"{measured / 1000:.1f}"]


def test_the_index_lists_every_record_under_its_title() -> None:
    listed = re.findall(
        r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \|$", (DECISIONS / "README.md").read_text("utf-8"), re.MULTILINE
    )
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    titles = [path.read_text("utf-8").splitlines()[0] for path in records]
    assert [(path, f"# {number}. {title}") for number, path, title in listed] == [
        (path.name, title) for path, title in zip(records, titles, strict=True)
    ]
    assert [number for number, _, _ in listed] == [f"{n:04}" for n in range(1, len(records) + 1)]
