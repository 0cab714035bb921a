from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import trace_calls

SCRIPT = Path(trace_calls.__file__)
SOURCE = """
import other

def first():
    other.outside(second)
    return [one for one in three()]

def second():
    len("no Python function")

def three():
    yield 1
    yield 2
"""


def run() -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--show"], capture_output=True, text=True, check=True, timeout=60
    )
    assert not done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed():
    return run()


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "other.py").write_text("def outside(f):\n    f()\n", encoding="utf-8")
    path = tmp_path / "package" / "inside.py"
    path.parent.mkdir()
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.spec_from_file_location("inside", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    sys.modules.pop("other", None)


def test_functions_and_resumed_generators_of_the_package_are_traced(module):
    trace = trace_calls.Trace(Path(module.__file__).parent)
    with trace:
        module.first()
    module.second()
    names = ["first", "second", "three", "three", "three"]
    assert trace.calls == [f"inside.py  {name}" for name in names]
    assert trace.files == {"inside.py"}


def test_functions_of_other_folders_are_not_traced(module, tmp_path):
    trace = trace_calls.Trace(tmp_path / "elsewhere")
    with trace:
        module.first()
    assert trace.calls == []


def test_each_case_is_printed_with_calls_and_files(printed):
    first, *lines = printed.splitlines()
    assert first == f"package: {Path(importlib.util.find_spec('otel_claude_stream').origin).parent}"
    found = re.findall(r"^(\S\D+?) +(\d+) calls in +(\d+) files$", "\n".join(lines), re.MULTILINE)
    assert tuple(case for case, _, _ in found) == trace_calls.CASES
    calls = {case: int(number) for case, number, _ in found}
    assert 0 < calls[trace_calls.BURST] < calls[trace_calls.WAIT] < calls[trace_calls.END]
    assert calls[trace_calls.BURST] < calls[trace_calls.FIRST]
    assert all(0 < int(files) <= int(number) for _, number, files in found)


def test_the_calls_are_shown_in_order_and_the_same_in_each_run(printed):
    sections = re.split(r"^\S.*?(\d+) calls in .*\n", printed.partition("\n")[2], flags=re.MULTILINE)[1:]
    assert [int(number) for number in sections[::2]] == [part.count("\n") for part in sections[1::2]]
    assert run() == printed


@pytest.mark.parametrize(("limit", "code"), [([], 0), (["--limit", "2"], 0), (["--limit", "1"], 1)])
def test_more_calls_than_the_limit_after_a_wait_fail(monkeypatch, tmp_path, capsys, limit, code):
    traces = {case: trace_calls.Trace(tmp_path, calls=["a.py  f"] * 5, files={"a.py"}) for case in trace_calls.CASES}
    del traces[trace_calls.WAIT].calls[2:]
    monkeypatch.setattr(trace_calls, "trace_cases", lambda: (tmp_path, traces))
    assert trace_calls.main(limit) == code
    assert capsys.readouterr().out.count("a.py") == 0
