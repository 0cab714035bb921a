"""What every test gets: a strict guard, a clean environment, the recordings, and system tools on request."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import leftovers

ROOT = Path(__file__).resolve().parents[1]
RECORDINGS = ROOT.parent / "shared" / "recordings"

# Distributions whose versions decide what a test sees.
REPORTED = (
    "otel-claude-stream",
    "anthropic",
    "wrapt",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "httpx2",
    "httpx",
)
# Variables that configure what is under test; those of the developer's shell stay outside.
CONFIGURING = ("OTEL_", "ANTHROPIC_")
LOOPBACK = "127.0.0.1,localhost,::1"
# Mirrors are slow at times; an installation that takes longer than this hangs.
INSTALL_TIMEOUT = 300


RUN = pytest.StashKey[leftovers.Run]()
LEFT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Mark the processes of this run. A worker of pytest-xdist inherits the mark."""
    if not hasattr(config, "workerinput"):
        config.stash[RUN] = leftovers.Run.begin()
    config.stash[LEFT] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that may install a program, and let a worker of pytest-xdist begin with the slow files."""
    for item in items:
        if "require_tool" in getattr(item, "fixturenames", ()):
            item.add_marker("system")
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect what a worker of pytest-xdist reports."""
    node.config.stash[LEFT] += getattr(node, "workeroutput", {}).get("leftovers", [])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if it leaves a process, a listening socket or a temporary file behind."""
    config = session.config
    if hasattr(config, "workerinput"):
        config.workeroutput["leftovers"] = [*leftovers.processes(), *leftovers.sockets()]
        return
    config.stash[LEFT] += config.stash[RUN].end()
    del config.stash[RUN]
    if config.stash[LEFT] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what the run left behind."""
    if found := config.stash[LEFT]:
        terminalreporter.section("left behind by the tests", red=True)
        for line in dict.fromkeys(found):
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the mark of a run that ended before its first test."""
    if RUN in config.stash:
        config.stash[RUN].end()


def pytest_report_header() -> list[str]:
    versions = []
    for name in REPORTED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} -")
    return [", ".join(versions)]


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """
    No `OTEL_*` or `ANTHROPIC_*` from outside, none left behind, and a guard that raises.

    Set on `os.environ` rather than by `monkeypatch`, so that what a test itself leaves there is undone as well.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith(CONFIGURING):
            del os.environ[name]
    os.environ["OTEL_CLAUDE_STREAM_STRICT"] = "1"
    # Loopback servers are not reached through anybody's proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith((*CONFIGURING, "NO_PROXY", "no_proxy"))]:
            if name not in before:
                del os.environ[name]
        for name, value in before.items():
            if name.startswith((*CONFIGURING, "NO_PROXY", "no_proxy")):
                os.environ[name] = value


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """Recorded streams (`*.sse`), sorted by name. They live beside the repository; without them the test skips."""
    found = sorted(RECORDINGS.glob("*.sse"))
    if not found:
        pytest.skip("there are no recorded streams in ../shared/recordings")
    return found


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str, str], Path]:
    """
    `require_tool(name, package)` returns the path of a system tool, installing its Debian package if that is allowed.

    Where it is not, the test skips and says why; under `CI=true` it fails instead.
    """
    refused: dict[str, str] = {}

    def require(name: str, package: str) -> Path:
        found = find_tool(name)
        if found is None and name not in refused:
            refused[name] = install(package)
            found = find_tool(name)
        if found is not None:
            return found
        reason = f"{name} is missing: {refused[name] or f'the package {package} does not carry it'}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return require


def find_tool(name: str) -> Path | None:
    """Where a tool is; daemons live in sbin, which is not on everyone's path."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def install(package: str) -> str:
    """Install a Debian package; returns why that did not work, or nothing."""
    if shutil.which("apt-get") is None:
        return f"there is no apt-get; install {package} yourself"
    if os.geteuid() != 0:
        return f"only root may install it: apt-get install {package}"
    with one_at_a_time(), daemons_stay_off():
        try:
            # The lists, once per machine start; then the package.
            if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
                apt_get("update", "-qq")
            try:
                apt_get("install", "-y", "-qq", "--no-install-recommends", package)
            except subprocess.CalledProcessError:
                # The lists were older than the mirror.
                apt_get("update", "-qq")
                apt_get("install", "-y", "-qq", "--no-install-recommends", package)
        except subprocess.CalledProcessError as error:
            return f"apt-get {error.cmd[-1]}: {(error.stderr or '').strip()[-300:] or f'exit code {error.returncode}'}"
        except subprocess.TimeoutExpired:
            return f"apt-get took longer than {INSTALL_TIMEOUT} s"
    return ""


def apt_get(*arguments: str) -> None:
    """Run apt-get without questions; waits for another one to finish."""
    subprocess.run(
        ["apt-get", "-o", f"DPkg::Lock::Timeout={INSTALL_TIMEOUT}", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two test runs on one machine do not install at once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def daemons_stay_off() -> Iterator[None]:
    """Debian starts a daemon when it is installed, unless this file says no. Tests start their own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
