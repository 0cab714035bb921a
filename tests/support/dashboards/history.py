"""Every scenario, played by the real package, as the blocks of a Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.dashboards.exposition import Exposition
from tests.support.dashboards.scenarios import SCENARIOS, Truth, made_up, produce

LONG = 24.0
"""Scenarios of more hours than this are a file of their own: a file is read once for each of its blocks."""


@dataclass(frozen=True)
class History:
    """Blocks of samples in `folder / "data"`, and what really happened, by scenario."""

    folder: Path
    truth: dict[str, Truth]


def make(folder: Path, promtool: Callable[..., str], jobs: frozenset[str] | None = None) -> History:
    """Play the scenarios (or those of some jobs) and write the blocks, by `promtool(*arguments)`."""
    truth = {}
    chosen = [scenario for scenario in SCENARIOS if jobs is None or scenario.job in jobs]
    for name, long in (("hours", False), ("week", True)):
        samples = Exposition()
        for scenario in chosen:
            if (scenario.hours > LONG) is long:
                truth[scenario.job] = produce(scenario, samples)
        if not long:
            made_up(samples)
        path = folder / f"{name}.txt"
        with path.open("w", encoding="utf-8") as file:
            written = samples.write(file)
        if written:
            promtool(
                "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=336h", path, folder / "data"
            )
        path.unlink()
    return History(folder, truth)
