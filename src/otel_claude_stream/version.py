"""The version of the distribution, which is also the version of the instrumentation scope."""

from __future__ import annotations

__version__ = "0.1.0b1"
