from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.frameworks import page
from tests.frameworks.catalogue import Framework
from tests.frameworks.environments import NotInstalled
from tests.frameworks.runs import Runs


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
        reason = f"{framework.title} is not tested: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
