"""Runs each application bare, observed and under a policy, against a fake API, and keeps what was seen.

A `Run` is one process; its rounds are the modes. `Runs` makes each run once, several at a time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.frameworks import environments, faults
from tests.frameworks.catalogue import FRAMEWORKS, NEWEST, Framework
from tests.frameworks.faults import Fault
from tests.frameworks.probe import PORT_VARIABLE
from tests.support.ports import free_port

from otel_claude_stream.testing import FakeAPI

HERE = Path(__file__).resolve().parent
WORKERS = min(4, max(2, os.cpu_count() or 1))
RUN_SECONDS = 300
TEXTS_BEFORE_LEAVING = 2
CONFIGURING = ("OTEL_", "ANTHROPIC_", "PYTHONPATH", "COVERAGE", "COV_", "DD_", "SENTRY_", "LOGFIRE_", "LANGFUSE_")
SETTINGS = {
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "PYTHONUNBUFFERED": "1",
    # The environments keep the bytecode. Without it, each process would compile its framework for ten seconds.
    "PYTHONDONTWRITEBYTECODE": "",
    # None of the frameworks may report its use to its makers.
    "DO_NOT_TRACK": "1",
    # LiteLLM asks the network for prices at its import.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
"""The environment of an application, beside the one of this process without what configures."""


@dataclass(frozen=True)
class Call:
    """One call as the application, the API and the telemetry saw it."""

    texts: list[str]
    error: list[list[str]]
    requests: list[dict[str, Any]]
    telemetry: dict[str, Any]
    seconds: float

    @property
    def streams(self) -> list[dict[str, Any]]:
        """Our spans of streams, in the order of their ends; without those of single attempts."""
        return [span for span in self.telemetry["spans"] if "claude.stream.outcome" in span["attributes"]]


@dataclass(frozen=True)
class Observed:
    """One framework in all modes. Calls are found by mode, way and fault."""

    versions: Mapping[str, str]
    python: str
    calls: Mapping[tuple[str, str, str], Call]
    stderr: Mapping[str, str]
    seconds: float


def faults_of(framework: Framework, mode: str, way: str) -> Iterable[Fault]:
    """The faults that a way meets in a mode."""
    leaves = framework.left_as.get(way, "caller_closed") is not None
    if mode == "retry":
        return faults.RETRIED
    met = faults.BESIDE_NEIGHBOURS if framework.neighbours else faults.FAULTS
    return [fault for fault in met if leaves or not fault.leaves]


def observe(framework: Framework, python: Path, modes: tuple[str, ...]) -> Observed:
    """Run a framework in one process, in some modes."""
    with tempfile.TemporaryDirectory(prefix="frameworks-") as folder:
        return _run(framework, python, Path(folder), modes)


def combined(bare: Observed, ours: Observed) -> Observed:
    """Return the calls without and with our package as one."""
    return Observed(
        bare.versions,
        bare.python,
        {**bare.calls, **ours.calls},
        {**bare.stderr, **ours.stderr},
        bare.seconds + ours.seconds,
    )


def _run(framework: Framework, python: Path, folder: Path, modes: tuple[str, ...]) -> Observed:
    routes = {
        (mode, way, fault.name): faults.scripts(fault, framework.content, framework.tool_before.get(way))
        for mode in modes
        for way in framework.ways
        for fault in faults_of(framework, mode, way)
    }
    with FakeAPI({_route(*key): scripts for key, scripts in routes.items()}) as api:
        job = {
            "adapter": framework.adapter,
            "in_workers": [one.adapter for one in FRAMEWORKS if one.in_worker],
            "before_us": [] if framework.ours_first else framework.neighbours,
            "after_us": framework.neighbours if framework.ours_first else [],
            "packages": sorted({framework.package, "anthropic"}),
            "rounds": [_round(framework, mode, api) for mode in modes],
        }
        job_file, result_file = folder / "job.json", folder / "result.json"
        job_file.write_text(json.dumps(job), encoding="utf-8")
        result_file.unlink(missing_ok=True)
        code, output = _finished(
            [str(python), "-X", "faulthandler", str(HERE / "runner.py"), str(job_file), str(result_file)], folder
        )
        if not result_file.exists():
            raise RuntimeError(f"{framework}, {modes}: exit code {code}\n{output}")
        result = json.loads(result_file.read_text(encoding="utf-8"))
        calls = {}
        for mode, seen in zip(modes, result["rounds"], strict=True):
            for name, call in seen.items():
                way, fault = name.rsplit("-", 1)
                requests = [_request(one) for one in api.requests_for(_route(mode, way, fault))]
                calls[mode, way, fault] = Call(**call, requests=requests)
        return Observed(result["versions"], result["python"], calls, {modes[0]: output}, result["seconds"])


def _finished(command: list[str], folder: Path) -> tuple[int, str]:
    """Run an application to its end. Return its exit code and its standard error."""
    with subprocess.Popen(
        command,
        env=_environment(folder),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, output = process.communicate(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its servers and workers too
            raise
    return process.returncode, output


def _route(mode: str, way: str, fault: str) -> str:
    """Name a route. Request ids follow from it, and messages contain them, so it is the same with and without us."""
    return f"{way}-{fault}" if mode in {"bare", "observe"} else f"{mode}-{way}-{fault}"


def _round(framework: Framework, mode: str, api: FakeAPI) -> dict[str, Any]:
    calls = {
        f"{way}-{fault.name}": {
            "way": way,
            "url": api.url_for(_route(mode, way, fault.name)),
            "leave_after": TEXTS_BEFORE_LEAVING if fault.leaves else None,
        }
        for way in framework.ways
        for fault in faults_of(framework, mode, way)
    }
    return {"mode": mode, "calls": calls}


def _request(request: Any) -> dict[str, Any]:
    return {
        "script": request.script_name,
        "path": request.path.partition("/v1/")[2],
        "headers": sorted(name for name in request.headers),
        "body": request.json if request.body else None,
    }


def _environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in environments.BASE.items() if not name.startswith(CONFIGURING)}
    return {
        **clean,
        **SETTINGS,
        "HOME": str(folder),
        PORT_VARIABLE: str(free_port()),
        "PYTHONPATH": str(environments.package_alone(folder / "packages")),
    }


BARE = ("bare",)
OURS = ("observe", "retry")


class Runs:
    """The runs of the selected frameworks, started together, each made once."""

    def __init__(self, selected: Iterable[Framework]) -> None:
        self.selected = tuple(selected)
        needed = dict.fromkeys(one.environment for one in self.selected)
        self._installs = ThreadPoolExecutor(max(1, len(needed)))
        self._pythons = {name: self._installs.submit(environments.interpreter, name) for name in needed}
        self._pool = ThreadPoolExecutor(WORKERS)
        self._bare: dict[tuple[str, tuple[str, ...]], Future[Observed]] = {}
        self._ours: dict[str, Future[Observed]] = {}
        # The largest environment last, since it is installed meanwhile.
        for one in sorted(self.selected, key=lambda one: one.environment == NEWEST):
            if _application(one) not in self._bare:
                self._bare[_application(one)] = self._pool.submit(self._observe, one, BARE)
            self._ours[one.name] = self._pool.submit(self._observe, one, OURS)

    def _observe(self, framework: Framework, modes: tuple[str, ...]) -> Observed:
        return observe(framework, self._pythons[framework.environment].result(), modes)

    def __getitem__(self, framework: Framework) -> Observed:
        """Wait for a run. Raises `NotInstalled` if its environment cannot be made."""
        return combined(self._bare[_application(framework)].result(), self._ours[framework.name].result())

    def finished(self, framework: Framework) -> bool:
        """Whether both runs of a framework came to their end."""
        both = (self._bare[_application(framework)], self._ours[framework.name])
        return all(run.done() and not run.cancelled() and run.exception() is None for run in both)

    def close(self) -> None:
        """Wait for what runs; forget what has not begun."""
        self._pool.shutdown(cancel_futures=True)
        self._installs.shutdown()


def _application(framework: Framework) -> tuple[str, tuple[str, ...]]:
    """Identify an application without our package. The order of a neighbour and ours makes no difference there."""
    return framework.adapter, framework.neighbours
