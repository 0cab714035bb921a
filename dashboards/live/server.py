"""Serves the page and the committed dashboards on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from dashboards.generator.boards import BOARDS
from dashboards.generator.command import ROOT
from dashboards.generator.model import Board
from dashboards.generator.perses_json import path as path_of
from dashboards.live.traces import TempoApi, UnknownQuery

HOST: Final = "127.0.0.1"
EXPLORE: Final = "/explore"
"""Path of a trace."""
TEMPO: Final = "/tempo"
DASHBOARDS: Final = frozenset(f"/{folder}/{board.file}.json" for folder in ("grafana", "perses") for board in BOARDS)


def address(board: Board, start: float, end: float, **variables: str) -> str:
    """Return the path of a dashboard with a time range and values of variables."""
    times = {"start": f"{start * 1000:.0f}", "end": f"{end * 1000:.0f}"}
    chosen = {f"var-{name}": value for name, value in variables.items()}
    return f"{path_of(board)}?{urlencode({**times, **chosen})}"


class _Handler(SimpleHTTPRequestHandler):
    """Serves files of the page, dashboards, and the settings of the page."""

    server: PageServer

    def translate_path(self, path: str) -> str:
        """Find dashboards in the repository, and the page under the path of each dashboard."""
        plain = path.partition("?")[0]
        if plain in {EXPLORE, *map(path_of, BOARDS)}:
            return str(self.server.page / "index.html")
        self.directory = str(ROOT if plain in DASHBOARDS else self.server.page)
        return super().translate_path(path)

    def do_GET(self) -> None:
        """Answer with the settings, traces, a redirection to the first dashboard, or a file."""
        traces = self.server.traces
        if self.path == "/settings.json":
            self._answer(200, self.server.settings)
        elif traces is not None and self.path.startswith(f"{TEMPO}/"):
            try:
                self._answer(200, traces.answer(self.path.removeprefix(TEMPO)))
            except UnknownQuery as error:
                self._answer(400, {"error": str(error)})
        elif self.path == "/":
            self.send_response(302)
            self.send_header("Location", self.server.first)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Keep requests out of the terminal."""


class PageServer(ThreadingHTTPServer):
    """Serves the page with its settings, which have the URL of Prometheus. `/` leads to the path `first`."""

    def __init__(self, page: Path, prometheus: str, first: str, traces: TempoApi | None = None) -> None:
        super().__init__((HOST, 0), _Handler)
        self.page, self.first, self.traces = page, first, traces
        boards = [
            {"path": path_of(board), "file": board.file, "title": board.title.partition(": ")[2].capitalize()}
            for board in BOARDS
        ]
        tempo = "" if traces is None else TEMPO
        self.settings = {"prometheus": prometheus, "tempo": tempo, "scrapeInterval": "1m", "boards": boards}


@contextmanager
def serving(page: Path, prometheus: str, first: str, traces: TempoApi | None = None) -> Iterator[str]:
    """Serve the page until the end of the `with` block, and yield its URL. Panels of traces need `traces`."""
    with PageServer(page, prometheus, first, traces) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
