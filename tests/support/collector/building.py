"""Access to `collector/build.py`, which is a script and not part of a package."""

from __future__ import annotations

import importlib.util

from tests.support.collector.running import FILES


def load_build():
    """Import the script as a module."""
    spec = importlib.util.spec_from_file_location("collector_build", FILES / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
