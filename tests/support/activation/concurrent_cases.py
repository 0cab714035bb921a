"""Test cases that run concurrently, as each spends most of its time waiting for a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

WORKERS = 3

Case = Callable[[str, Path], None]


class ConcurrentCases:
    """The cases of a test module. Each is a function of the URL of the fake API and of a temporary folder."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def __call__(self, case: Case) -> Case:
        """Add a function as a case; a decorator."""
        self._cases[case.__name__] = case
        return case

    def add(self, name: str, case: Case) -> None:
        """Add a case under a name."""
        self._cases[name] = case

    def test(self) -> tuple[Any, Any]:
        """Return the fixture that starts the selected cases, and the test that waits for one of them."""
        cases = self._cases

        @pytest.fixture(scope="module")
        def running(
            request: pytest.FixtureRequest, api: str, tmp_path_factory: pytest.TempPathFactory
        ) -> Iterator[dict[str, Future[None]]]:
            selected = {
                item.callspec.params["case"]
                for item in request.session.items
                if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", {})
            }
            with ThreadPoolExecutor(WORKERS) as pool:
                yield {
                    name: pool.submit(cases[name], api, tmp_path_factory.mktemp("case"))
                    for name in cases
                    if name in selected
                }

        @pytest.mark.slow
        @pytest.mark.parametrize("case", list(cases))
        def test(case: str, running: dict[str, Future[None]]) -> None:
            running[case].result()

        return running, test
