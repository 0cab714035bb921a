"""Everything the project checks, as sessions. `nox --list` lists them.

`make test` runs the sessions tagged `test`, the default. They need Python alone. `make test-all` runs those tagged
`rest` too, which need more: the oldest versions, Go, a proxy, Prometheus, Node.

Tests run against the wheel that `build` made, never against `src/`. Each run of pytest writes `build/junit/<name>.xml`
and creates `<name>.expected` before, so that a run that died without a result differs from one that never began.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
DIST = BUILD / "dist"
JUNIT = BUILD / "junit"
UV = Path(sys.executable).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)

# The first of each generation whose streaming differs, between the oldest and the newest that `tests` covers.
MATRIX = ("0.75.0", "0.97.0", "0.125.0", "1.13.0", "1.17.0")

# Tests with a session and dependencies of their own.
DASHBOARDS = "tests/dashboards"
COLLECTOR = "tests/collector"
CORE = "tests/core"
FRAMEWORKS = "tests/frameworks"
APART = (f"--ignore={DASHBOARDS}", f"--ignore={COLLECTOR}", f"--ignore={FRAMEWORKS}")
# Tests that run a program which may have to be installed first.
SYSTEM = "system"
# The tests of one file share what it starts, so they run in one process.
PARALLEL = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")

# Sessions of `make test`, which need Python alone, and those that `make test-all` adds.
TEST, REST = ["test"], ["rest"]

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|venv"  # uv comes with nox[uv]; without it plain venv and pip do the same, slower
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False
nox.options.error_on_missing_interpreters = False
nox.options.tags = TEST


# uv does not read pip's variables, so they are copied to those of uv.
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
    # A reused environment has this version, but not necessarily this build of it.
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
        # Some tests make environments: uv, which is installed beside nox, does it faster than pip.
        env={"WHEEL_UNDER_TEST": str(built(".whl")), "PATH": f"{os.environ['PATH']}{os.pathsep}{UV}"},
    )


@nox.session(tags=TEST)
def lint(session: nox.Session) -> None:
    """Style, formatting and spelling."""
    session.install("--upgrade", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run(
        "codespell", "collector", "src", "tests", "dashboards", *(str(path.name) for path in sorted(ROOT.glob("*.md")))
    )


@nox.session(tags=TEST)
def imports(session: nox.Session) -> None:
    """The layers of the package."""
    session.install("--upgrade", *group("imports"), *run_time())
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session(tags=TEST)
def build(session: nox.Session) -> None:
    """The sdist, and from it the wheel, both checked."""
    session.install("--upgrade", *group("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("validate-pyproject", "pyproject.toml", silent=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), silent=True)
    session.run("twine", "check", "--strict", str(built(".tar.gz")), str(built(".whl")))
    session.run("check-wheel-contents", str(built(".whl")))


@nox.session(tags=TEST, requires=["build"])
def types(session: nox.Session) -> None:
    """Types of the sources, of the public API's use by two checkers, and whether that API is fully typed."""
    install_wheel(session, "types", pins=[])
    session.run("mypy", "src", "tests/typing")
    # Which environment it looks into is decided by PATH, hence by the session.
    session.run("basedpyright", "tests/typing/api.py")
    session.run("basedpyright", "--ignoreexternal", "--verifytypes", "otel_claude_stream")


@nox.session(tags=TEST)
def drift(session: nox.Session) -> None:
    """Whether the generated text equals what the schema generates."""
    session.install("--upgrade", *run_time("instruments", "policy"), *group("docs"), *group("dashboards"))
    session.run("python", "tools/generate_docs.py", "--check", env={"PYTHONPATH": "src"})
    session.run("python", "-m", "dashboards.generator", "--check", env={"PYTHONPATH": "src"})


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated text anew."""
    session.install("--upgrade", *run_time("instruments", "policy"), *group("docs"))
    session.run("python", "tools/generate_docs.py", env={"PYTHONPATH": "src"})


@nox.session(tags=TEST, requires=["build"])
def core(session: nox.Session) -> None:
    """Every branch of the core, covered by tests/core alone."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("coverage", "erase")
    runner = ("coverage", "run", "--source=otel_claude_stream._core", "-m")
    pytest(session, "core", "tests/core", runner=runner)
    session.run("coverage", "report", "--fail-under=100")


@nox.session(requires=["build"])
@nox.parametrize("combo", [nox.param("newest", id="newest", tags=TEST), nox.param("oldest", id="oldest", tags=REST)])
def tests(session: nox.Session, combo: str) -> None:
    """The whole suite, with the newest and with the oldest supported versions."""
    pins = ["wrapt>=2"] if combo == "newest" else lower_bounds()
    # With a pydantic that old, the SDK itself cannot dump what it does not know, which is how the suite compares.
    install_wheel(session, "test", pins=[pin for pin in pins if not pin.startswith("pydantic")])
    # `core` and `system` run the rest in the same environment.
    elsewhere = (f"--ignore={CORE}", "-m", f"not {SYSTEM}") if combo == "newest" else ()
    pytest(session, f"tests-{combo}", *APART, *elsewhere, *PARALLEL)
    if combo == "oldest":
        session.install(*(pin for pin in pins if pin.startswith("pydantic")))
        pytest(session, "config-oldest", "tests/config", *PARALLEL)


@nox.session(tags=REST, requires=["build"])
def system(session: nox.Session) -> None:
    """The tests that run nginx, HAProxy, Node or a network namespace, with the newest supported versions."""
    install_wheel(session, "test", pins=["wrapt>=2"])
    pytest(session, "system", *APART, "-m", SYSTEM)


@nox.session(tags=REST, requires=["build"])
def collector(session: nox.Session) -> None:
    """The Collector's configuration, with a real Collector. Compiling it takes some minutes, once."""
    install_wheel(session, "test", "collector", pins=[])
    session.run("python", "collector/build.py", success_codes=[0, 1])  # without a Collector the tests skip or fail
    pytest(session, "collector", COLLECTOR)


@nox.session(requires=["build"])
@nox.parametrize("anthropic", MATRIX, ids=MATRIX)
def matrix(session: nox.Session, anthropic: str) -> None:
    """The whole suite with SDKs between the oldest and the newest."""
    install_wheel(session, "test", pins=exactly(anthropic))
    pytest(session, f"matrix-{anthropic}", *APART)


@nox.session(requires=["build"], python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The whole suite with every Python we support that is installed."""
    install_wheel(session, "test", pins=[])
    pytest(session, f"python-{session.python}", *APART)


@nox.session(requires=["build"])
def coverage(session: nox.Session) -> None:
    """Branch coverage of the whole package by the whole suite."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    pytest(session, "coverage", *APART, runner=("coverage", "run", "--source=otel_claude_stream", "-m"))
    session.run("coverage", "report")


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """The overhead of the instrumentation per event and per stream."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session(name="bench-collector", requires=["build"])
def bench_collector(session: nox.Session) -> None:
    """Throughput of the gateway in spans per second, with and without tail sampling, and how fast a queue empties."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-m", "tests.collector.bench", *session.posargs)


@nox.session(requires=["build"])
def demo(session: nox.Session) -> None:
    """The demo, from the wheel."""
    install_wheel(session, pins=[])
    session.run("otel-claude-stream", "demo", *session.posargs)


@nox.session(tags=REST, requires=["build"])
def dashboards(session: nox.Session) -> None:
    """The dashboards and the rules, with a real Prometheus."""
    install_wheel(session, "dashboards", pins=[])
    # Go compiles a current Prometheus once. Without Go the tests that need it skip.
    session.run("python", "-m", "tests.dashboards.build_prometheus", success_codes=[0, 1])
    pytest(session, "dashboards", DASHBOARDS)


@nox.session
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
