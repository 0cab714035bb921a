"""The real Collector, found or built once."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from tests.support.collector import backend as backends
from tests.support.collector.running import FILES, running


def load_build():
    """`collector/build.py`, a script and no package."""
    spec = importlib.util.spec_from_file_location("collector_build", FILES / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build():
    return load_build()


@pytest.fixture(scope="session")
def otelcol(build) -> Path:
    """The binary. Without Go and without a Collector the test skips; under `CI=true` it fails instead."""
    try:
        return build.collector()
    except build.NoCollector as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def backend():
    with backends.backend() as one:
        yield one


@pytest.fixture
def start(otelcol, tmp_path, backend):
    """`start(*configs, **settings)`: a Collector in front of the backend, gone after the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def begin(*configs, **settings):
            return stack.enter_context(
                running(
                    otelcol,
                    tmp_path / f"collector-{len(list(tmp_path.iterdir()))}",
                    *configs,
                    **{**backend.settings, **settings},
                )
            )

        yield begin
    # Queues of some tests are large.
    shutil.rmtree(tmp_path, ignore_errors=True)
