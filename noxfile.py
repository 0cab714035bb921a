"""Everything the project checks, as sessions: `nox --list` shows them, `make test` runs the default ones.

Tests run against the wheel that `build` made, never against `src/`. Each run of pytest leaves `build/junit/<name>.xml`,
and before it `<name>.expected`, so that a run that died without a result can be told from one that never began.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
DIST = BUILD / "dist"
JUNIT = BUILD / "junit"
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)

# The first of each generation whose streaming differs, between the oldest and the newest that `tests` covers.
MATRIX = ("0.75.0", "0.97.0", "0.125.0", "1.13.0", "1.17.0")

# Tests with a session and dependencies of their own.
DASHBOARDS = "tests/dashboards"
COLLECTOR = "tests/collector"
FRAMEWORKS = "tests/frameworks"
APART = (f"--ignore={DASHBOARDS}", f"--ignore={COLLECTOR}", f"--ignore={FRAMEWORKS}")

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|venv"  # uv comes with nox[uv]; without it plain venv and pip do the same, slower
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "imports", "build", "drift", "core", "tests", "collector", "dashboards"]


# uv does not read pip's variables. Whoever set those up for pip gets the same from uv.
for theirs, ours in (
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ("PIP_CERT", "SSL_CERT_FILE"),
):
    if os.environ.get(theirs) and ours not in os.environ:
        separator = "," if ours == "UV_FIND_LINKS" else " "
        os.environ[ours] = separator.join(os.environ[theirs].split()) if ours != "SSL_CERT_FILE" else os.environ[theirs]


def group(name: str) -> list[str]:
    """The requirements of one dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def run_time(*extras: str) -> list[str]:
    """The requirements of the package and some extras, for sessions that read `src/` instead of a wheel."""
    optional = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(item for extra in extras for item in optional[extra])]


def lower_bounds() -> list[str]:
    """Pins to the oldest versions that the metadata promises to work with."""
    pins = []
    for requirement in run_time("instruments", "otlp", "policy"):
        name, bound = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+),.*", requirement).groups()
        pins.append(f"{name}=={bound}" if "b" in bound else f"{name}=={bound}.*")
    return pins


def exactly(version: str) -> list[str]:
    """A pin to one version of the SDK."""
    return [f"anthropic=={version}"]


def built(suffix: str) -> Path:
    """The one file that `build` made."""
    (found,) = DIST.glob(f"*{suffix}")
    return found


def install_wheel(session: nox.Session, *groups: str, pins: list[str]) -> None:
    """Install the built wheel with all its extras, and tools, under some pins; the newest of all that is not pinned."""
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    wheel = built(".whl")
    tools = [item for name in groups for item in group(name)]
    session.install(
        "--upgrade", "-c", str(constraints), f"otel-claude-stream[all,instruments] @ {wheel.as_uri()}", *tools
    )
    # An environment that is reused already has this version, but not necessarily this build of it.
    session.install("--no-deps", "--force-reinstall", str(wheel))


def pytest(session: nox.Session, name: str, *arguments: str, runner: tuple[str, ...] = ("python", "-m")) -> None:
    """Run pytest; its result goes to `build/junit/<name>.xml`."""
    JUNIT.mkdir(parents=True, exist_ok=True)
    result = JUNIT / f"{name}.xml"
    result.unlink(missing_ok=True)
    result.with_suffix(".expected").touch()
    session.run(
        *runner,
        "pytest",
        f"--junit-xml={result}",
        "-o",
        f"junit_suite_name={name}",
        *arguments,
        *session.posargs,
        env={"WHEEL_UNDER_TEST": str(built(".whl"))},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and spelling."""
    session.install("--upgrade", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run(
        "codespell", "collector", "src", "tests", "dashboards", *(str(path.name) for path in sorted(ROOT.glob("*.md")))
    )


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    session.install("--upgrade", *group("imports"), *run_time())
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session
def build(session: nox.Session) -> None:
    """The sdist, and from it the wheel, both checked."""
    session.install("--upgrade", *group("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("validate-pyproject", "pyproject.toml", silent=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), silent=True)
    session.run("twine", "check", "--strict", str(built(".tar.gz")), str(built(".whl")))
    session.run("check-wheel-contents", str(built(".whl")))


@nox.session(requires=["build"])
def types(session: nox.Session) -> None:
    """The sources by mypy, the typed use of the public API by two checkers; and whether that API is fully typed."""
    install_wheel(session, "types", pins=[])
    session.run("mypy", "src", "tests/typing")
    # Which environment it looks into is decided by PATH, hence by the session.
    session.run("basedpyright", "tests/typing/api.py")
    session.run("basedpyright", "--ignoreexternal", "--verifytypes", "otel_claude_stream")


@nox.session
def drift(session: nox.Session) -> None:
    """Whether the generated text equals what the schema generates."""
    session.install("--upgrade", *run_time("instruments", "policy"), *group("docs"), *group("dashboards"))
    session.run("python", "-m", "otel_claude_stream._telemetry.render", "--check", env={"PYTHONPATH": "src"})
    session.run("python", "-m", "dashboards.generator", "--check", env={"PYTHONPATH": "src"})


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write the generated text anew."""
    session.install("--upgrade", *run_time("instruments", "policy"), *group("docs"))
    session.run("python", "-m", "otel_claude_stream._telemetry.render", env={"PYTHONPATH": "src"})


@nox.session(requires=["build"])
def core(session: nox.Session) -> None:
    """The core by its own tests alone: every branch."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("coverage", "erase")
    runner = ("coverage", "run", "--source=otel_claude_stream._core", "-m")
    pytest(session, "core", "tests/core", runner=runner)
    session.run("coverage", "report", "--fail-under=100")


@nox.session(requires=["build"])
@nox.parametrize("combo", ["newest", "oldest"], ids=["newest", "oldest"])
def tests(session: nox.Session, combo: str) -> None:
    """The whole suite, with the newest and with the oldest of everything we support."""
    pins = ["wrapt>=2"] if combo == "newest" else lower_bounds()
    # With a pydantic that old, the SDK itself cannot dump what it does not know, which is how the suite compares.
    install_wheel(session, "test", pins=[pin for pin in pins if not pin.startswith("pydantic")])
    pytest(session, f"tests-{combo}", *APART)
    if combo == "oldest":
        session.install(*(pin for pin in pins if pin.startswith("pydantic")))
        pytest(session, "config-oldest", "tests/config")


@nox.session(requires=["build"])
def collector(session: nox.Session) -> None:
    """The Collector's configuration, by a real Collector: found, or built once, which takes some minutes."""
    install_wheel(session, "test", "collector", pins=[])
    session.run("python", "collector/build.py", success_codes=[0, 1])  # where there is none, the tests say so
    pytest(session, "collector", COLLECTOR)


@nox.session(default=False, requires=["build"])
@nox.parametrize("anthropic", MATRIX, ids=MATRIX)
def matrix(session: nox.Session, anthropic: str) -> None:
    """The whole suite with SDKs between the oldest and the newest."""
    install_wheel(session, "test", pins=exactly(anthropic))
    pytest(session, f"matrix-{anthropic}", *APART)


@nox.session(default=False, requires=["build"], python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The whole suite with every Python we support that is installed."""
    install_wheel(session, "test", pins=[])
    pytest(session, f"python-{session.python}", *APART)


@nox.session(default=False, requires=["build"])
def coverage(session: nox.Session) -> None:
    """What the whole suite executes of the whole package."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    pytest(session, "coverage", *APART, runner=("coverage", "run", "--source=otel_claude_stream", "-m"))
    session.run("coverage", "report")


@nox.session(default=False, requires=["build"])
def bench(session: nox.Session) -> None:
    """What the instrumentation costs per event and per stream."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session(name="bench-collector", default=False, requires=["build"])
def bench_collector(session: nox.Session) -> None:
    """What the gateway carries: spans per second, with and without tail sampling, and how fast a queue empties."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-m", "tests.collector.bench", *session.posargs)


@nox.session(default=False, requires=["build"])
def demo(session: nox.Session) -> None:
    """The demo, from the wheel."""
    install_wheel(session, pins=[])
    session.run("otel-claude-stream", "demo", *session.posargs)


@nox.session(requires=["build"])
def dashboards(session: nox.Session) -> None:
    """The dashboards and the rules, against a real Prometheus."""
    install_wheel(session, "dashboards", pins=[])
    # A current Prometheus, compiled once where Go is at hand; where it is not, the tests of it skip and say so.
    session.run("python", "-m", "tests.dashboards.build_prometheus", success_codes=[0, 1])
    pytest(session, "dashboards", DASHBOARDS)


@nox.session(default=False)
def draw(session: nox.Session) -> None:
    """Write the dashboards and the rules anew; with `-- pictures` draw them as well."""
    session.install("--upgrade", *run_time("instruments", "otlp", "policy"), *group("dashboards"))
    session.env["PYTHONPATH"] = "src"
    session.run("python", "-m", "dashboards.generator")
    if "pictures" in session.posargs:
        session.run("python", "-m", "dashboards.pictures")


@nox.session(default=False, requires=["build"])
def frameworks(session: nox.Session) -> None:
    """Test real frameworks and other instrumentations, and check the page about them.

    Each group of frameworks has an environment of its own outside of the repository, which later runs use again.
    `FRAMEWORKS_NEWEST=1` ignores the pinned versions.
    """
    install_wheel(session, "frameworks", pins=[])
    pytest(session, "frameworks", FRAMEWORKS)
    session.run("python", "-m", "tests.frameworks.page", "--check")
