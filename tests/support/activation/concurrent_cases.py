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
        self._marks: dict[str, list[pytest.MarkDecorator]] = {}

    def __call__(self, case: Case) -> Case:
        """Add a function as a case; a decorator."""
        self.add(case.__name__, case)
        return case

    def long(self, case: Case) -> Case:
        """Add a function as a case that `make test` leaves out; a decorator."""
        self.add(case.__name__, case, pytest.mark.long)
        return case

    def add(self, name: str, case: Case, *marks: pytest.MarkDecorator) -> None:
        """Add a case under a name."""
        self._cases[name] = case
        self._marks[name] = list(marks)

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
        @pytest.mark.parametrize("case", [pytest.param(name, marks=self._marks[name]) for name in cases])
        def test(case: str, running: dict[str, Future[None]]) -> None:
            running[case].result()

        return running, test
