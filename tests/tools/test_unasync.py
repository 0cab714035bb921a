from __future__ import annotations

import pytest
from tools import unasync

ASYNC = '''
"""The asynchronous half."""
from collections.abc import AsyncIterator, Callable
from package.sleeping import sleep_async as sleep


async def frames_async(inner: AsyncIterator[int], close: Callable[[], object]) -> AsyncIterator[int]:
    try:
        async for frame in inner:
            yield await sleep(frame)
    except StopAsyncIteration:
        await close()
    await inner.aclose()
'''
SYNC = '''
"""The synchronous half."""
from collections.abc import Callable, Iterator
from package.sleeping import sleep_sync as sleep


def frames_sync(inner: Iterator[int], close: Callable[[], object]) -> Iterator[int]:
    try:
        for frame in inner:
            yield sleep(frame)
    except StopIteration:
        close()
    inner.close()
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(unasync, "GENERATED", {"driver_sync.py": "driver_async.py"})
    (tmp_path / "driver_async.py").write_text(ASYNC, encoding="utf-8")
    return tmp_path


def test_the_synchronous_half_has_its_own_names_and_no_await():
    assert unasync.synchronous(ASYNC) == SYNC


def test_a_file_that_is_missing_or_outdated_fails_the_check_and_is_written(package, capsys):
    for _ in range(2):
        assert unasync.main(["--check", "--package", str(package)]) == 1
        assert "driver_sync.py differs from what driver_async.py generates" in capsys.readouterr().out
        assert unasync.main(["--package", str(package)]) == 0
        assert (package / "driver_sync.py").read_text(encoding="utf-8") == SYNC
        assert unasync.main(["--check", "--package", str(package)]) == 0
        (package / "driver_sync.py").write_text("x = 1", encoding="utf-8")


@pytest.mark.parametrize(("line", "outdated"), [("\n    try:", 0), ("    # a comment\n    try:", 1)])
def test_layout_is_not_compared_and_comments_are(package, line, outdated):
    (package / "driver_sync.py").write_text(SYNC.replace("    try:", line), encoding="utf-8")
    assert unasync.main(["--check", "--package", str(package)]) == outdated


def test_the_driver_of_this_package_is_up_to_date():
    assert unasync.main(["--check"]) == 0
