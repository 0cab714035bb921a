"""Runs a real Prometheus on loopback over the blocks of the scenarios, and queries it."""

from __future__ import annotations

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.dashboards.server_process import server_process
from tests.support.ports import HOST, free_port


@dataclass(frozen=True)
class Prometheus:
    """A client for a running Prometheus."""

    url: str

    def get(self, path: str, **parameters: Any) -> Any:
        """Call the API. Raises `AssertionError` with the error of Prometheus if it refuses."""
        data = urllib.parse.urlencode(parameters).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            body = json.load(error)
        assert body["status"] == "success", f"{body.get('error')}: {parameters}"
        return body["data"]

    def query_at(self, query: str, time: float) -> list[tuple[dict[str, str], float]]:
        """Run an instant query. Return labels (without the name) and values."""
        found = self.get("query", query=query, time=time)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [
            ({key: value for key, value in one["metric"].items() if key != "__name__"}, float(one["value"][1]))
            for one in found["result"]
        ]

    def query_range(self, query: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], list[Any]]]:
        """Run a range query. Return labels, and pairs of time and value."""
        found = self.get("query_range", query=query, start=start, end=end, step=step)
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found["result"]]


@contextmanager
def running(program: Path, folder: Path, *arguments: str) -> Iterator[Prometheus]:
    """Run Prometheus over the blocks in `folder / "data"` until the end of the `with` block."""
    port = free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text("global: {scrape_interval: 1h}\n", encoding="utf-8")
    found = Prometheus(f"http://{HOST}:{port}")
    command = (
        str(program),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",  # the samples have a fixed date
        f"--web.listen-address={HOST}:{port}",
        *arguments,
    )
    with server_process("Prometheus", command, folder, lambda: is_ready(found)):
        yield found


def is_ready(found: Prometheus) -> bool:
    """Whether it answers queries. Raises `OSError` if it does not answer at all."""
    with urllib.request.urlopen(f"{found.url}/-/ready", timeout=2) as answer:
        return bool(answer.status == 200)


def is_close(found: float, wanted: float, tolerance: float) -> bool:
    """Whether a value equals the wanted one within a relative tolerance."""
    return math.isclose(found, wanted, rel_tol=tolerance, abs_tol=1e-9)
