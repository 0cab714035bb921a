"""The README has one page, and its examples and commands are correct."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from otel_claude_stream.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_example_prints_the_documented_output(tmp_path: Path) -> None:
    """The example is extracted from the README and run."""
    match = re.search(r"<!-- example -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    script = tmp_path / "example.py"
    script.write_text(match[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["the application sees: 200", "the span reports: overloaded"]


def test_the_diagnosis_is_the_output_of_explain(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    match = re.search(r"<!-- explained -->\n```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    assert main(["explain", "docs/tutorial/cut.json"]) == 0
    # The name of the exception depends on the HTTP library of the SDK.
    assert match[1] in capsys.readouterr().out.replace("httpx.", "httpx2.")


def test_it_has_at_most_800_words() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 800


def test_every_relative_link_has_a_target() -> None:
    for document in (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_make_command_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in (README, ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets


def test_the_page_for_contributors_lists_every_folder_of_tests() -> None:
    folders = {path.parent.relative_to(ROOT).parts[1] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert sorted(name for name in folders if f"`tests/{name}`" not in text) == []
