from __future__ import annotations

import pytest
from tools import count_twins

SYNC = '''
"""A page."""
import os

class Reads:
    """As written."""
    def __iter__(self):
        return self

    def __next__(self):
        event = self.read(  # a comment
            1
        )
        try:
            inner = iter(self.inner)
        except StopIteration:
            self.close()
        return event

def sync_events(inner: Iterator[int]):
    for event in inner:
        yield from recovering(event)
'''
ASYNC = '''
"""Another page."""
from os import path

class AsyncReads:
    def __aiter__(self):
        return self

    async def __anext__(self):
        """As the other."""
        event = await self.read(
            1
        )
        try:
            inner = aiter(self.inner)
        except StopAsyncIteration:
            await self.aclose()
        return event

async def async_events(inner: AsyncIterator[int]):
    async for event in inner:
        async for one in arecovering(event):
            yield one
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "_sync.py").write_text(SYNC, encoding="utf-8")
    (tmp_path / "_async.py").write_text(ASYNC, encoding="utf-8")

    def count(*pairs, limit=0, show=False):
        monkeypatch.setattr(count_twins, "PAIRS", list(pairs))
        return count_twins.main(["--package", str(tmp_path), "--limit", str(limit), *(["--show"] if show else [])])

    return count


def test_lines_that_differ_by_await_and_names_are_twins(package, capsys):
    assert package(("_sync.py", "_async.py"), show=True) == 1
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first.split() == ["13", "_sync.py", "_async.py"]
    assert last == "   13  in all, limit 0"
    assert [line.strip() for line in lines] == [
        "class Reads :",
        "def __iter__ ( self ) :",
        "return self",
        "def __next__ ( self ) :",
        "event = self . read (",
        "1",
        "try :",
        "inner = iter ( self . inner )",
        "except StopIteration :",
        "self . close ( )",
        "return event",
        "def events ( inner : Iterator [ int ] ) :",
        "for event in inner :",
    ]


def test_halves_can_be_functions_classes_and_methods(package, capsys):
    pairs = [
        ("_sync.py::sync_events", "_async.py::async_events"),
        ("_sync.py::Reads.__iter__", "_async.py::AsyncReads.__aiter__"),
        ("_sync.py::Reads.__iter__", "_async.py::async_events"),
    ]
    package(*pairs)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "2", "0", "4"]


def test_a_prefix_of_the_asynchronous_name_is_ignored():
    assert count_twins.common_lines(["recovering ( a )"], ["arecovering ( a )"]) == ["recovering ( a )"]
    assert count_twins.common_lines(["reader ( a )"], ["areas ( a )"]) == []


def test_the_limit_is_the_most_that_passes(package):
    assert package(("_sync.py", "_async.py"), limit=13) == 0
    assert package(("_sync.py", "_async.py"), limit=12) == 1


@pytest.mark.parametrize(
    ("half", "message"),
    [
        ("moved.py", r"moved\.py: no such file"),
        ("_sync.py::moved", r"no moved in .*_sync\.py"),
        ("_sync.py::Reads.moved", r"no Reads\.moved in .*_sync\.py"),
    ],
)
def test_a_half_that_is_missing_is_an_error(package, half, message):
    with pytest.raises(SystemExit, match=message):
        package((half, "_async.py"))
