from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tools.check_prose import SPEECH, check_file, main

LONG = "Word" + " word" * 25 + "."
"""A sentence of 26 words."""


def found_in(tmp_path: Path, name: str, text: str) -> list[tuple[int, str, str]]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return [(violation.line, violation.rule, violation.found) for violation in check_file(path, name)]


@pytest.mark.parametrize("word", SPEECH)
def test_speech_verbs_are_found_in_all_kinds_of_text(tmp_path, word):
    python = (
        f'"""The log {word} it."""\n\nLIMIT = 1\n"""It {word.capitalize()} this."""\n# Some {word}\n'
        f'raise ValueError(f"they {word} {{LIMIT}} of it all")\n'
    )
    assert found_in(tmp_path, "a.py", python) == [(line, "R2", word) for line in (1, 4, 5, 6)]
    assert found_in(tmp_path, "a.md", f"# A\n\n- It {word} it.\n\n| a | {word} |\n") == [
        (3, "R2", word),
        (5, "R2", word),
    ]
    assert found_in(tmp_path, "a.yaml", f"# It {word} it.\na: '{word} # {word}'  # and {word}\n") == [
        (1, "R2", word),
        (2, "R2", word),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "`told` and ``a.said()`` are names.",
        'The API answers "You told us".',
        "See rules_said.py, told.py and the header.",
        "See https://example.org/told/said for more.",
        "```\nhe told\n```",
        "    he told\n",
        "<!-- he told -->",
        "As long as it is open, and as soon as it is.",
        "What is it?",
        "Of course it is.",
    ],
)
def test_code_quotes_names_addresses_and_questions_pass(tmp_path, text):
    assert found_in(tmp_path, "a.md", text) == []


@pytest.mark.parametrize("opening", ["of", "what", "whoever", "that which", "with what", "whose"])
def test_an_opening_is_found_at_the_start_of_a_sentence_only(tmp_path, opening):
    text = f"{opening.capitalize()} a call is. It ended {opening} a call. *{opening.capitalize()} more.*\n"
    found = [found for _, rule, found in found_in(tmp_path, "a.md", text) if found.endswith("…")]
    assert found == [f"{opening.capitalize()} …"] * 2


@pytest.mark.parametrize("phrase", ["nobody", "somebody", "he", "his", "him", f"as it {'is'}", f"which is\n{'none'}"])
def test_phrases_are_found_across_lines(tmp_path, phrase):
    assert found_in(tmp_path, "a.md", f"Taken by {phrase}, later.") == [(1, "R3", phrase.replace("\n", " "))]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.md", f"Short.\n{LONG}", 2),
        ("a.md", f"| {LONG} | a |", 1),
        ("a.md", f"- short\n- {LONG[:40]}\n  {LONG[40:]}", 2),
        ("a.py", f'def f():\n    """Call.\n\n    Args:\n        a: {LONG}\n    """\n', 5),
        ("a.py", f"a = 1\n# {LONG[:44]}\n# {LONG[44:]}\n", 2),
        ("a.py", f"print({LONG!r})\n", 1),
    ],
)
def test_a_sentence_of_26_words_is_too_long(tmp_path, name, text, line):
    assert found_in(tmp_path, name, text) == [(line, "R4", "26 words")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", LONG.replace(" word", "", 1)),
        ("a.md", LONG.replace("word word", "`some code`")),
        ("a.md", LONG.replace(" word word", ", e.g. word", 1).replace(" word word", " word. Word")),
        ("a.md", f"# {LONG[:40]}\n{LONG[40:]}"),
        ("a.md", f"{LONG[:40]}\n\n{LONG[40:]}"),
        ("a.md", f"| {LONG[:40]} | {LONG[40:]} |"),
        ("a.md", f"- {LONG[:40]}\n- {LONG[40:]}"),
        ("a.py", f'def f():\n    """Call.\n\n    Args:\n        a: {LONG[5:50]}\n        b: {LONG[50:]}\n    """\n'),
        ("a.py", f"a = 1  # {LONG[5:50]}\nb = 1  # {LONG[50:]}\n"),
    ],
)
def test_separate_texts_are_not_counted_together(tmp_path, name, text):
    assert found_in(tmp_path, name, text) == []


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("Reads the body: the clock runs.", "body:"),
        ("The clock of a body\nthat is read: it runs.", "read:"),
        ("A body (of bytes: many) is read.", None),
        ("Sentinel: no open batch of deltas here.", None),
        ("`one` or `two`: which layer sent the request.", None),
        ("Outcome of a call: completed, failed or closed.", None),
        ("Things that are read:\n\n- the body: it ends", None),
        ("Reads it. The second sentence reads: the clock runs.", None),
        ("Reads https://example.org or `a: b`.", None),
    ],
)
def test_a_colon_in_the_first_sentence_of_a_docstring(tmp_path, docstring, found):
    assert found_in(tmp_path, "a.py", f'"""{docstring}"""\n') == ([(1, "R4b", found)] if found else [])


@pytest.mark.parametrize(
    "literal",
    ["he = told + said", "he told .* said", "he.told", "sum by (he) (rate(told[5m]))", "he told"],
)
def test_code_patterns_and_short_literals_are_no_messages(tmp_path, literal):
    assert found_in(tmp_path, "a.py", f"a = {literal!r}\n") == []


def test_the_reason_after_a_lint_directive_is_checked(tmp_path):
    text = f"a = 1  # noqa: BLE001, S101 - {'said'} so\nb = 1  # type: ignore[misc] # {'told'} so\n"
    assert found_in(tmp_path, "a.py", text) == [(1, "R2", "said"), (2, "R2", "told")]


def test_names_of_tests_have_80_characters_and_plain_words(tmp_path):
    long = "test_" + "a" * 76
    text = "".join(f"def {name}(): pass\n" for name in (long, "test_is_told", "told"))
    text += "async def test_he_calls(): pass\n"
    assert found_in(tmp_path, "a.py", text) == [
        (1, "NAME", "81 characters"),
        (2, "R2", "told"),
        (4, "R3", "he"),
    ]


def project(tmp_path: Path, allowed: str = "") -> list[str]:
    root = tmp_path / "project"
    for name, text in {
        "src/a.py": f'"""It {"said"} so."""\n',
        "README.md": f"{'What'} it does.\n\n{LONG}\n",
        "build/b.md": f"{'He'} goes.\n",
        ".venv/b.md": f"{'He'} goes.\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    listed = tmp_path / "allowed.toml"
    listed.write_text(allowed, encoding="utf-8")
    return ["--root", str(root), "--allowed", str(listed)]


def entry(path: str, text: str, reason: str = "A name of the API.") -> str:
    return f'[[allowed]]\npath = "{path}"\ntext = "{text}"\nreason = "{reason}"\n'


needs_tomllib = pytest.mark.skipif(sys.version_info < (3, 11), reason="the list of exceptions is read by tomllib")


@needs_tomllib
def test_the_report_is_sorted_and_summed_up(tmp_path, capsys):
    assert main(project(tmp_path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'README.md:1: R3 "What …": ' + f"{'What'} it does."
    assert lines[1].startswith('README.md:3: R4 "26 words": Word word')
    assert lines[2] == 'src/a.py:1: R2 "said": It said so.'
    assert [line.split() for line in lines[3:]] == [
        ["R2", "R3", "R4", "R4b", "NAME", "all"],
        [".", "0", "1", "1", "0", "0", "2"],
        ["src", "1", "0", "0", "0", "0", "1"],
        ["total", "1", "1", "1", "0", "0", "3"],
    ]


@needs_tomllib
def test_the_report_can_be_limited_to_rules_paths_and_counts(tmp_path, capsys):
    options = project(tmp_path)
    assert main([*options, "--rule", "R2"]) == 1
    assert capsys.readouterr().out.startswith("src/a.py:1: R2")
    assert main([*options, "--rule", "R4b"]) == 0
    assert main([*options, "--count"]) == 1
    assert "README.md" not in capsys.readouterr().out
    assert main([*options, str(tmp_path / "project/README.md"), "--rule", "R2"]) == 0
    with pytest.raises(SystemExit):
        main([*options, str(tmp_path / "missing")])


@needs_tomllib
def test_allowed_sentences_pass_and_stale_entries_fail(tmp_path, capsys):
    allowed = entry("src/a.py", "so.") + entry("README.md", "it does") + entry("README.md", "Word word")
    assert main(project(tmp_path, allowed)) == 0
    with pytest.raises(SystemExit, match=r"nothing to allow in src/b\.py"):
        main(project(tmp_path, entry("src/b.py", "so.")))


@needs_tomllib
@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (entry("src/a.py", "so.") * 21, "21 entries, at most 20"),
        (entry("src/a.py", "so.", reason=" "), "entry 1 needs a path, a text and a reason"),
        ('[[allowed]]\npath = "src/a.py"\ntext = "so."\n', "entry 1 needs a path, a text and a reason"),
    ],
)
def test_a_long_or_incomplete_list_of_exceptions_is_refused(tmp_path, allowed, message):
    with pytest.raises(SystemExit, match=message):
        main(project(tmp_path, allowed))
