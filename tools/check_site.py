"""Check the built documentation: titles, texts of pictures, no request to other hosts, and the index of the search.

Sphinx itself fails on links, anchors and references that lead nowhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

LOADED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}
"""The attribute by which an element loads something when the page is opened."""
NOT_LOADED = {"author", "index", "search", "next", "prev", "canonical", "license"}
"""Values of `rel` of a `link` that loads nothing."""


class Page(HTMLParser):
    """The headings, the pictures and the foreign addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings = 0
        self.title = ""
        self.pictures_without_text: list[str] = []
        self.foreign: list[str] = []
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        values = dict(attrs)
        self.headings += tag == "h1"
        self._in_title = tag == "title" and not self.title  # pictures in a page have titles too
        text, picture = (values.get("alt") or "").strip(), values.get("src") or ""
        if tag == "img" and text in ("", picture.lstrip("./")):  # docutils takes the address if there is no text
            self.pictures_without_text.append(picture)
        loads = tag in LOADED and not set((values.get("rel") or "").split()) & NOT_LOADED
        address = values.get(LOADED.get(tag, "")) or ""
        if loads and address.startswith(("http:", "https:", "//")):
            self.foreign.append(address)

    def handle_data(self, data: str) -> None:
        """Record the text of the title."""
        if self._in_title:
            self.title += data
            self._in_title = False


def problems_of(text: str) -> Iterator[str]:
    """Yield what is wrong with a page."""
    page = Page(text)
    if not page.title.strip() or page.headings != 1:
        yield f"a page with {page.headings} headings of level 1 instead of one, and the title {page.title.strip()!r}"
    yield from (f"a picture without a text: {name}" for name in page.pictures_without_text)
    yield from (f"loads from another host: {address}" for address in page.foreign)


def place_of(page: Path, problem: str, sources: Path) -> str:
    """Return the source of a page, with the first line that has the last word of the problem, or else line 1."""
    source = sources / page.with_suffix(".md")
    if not source.exists():
        return page.as_posix()
    name = problem.rpartition("/")[2].rpartition(" ")[2]
    lines = source.read_text(encoding="utf-8").splitlines()
    return f"{source.as_posix()}:{next((number for number, line in enumerate(lines, 1) if name in line), 1)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is wrong. Return 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the built documentation")
    parser.add_argument("--sources", type=Path, default=Path("docs"), help="the folder of its sources; default: docs")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    sources: Path = arguments.sources
    generated = {"genindex.html", "py-modindex.html", "search.html"}
    pages = sorted(
        path for path in folder.rglob("*.html") if path.name not in generated and "_static" not in path.parts
    )
    found = [
        f"{place_of(path.relative_to(folder), problem, sources)}: {problem}"
        for path in pages
        for problem in problems_of(path.read_text(encoding="utf-8"))
    ]
    if not (folder / "searchindex.js").exists():
        found.append("searchindex.js is missing, so the search finds nothing")
    if not pages:
        found.append(f"{folder} has no page")
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(pages)} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
