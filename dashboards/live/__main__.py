"""Entry point of ``python -m dashboards.live``, which shows the dashboards until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading

from dashboards.generator.boards import overview
from dashboards.live.scenario_data import END, SCENARIOS, scenario_prometheus
from dashboards.live.server import address, serving
from tests.dashboards.build_perses_page import PAGE
from tests.support.dashboards.cached_builds import NotBuilt


def main() -> int:
    """Build the page once, play the scenarios, and serve. Return 1 if a tool is missing."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        page = PAGE.build()
        print(f"playing the scenarios {', '.join(sorted(SCENARIOS))}: about a minute", file=sys.stderr, flush=True)
        first = address(overview.BOARD, END - 7200, END)
        with scenario_prometheus() as prometheus, serving(page, prometheus.url, first) as url:
            print(f"dashboards: {url}/ (Ctrl-C ends)", flush=True)
            threading.Event().wait()
    except NotBuilt as error:
        print(
            f"cannot show the dashboards: {error}. They need Node, and Debian's package prometheus for promtool.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
