"""Entry point of ``python -m dashboards.pictures``, which draws every dashboard into ``dashboards/pictures``.

It needs ``promtool`` and ``prometheus``, for example from Debian's package ``prometheus``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dashboards.pictures.draw import draw
from dashboards.pictures.panel_data import query_panel
from tests.support.dashboards.prometheus_server import Prometheus, running
from tests.support.dashboards.scenarios import START
from tests.support.dashboards.tsdb_blocks import write_blocks

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "pictures"


@dataclass(frozen=True)
class Picture:
    """A picture of a dashboard, with the scenario and the minutes that it shows."""

    name: str
    board: str
    scenario: str
    job: str
    caption: str
    minutes: tuple[int, int] = (60, 180)
    row: str = ""
    """Beginning of the heading of the only row to draw. Empty for all rows."""


PICTURES: Final = (
    Picture("stream-health", "stream-health", "incident", "incident-otlp",
            "HTTP 529 for ten minutes, without a retry policy"),
    Picture("proxy-timeouts", "proxy-timeouts", "alb", "alb-otlp",
            "a load balancer cuts every tenth stream at 60 s; the proxy log is invented"),
    Picture(
        "proxy-timeouts-buffering", "proxy-timeouts", "buffering", "buffering-otlp",
        "one of two gateways buffers answers", row="Headroom and buffering",
    ),
    Picture("overload-retries", "overload-retries", "incident", "incident-otlp",
            "HTTP 529 for ten minutes, without a retry policy", (90, 150)),
    Picture("overload-retries-guarded", "overload-retries", "guarded", "guarded-otlp",
            "HTTP 529 for ten minutes, then errors before the first token, with a retry policy and its budget",
            (110, 165)),
    Picture("drill-down", "drill-down", "alb", "alb-otlp", "a load balancer cuts every tenth stream at 60 s"),
    Picture("pipeline", "pipeline", "alb", "alb-otlp",
            "a Collector that begins to refuse items; the figures are invented"),
)  # fmt: skip


def row_panels(panels: list[dict[str, Any]], heading: str) -> list[dict[str, Any]]:
    """Return the heading and the panels of one row, moved to the top."""
    row = next(panel for panel in panels if panel["type"] == "row" and panel["title"].startswith(heading))
    top = row["gridPos"]["y"]
    bottom = min((p["gridPos"]["y"] for p in panels if p["type"] == "row" and p["gridPos"]["y"] > top), default=10_000)
    inside = [panel for panel in panels if top <= panel["gridPos"]["y"] < bottom]
    return [{**panel, "gridPos": {**panel["gridPos"], "y": panel["gridPos"]["y"] - top}} for panel in inside]


def draw_picture(one: Picture, prometheus: Prometheus) -> Path:
    """Draw one picture and return its path."""
    board = json.loads((ROOT / "grafana" / f"{one.board}.json").read_text(encoding="utf-8"))
    if one.row:
        board["panels"] = row_panels(board["panels"], one.row)
    values = {"job": one.job, "model": ".*", "server": ".*", "collector": "collector-suffixed"}
    start, end = (START + minute * 60 for minute in one.minutes)
    path = FOLDER / f"{one.name}.png"
    draw(
        board,
        f"Drawn from the dashboard's own queries, not a screenshot of Grafana. Scenario: {one.caption}.",
        lambda panel: query_panel(
            panel, values, start, end, query_at=prometheus.query_at, query_range=prometheus.query_range
        ),
        path,
    )
    return path


def main() -> int:
    """Play the scenarios, start Prometheus and draw the pictures. Return 1 if a tool is missing."""
    promtool, prometheus = shutil.which("promtool"), shutil.which("prometheus")
    if promtool is None or prometheus is None:
        print("cannot draw: promtool or prometheus is missing; run apt-get install prometheus", file=sys.stderr)
        return 1

    def run(*arguments: object) -> str:
        command = [promtool, *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own files

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_blocks(folder, run, frozenset(one.scenario for one in PICTURES))
        with running(Path(prometheus), folder) as found:
            for one in PICTURES:
                print(draw_picture(one, found).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
