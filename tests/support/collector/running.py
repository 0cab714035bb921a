"""The real Collector as a process: started with files of `collector/`, queried, killed, and always reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import HOST, free_ports
from tests.support.proxies.servers import reap

FILES = Path(__file__).resolve().parents[3] / "collector"
GATEWAY = FILES / "gateway.yaml"
PROMETHEUS = FILES / "prometheus.yaml"
START_SECONDS = 30.0
STOP_SECONDS = 20.0

API_TOKEN = "token-of-the-console"
"""The token in the request header of a destination in the Claude Console."""

QUICK = {
    "OTELCOL_DECISION_WAIT": "6s",
    "OTELCOL_DECISION_WAIT_AFTER_ROOT": "1s",
    "OTELCOL_RETRY_MAX": "1s",
    "OTELCOL_HEALTHY_PERCENT": "100",
}
"""Settings of the gateway with short waits."""


def get(url, accept="*/*", timeout=5.0):
    """Return status and text of a GET request."""
    try:
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def eventually(condition, seconds=20.0, every=0.05):
    """Call ``condition`` until it is true or the time is over. Returns its last result."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return found


@dataclass
class Collector:
    """One Collector with its folder, ports and settings. It can be started and killed any number of times."""

    binary: Path
    folder: Path
    configs: tuple[Path, ...] = (GATEWAY,)
    settings: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """A command to start it with, such as `setpriv ...`."""

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "collector.log"
        self.grpc, self.http, self.health, self.telemetry, self.scrape, self.api = free_ports(6)
        self.process = None
        self.settings = {
            "OTELCOL_OTLP_GRPC": f"{HOST}:{self.grpc}",
            "OTELCOL_OTLP_HTTP": f"{HOST}:{self.http}",
            "OTELCOL_HEALTH": f"{HOST}:{self.health}",
            "OTELCOL_TELEMETRY_PORT": str(self.telemetry),
            "OTELCOL_PROMETHEUS": f"{HOST}:{self.scrape}",
            "OTELCOL_STATE_DIR": str(self.folder / "state"),
            "OTELCOL_FILE": str(self.folder / "telemetry.jsonl"),
            "OTELCOL_API_SPANS": f"{HOST}:{self.api}",
            "OTELCOL_API_TOKEN": API_TOKEN,
            **self.settings,
        }

    @property
    def url(self):
        return f"http://{HOST}:{self.http}"

    @property
    def api_url(self):
        """The receiver of the API's spans."""
        return f"http://{HOST}:{self.api}"

    @property
    def arguments(self):
        return [argument for path in self.configs for argument in ("--config", str(path))]

    @property
    def environment(self):
        """The environment without the settings of the developer."""
        return {**{k: v for k, v in os.environ.items() if not k.startswith("OTEL")}, **self.settings}

    def launch(self):
        """Start the process without waiting for it."""
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
        """Start the process, and wait until it is healthy."""
        self.launch()
        assert eventually(self.is_healthy, START_SECONDS), f"the Collector is not healthy: {self.output()[-3000:]}"
        return self

    def is_healthy(self):
        assert self.process.poll() is None, f"the Collector ended: {self.output()[-3000:]}"
        try:
            return get(f"http://{HOST}:{self.health}/")[0] == 200
        except OSError:
            return False

    def stop(self):
        """Send SIGTERM, which lets it flush. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self):
        """Send SIGKILL."""
        reap(self.process)

    def output(self):
        """The text of its log."""
        return self.log.read_text(errors="replace")

    def metric(self, name, **labels):
        """Sum one of the Collector's own metrics over the series that have these labels; 0 if there is none."""
        _, text = get(f"http://{HOST}:{self.telemetry}/metrics")
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.replace("{", " ").partition(" ")[0] == name and all(label in line for label in wanted)
        )

    def scraped(self, accept="*/*"):
        """The lines that Prometheus would scrape."""
        _, text = get(f"http://{HOST}:{self.scrape}/metrics", accept)
        return [line for line in text.splitlines() if line and not line.startswith("#")]


@contextmanager
def running(binary, folder, *configs, **settings):
    """A Collector that is healthy. It is killed at the end."""
    collector = Collector(binary, folder, configs or (GATEWAY,), settings)
    try:
        yield collector.start()
    finally:
        collector.kill()
