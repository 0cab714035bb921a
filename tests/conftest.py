"""Fixtures of all tests, for a clean environment, the recorded streams, and system tools."""

from __future__ import annotations

import fcntl
import gc
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.support.observing", "tests.support.modes")

from tests.support import leftovers  # noqa: E402 - imported after assertions of other modules are to be rewritten
from tests.support.paths import RECORDINGS  # noqa: E402
from tests.support.processes import SERVER_PROCESS  # noqa: E402

try:
    import hypothesis
except ImportError:  # the session of the dashboards has no property tests
    hypothesis = None

# Distributions whose versions affect the results of tests.
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
# Prefixes of variables that configure the code under test. Those of the developer's shell are removed.
CONFIGURING = ("OTEL_", "ANTHROPIC_")
CHANGED = (*CONFIGURING, "NO_PROXY", "no_proxy", "SSL_CERT_")
LOOPBACK = "127.0.0.1,localhost,::1"
NO_CERTIFICATES = str(Path(__file__).parent)
# Seconds. Mirrors may be slow, but an installation that takes longer hangs.
INSTALL_TIMEOUT = 300


RUN = pytest.StashKey[leftovers.Run]()
LEFT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Mark the processes of this run. A worker of pytest-xdist inherits the mark."""
    if not hasattr(config, "workerinput"):
        config.stash[RUN] = leftovers.Run.begin()
    config.stash[LEFT] = []
    if hypothesis is not None:  # a busy machine is no failure
        slow = [hypothesis.HealthCheck.too_slow]
        hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=slow)
        hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that may install a program, and let a worker of pytest-xdist begin with the slow files."""
    for item in items:
        if "require_tool" in getattr(item, "fixturenames", ()):
            item.add_marker("system")
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Exempt the modules from garbage collection, so that the collections which tests request take no time."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session", autouse=True)
def _server_process() -> Iterator[None]:
    """Stop the process that forks for programs of tests, if there is one."""
    yield
    SERVER_PROCESS.stop()


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """
    Remove `OTEL_*` and `ANTHROPIC_*` from the environment, and make the guard raise.

    This changes `os.environ` directly rather than with `monkeypatch`, so that variables set by the test are undone too.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith(CONFIGURING):
            del os.environ[name]
    os.environ["OTEL_CLAUDE_STREAM_STRICT"] = "1"
    # Requests to loopback servers must not go through a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK
    # No server has a certificate. Each client would load those of the system, which takes longer than most tests.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = NO_CERTIFICATES
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(CHANGED)]:
            if name not in before:
                del os.environ[name]
        for name, value in before.items():
            if name.startswith(CHANGED):
                os.environ[name] = value


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """The recorded streams (`*.sse`), sorted by name. The test is skipped without them."""
    found = sorted(RECORDINGS.glob("*.sse"))
    if not found:
        pytest.skip("there are no recorded streams in ../shared/recordings")
    return found


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str, str], Path]:
    """
    A function `require_tool(name, package)` that returns the path of a system tool.

    It installs the Debian package if the tool is missing. If that is not possible, it skips the test and gives the
    reason; with `CI=true` the test fails instead.
    """
    failures: dict[str, str] = {}

    def require(name: str, package: str) -> Path:
        found = find_tool(name)
        if found is None and name not in failures:
            failures[name] = install(package)
            found = find_tool(name)
        if found is not None:
            return found
        reason = f"{name} is missing: {failures[name] or f'the package {package} does not contain it'}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return require


@pytest.fixture(scope="module")
def browser(require_tool: Callable[[str, str], Path]) -> Iterator[Any]:
    """The system's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = require_tool("chromium", "chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield found
        found.close()


def find_tool(name: str) -> Path | None:
    """Return the path of a tool. Daemons are in sbin, which need not be on the path."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def install(package: str) -> str:
    """Install a Debian package; return the reason of a failure, or an empty string."""
    if shutil.which("apt-get") is None:
        return f"apt-get is missing; install {package} by hand"
    if os.geteuid() != 0:
        return f"the installation needs root; run: apt-get install {package}"
    with installation_lock(), daemons_not_started():
        try:
            # The package lists are fetched if there are none.
            if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
                apt_get("update", "-qq")
            try:
                apt_get("install", "-y", "-qq", "--no-install-recommends", package)
            except subprocess.CalledProcessError:
                # The lists may be older than the mirror.
                apt_get("update", "-qq")
                apt_get("install", "-y", "-qq", "--no-install-recommends", package)
        except subprocess.CalledProcessError as error:
            return f"apt-get {error.cmd[-1]}: {(error.stderr or '').strip()[-300:] or f'exit code {error.returncode}'}"
        except subprocess.TimeoutExpired:
            return f"apt-get took longer than {INSTALL_TIMEOUT} s"
    return ""


def apt_get(*arguments: str) -> None:
    """Run apt-get without prompts, after any other apt-get has finished."""
    subprocess.run(
        ["apt-get", "-o", f"DPkg::Lock::Timeout={INSTALL_TIMEOUT}", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )


@contextmanager
def installation_lock() -> Iterator[None]:
    """Serialise the installations of concurrent test runs on one machine."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def daemons_not_started() -> Iterator[None]:
    """Keep Debian packages from starting their daemons on installation, as tests start them."""
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
