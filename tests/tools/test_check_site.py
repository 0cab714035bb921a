"""Problems of the built documentation are found."""

from __future__ import annotations

import importlib.util

import pytest
from tests.support.paths import ROOT

SPEC = importlib.util.spec_from_file_location("check_site", ROOT / "tools" / "check_site.py")
check_site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_site)

GOOD = '<title>A page</title><link rel="stylesheet" href="_static/a.css"><h1>A</h1><img src="a.png" alt="a lane">'


def test_a_good_page_has_no_problem():
    assert list(check_site.problems_of(GOOD)) == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("<title>A page</title>", "", "a page with 1 headings of level 1 instead of one, and the title ''"),
        ("<h1>A</h1>", "", "a page with 0 headings of level 1 instead of one, and the title 'A page'"),
        (' alt="a lane"', "", "a picture without a text: a.png"),
        (' alt="a lane"', ' alt=" "', "a picture without a text: a.png"),
        ("a lane", "a.png", "a picture without a text: a.png"),
        ("_static/a.css", "https://cdn.example/a.css", "loads from another host: https://cdn.example/a.css"),
        ("a.png", "//cdn.example/a.png", "loads from another host: //cdn.example/a.png"),
    ],
)
def test_a_problem_is_named(before, after, problem):
    assert list(check_site.problems_of(GOOD.replace(before, after))) == [problem]


def test_a_link_that_loads_nothing_is_no_problem():
    assert list(check_site.problems_of(GOOD + '<link rel="canonical" href="https://docs.example/">')) == []


def test_a_site_without_pages_or_search_fails(tmp_path, capsys):
    assert check_site.main([str(tmp_path)]) == 1
    assert "searchindex.js is missing" in capsys.readouterr().out
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    (tmp_path / "searchindex.js").write_text("", encoding="utf-8")
    assert check_site.main([str(tmp_path)]) == 0
    assert "1 pages, 0 problems" in capsys.readouterr().out


def test_a_problem_is_named_with_the_file_and_the_line_of_the_source(tmp_path, capsys):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "searchindex.js").write_text("", encoding="utf-8")
    bad = GOOD.replace('src="a.png" alt="a lane"', 'src="_images/a.png" alt="_images/a.png"')
    (tmp_path / "site" / "page.html").write_text(bad, encoding="utf-8")
    (tmp_path / "page.md").write_text("# A\n\n```{image} ../a.png\n```\n", encoding="utf-8")
    assert check_site.main([str(tmp_path / "site"), "--sources", str(tmp_path)]) == 1
    expected = f"{tmp_path.as_posix()}/page.md:3: a picture without a text: _images/a.png\n1 pages, 1 problems\n"
    assert capsys.readouterr().out == expected
