"""The code blocks and names in the pages are correct."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from otel_claude_stream import policy
from otel_claude_stream._config.policy.loading import load
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in ("docs", "collector", "dashboards", "examples")
    for path in (ROOT / folder).rglob("*.md")
    if "_pages" not in path.parts
)
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
POLICY = "# yaml-language-server"


def blocks(page, language):
    """Return the code blocks of a page in one language, without their indentation.

    Each begins with as many empty lines as there are lines before it, so that errors name the line of the page.
    """
    text = page.read_text(encoding="utf-8")
    return [
        "\n" * text.count("\n", 0, found.start(3)) + re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE)
        for found in BLOCK.finditer(text)
        if found[2] == language
    ]


def test_the_page_about_tests_leads_to_tests_that_pass(tmp_path):
    text = (ROOT / "docs" / "how-to" / "test-your-retries.md").read_text(encoding="utf-8")
    files = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in files] == ["chat.py", "test_chat.py"]
    for name, source in files:
        (tmp_path / name).write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_chat.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.anyio
async def test_the_browser_gets_a_comment_while_the_model_is_silent():
    (source,) = blocks(ROOT / "docs" / "how-to" / "keep-the-browser-connected.md", "python")
    names = {}
    exec(compile(source, "page", "exec"), names)
    asyncio = names["asyncio"]

    async def chunks():
        yield "one\ntwo"
        await asyncio.sleep(0.25)
        yield "three"

    received = [text async for text in names["with_comments"](chunks(), every=0.1)]
    assert received[0] == "data: one\ndata: two\n\n"
    assert received[-1] == "data: three\n\n"
    assert set(received[1:-1]) == {": still working\n\n"}


@pytest.fixture
def anyio_backend():
    """The example is written for asyncio."""
    return "asyncio"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_blocks_can_be_parsed(page):
    for source in blocks(page, "python"):
        ast.parse(source, str(page))
    for source in blocks(page, "json"):
        json.loads(source)
    for source in blocks(page, "yaml"):
        list(yaml.safe_load_all(source))
    for source in blocks(page, "sh"):
        shell = shutil.which("sh")
        done = subprocess.run([shell, "-n"], input=source, capture_output=True, text=True, check=False)
        assert done.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_policies_are_valid(page, tmp_path):
    for source in (text for text in blocks(page, "yaml") if text.lstrip("\n").startswith(POLICY)):
        path = tmp_path / f"{page.stem}.yaml"
        path.write_text(source, encoding="utf-8")
        assert load({"OTEL_CLAUDE_STREAM_CONFIG": str(path)}).problems == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_names_of_telemetry_and_commands_exist(page):
    specs = (*schema.SPANS, *schema.EVENTS, *schema.METRICS)
    known = {x.name for x in (*specs, *schema.SET_ELSEWHERE)} | {x.name for y in specs for x in y.attributes}
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    named = {(found, n) for n, line in lines for found in re.findall(r"`(claude\.stream\.[a-z_.]+[a-z])`", line)}
    assert sorted(f"line {n}: {found}" for found, n in named if found not in known) == []
    commands = set(re.findall(r"(?:^|`|\s)otel-claude-stream ([a-z]+)\b", "\n".join([*blocks(page, "sh")])))
    assert sorted(commands - {command.name for command in COMMANDS}) == []


def test_every_name_of_the_policy_module_is_in_the_reference():
    assert "otel_claude_stream.policy" in (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert all(getattr(policy, name).__doc__ for name in policy.__all__)
