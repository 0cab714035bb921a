from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.frameworks import page
from tests.frameworks.catalogue import Framework
from tests.frameworks.environments import NotInstalled
from tests.frameworks.known_defects import reason_of
from tests.frameworks.runs import Runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is known to fail."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "framework" not in parameters:
            continue
        reason = reason_of(
            getattr(item, "originalname", item.name),
            parameters["framework"].name,
            parameters.get("way", ""),
            parameters.get("fault", ""),
        )
        if reason:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs of all frameworks that the selected tests name; their results are written at the end."""
    selected: dict[str, Framework] = {}
    for item in request.session.items:
        framework = getattr(getattr(item, "callspec", None), "params", {}).get("framework")
        if framework is not None:
            selected[framework.name] = framework
    made = Runs(selected.values())
    try:
        yield made
    finally:
        made.close()
        page.write_result(made)


@pytest.fixture
def observed(runs: Runs, framework: Framework):
    """The run of a framework; the test skips where its packages cannot be installed, and fails under CI."""
    try:
        return runs[framework]
    except NotInstalled as error:
        reason = f"{framework.title} cannot be installed: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
