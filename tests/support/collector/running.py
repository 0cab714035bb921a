"""The real Collector as a process of its own: started with files of `collector/`, fed, asked, killed, always reaped."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.proxies.servers import HOST, reap

FILES = Path(__file__).resolve().parents[3] / "collector"
GATEWAY = FILES / "gateway.yaml"
PROMETHEUS = FILES / "prometheus.yaml"
START_SECONDS = 30.0
STOP_SECONDS = 20.0

QUICK = {
    "OTELCOL_DECISION_WAIT": "6s",
    "OTELCOL_DECISION_WAIT_AFTER_ROOT": "1s",
    "OTELCOL_RETRY_MAX": "1s",
    "OTELCOL_HEALTHY_PERCENT": "100",
}
"""Settings of the gateway for tests that do not wait for its own."""


def free_ports(count):
    """Ports that nobody has, below those from which the system takes the near ends of connections."""
    found = []
    chance = random.SystemRandom()  # pytest-randomly seeds the other one equally in each worker, before each test
    while len(found) < count:
        port = chance.randrange(12000, 32000)
        with suppress(OSError), socket.create_server((HOST, port)):
            found.append(port)
    return found


def get(url, accept="*/*", timeout=5.0):
    """Status and text."""
    try:
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def eventually(ask, seconds=20.0, every=0.05):
    """What ``ask`` returns once it is true; its last answer if it never becomes so."""
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(every)
    return found


@dataclass
class Collector:
    """One Collector: its folder, its ports, its settings. ``start`` and ``kill`` any number of times."""

    binary: Path
    folder: Path
    configs: tuple[Path, ...] = (GATEWAY,)
    settings: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """A command to start it with: `prlimit ...`."""

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "collector.log"
        self.grpc, self.http, self.health, self.telemetry, self.scrape = free_ports(5)
        self.process = None
        self.settings = {
            "OTELCOL_OTLP_GRPC": f"{HOST}:{self.grpc}",
            "OTELCOL_OTLP_HTTP": f"{HOST}:{self.http}",
            "OTELCOL_HEALTH": f"{HOST}:{self.health}",
            "OTELCOL_TELEMETRY_PORT": str(self.telemetry),
            "OTELCOL_PROMETHEUS": f"{HOST}:{self.scrape}",
            "OTELCOL_STATE_DIR": str(self.folder / "state"),
            "OTELCOL_FILE": str(self.folder / "telemetry.jsonl"),
            **self.settings,
        }

    @property
    def url(self):
        return f"http://{HOST}:{self.http}"

    @property
    def arguments(self):
        return [argument for path in self.configs for argument in ("--config", str(path))]

    @property
    def environment(self):
        """Nothing of the developer's own settings."""
        return {**{k: v for k, v in os.environ.items() if not k.startswith("OTEL")}, **self.settings}

    def launch(self):
        """The process, not waited for."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, str(self.binary), *self.arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    def start(self):
        """The process, healthy."""
        self.launch()
        assert eventually(self.is_healthy, START_SECONDS), f"the Collector is not healthy: {self.said()[-3000:]}"
        return self

    def is_healthy(self):
        assert self.process.poll() is None, f"the Collector ended: {self.said()[-3000:]}"
        try:
            return get(f"http://{HOST}:{self.health}/")[0] == 200
        except OSError:
            return False

    def stop(self):
        """By SIGTERM, which lets it flush; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self):
        """By SIGKILL."""
        reap(self.process)

    def said(self):
        return self.log.read_text(errors="replace")

    def metric(self, name, **labels):
        """The sum of one of the Collector's own metrics over the series that have these labels; 0 without any."""
        _, text = get(f"http://{HOST}:{self.telemetry}/metrics")
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.replace("{", " ").partition(" ")[0] == name and all(label in line for label in wanted)
        )

    def scraped(self, accept="*/*"):
        """What Prometheus would be given, as lines."""
        _, text = get(f"http://{HOST}:{self.scrape}/metrics", accept)
        return [line for line in text.splitlines() if line and not line.startswith("#")]


@contextmanager
def running(binary, folder, *configs, **settings):
    """A Collector that is up; gone at the end."""
    collector = Collector(binary, folder, configs or (GATEWAY,), settings)
    try:
        yield collector.start()
    finally:
        collector.kill()
