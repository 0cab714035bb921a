"""Fixtures of the real Collector, which is found or built once."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.collector import backend as backends
from tests.support.collector.building import load_build
from tests.support.collector.running import running


@pytest.fixture(scope="session")
def build():
    """The module `collector/build.py`."""
    return load_build()


@pytest.fixture(scope="session")
def otelcol(build) -> Path:
    """The binary. If none can be had, the test skips, or fails with `CI=true`."""
    try:
        return build.collector()
    except build.CollectorUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def backend():
    """A backend that is up."""
    with backends.backend() as one:
        yield one


@pytest.fixture
def start(otelcol, tmp_path, backend):
    """`start(*configs, **settings)` starts a Collector in front of the backend. It is killed after the test."""
    with ExitStack() as stack:

        def start_collector(*configs, **settings):
            return stack.enter_context(
                running(
                    otelcol,
                    tmp_path / f"collector-{len(list(tmp_path.iterdir()))}",
                    *configs,
                    **{**backend.settings, **settings},
                )
            )

        yield start_collector
    # Some queues are large.
    shutil.rmtree(tmp_path, ignore_errors=True)
