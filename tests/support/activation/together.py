"""Tests that run at the same time: each waits for a process of its own, most of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

WORKERS = 3

Case = Callable[[str, Path], None]


class Together:
    """Cases of one module, each a function of the fake API's address and a folder of its own."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def __call__(self, case: Case) -> Case:
        """Decorate a case."""
        self._cases[case.__name__] = case
        return case

    def add(self, name: str, case: Case) -> None:
        self._cases[name] = case

    def test(self) -> tuple[Any, Any]:
        """The fixture that starts those that were selected, and the test that waits for each."""
        cases = self._cases

        @pytest.fixture(scope="module")
        def running(
            request: pytest.FixtureRequest, api: str, tmp_path_factory: pytest.TempPathFactory
        ) -> Iterator[dict[str, Future[None]]]:
            chosen = {
                item.callspec.params["case"]
                for item in request.session.items
                if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", {})
            }
            with ThreadPoolExecutor(WORKERS) as pool:
                yield {
                    name: pool.submit(cases[name], api, tmp_path_factory.mktemp("case"))
                    for name in cases
                    if name in chosen
                }

        @pytest.mark.slow
        @pytest.mark.parametrize("case", list(cases))
        def test(case: str, running: dict[str, Future[None]]) -> None:
            running[case].result()

        return running, test
