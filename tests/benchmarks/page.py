"""The parts of `docs/benchmarks.md` that measurements write."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Mapping
from pathlib import Path


def write_part(page: Path, name: str, text: str) -> None:
    """Replace the part of a page between the markers of this name. Raises `ValueError` if the page has none."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no part between {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def machine(installed: Mapping[str, str], python: str) -> str:
    """Return two sentences about date, machine and versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"Measured on {dt.datetime.now(dt.timezone.utc):%Y-%m-%d} with {model}, {os.cpu_count()} cores, a load "
        f"of {os.getloadavg()[1]:.1f}. The versions are {platform.system()} {platform.release().split('-')[0]}, Python "
        f"{python}, anthropic {installed['anthropic']} and OpenTelemetry's SDK {installed['opentelemetry-sdk']}."
    )
