"""The checks and tests of the project as nox sessions. `nox --list` lists them.

`make test` runs the sessions tagged `test`, the default, and those of them tagged `check` in parallel. They need Python
alone. `make test-all` runs those tagged `rest` too, which need more: oldest versions, Go, a proxy, Prometheus, Node.

Tests run against the wheel that `build` creates, never against `src/`. Each run of pytest first creates
`build/junit/<name>.expected` and then writes `<name>.xml`. A run that crashed without a result has only the first.
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
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream"
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)

# Versions of the SDK. `tests` covers the oldest and the newest. Between them are the last version of each generation,
# the first of the newest generation, and others whose streaming differs.
GENERATIONS = ("0.125.0", "1.17.0", "2.0.0")
MATRIX = ("0.75.0", "0.97.0", "1.13.0", *GENERATIONS)
# CPython 3.14 and 3.15, compiled for Node.
PYODIDE = ("314.0.7", "315.0.0-alpha.2")

# Tests with separate sessions and dependencies.
DASHBOARDS = "tests/dashboards"
TRACES = "tests/dashboards/traces"
COLLECTOR = "tests/collector"
CORE = "tests/core"
FRAMEWORKS = "tests/frameworks"
APART = (f"--ignore={DASHBOARDS}", f"--ignore={COLLECTOR}", f"--ignore={FRAMEWORKS}")
# Tests that depend on the version of the SDK.
SDK = ("tests/sdk", "tests/integration", "tests/recordings", "tests/retry", "tests/telemetry")
# The markers of tests that run programs which may have to be installed first, and of those that `make test` leaves out
# because of their time.
SYSTEM = "system or long"
# The tests of one file share fixtures such as servers, so they run in one process.
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
PROCESSORS = os.cpu_count() or 1
# Many tests wait, so one process more than there are processors finds work.
PARALLEL = ("-n", str(PROCESSORS + 1), *BY_FILE)
# Programs such as Chromium and the Collector work beside the tests that start them.
BESIDE_PROGRAMS = ("-n", str(PROCESSORS), *BY_FILE)

# Sessions of `make test`, which need Python alone, and those that `make test-all` adds.
TEST, REST = ["test"], ["rest"]
# Sessions of `make test` that may run in parallel. The suite measures times, and its output is shown as it runs.
CHECK = [*TEST, "check"]

nox.needs_version = ">=2026.8.10"
nox.options.default_venv_backend = "uv|venv"  # uv comes with nox[uv]; venv and pip are slower
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False
nox.options.error_on_missing_interpreters = False
nox.options.tags = TEST


# uv does not read pip's variables, so they are copied to those of uv.
for pip_variable, uv_variable in (
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ("PIP_CERT", "SSL_CERT_FILE"),
):
    value = os.environ.get(pip_variable)
    if value and uv_variable not in os.environ:
        separator = "," if uv_variable == "UV_FIND_LINKS" else " "
        os.environ[uv_variable] = value if uv_variable == "SSL_CERT_FILE" else separator.join(value.split())


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def package_requirements(*extras: str) -> list[str]:
    """Return the requirements of the package and some extras, for sessions that use `src/` instead of a wheel."""
    optional = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(item for extra in extras for item in optional[extra])]


def lower_bounds() -> list[str]:
    """Return pins to the oldest versions that the metadata allows."""
    pins = []
    for requirement in package_requirements("instruments", "otlp", "policy"):
        name, bound = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+),.*", requirement).groups()
        pins.append(f"{name}=={bound}" if "b" in bound else f"{name}=={bound}.*")
    return pins


def sdk_pin(version: str) -> list[str]:
    """Return a pin to one version of the SDK."""
    return [f"anthropic=={version}"]


def built_file(suffix: str) -> Path:
    """Return the file with this suffix that `build` created."""
    (found,) = DIST.glob(f"*{suffix}")
    return found


def install_wheel(session: nox.Session, *groups: str, pins: list[str]) -> None:
    """Install the wheel with all extras, and the groups: pinned packages in that version, others in the newest."""
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    wheel = built_file(".whl")
    tools = [item for name in groups for item in group(name)]
    session.install(
        "--upgrade", "-c", str(constraints), f"otel-claude-stream[all,instruments] @ {wheel.as_uri()}", *tools
    )
    # A reused environment may have another build of the same version.
    session.install("--no-deps", "--force-reinstall", str(wheel))


def pytest(session: nox.Session, name: str, *arguments: str, runner: tuple[str, ...] = ("python", "-m")) -> None:
    """Run pytest and write the result to `build/junit/<name>.xml`."""
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
        env={
            "WHEEL_UNDER_TEST": str(built_file(".whl")),
            # Some tests create environments. uv, which is installed with nox, is faster than pip.
            "PATH": f"{os.environ['PATH']}{os.pathsep}{UV}",
            # uv compiles no bytecode. Without it, each of the tests' processes would compile the SDK again.
            "PYTHONDONTWRITEBYTECODE": None,
        },
    )


@nox.session(tags=CHECK)
def lint(session: nox.Session) -> None:
    """Check style, formatting, spelling, prose, the structure of the sources, and the workflows."""
    session.install("--upgrade", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    pages = (str(path.relative_to(ROOT)) for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))))
    session.run("codespell", "collector", "dashboards", "src", "tests", "tools", *pages)
    for check in (
        ("check_prose.py",),
        ("check_cycles.py",),
        ("foreign_assignments.py", "--limit", "0"),
        ("count_twins.py", "--limit", "60"),
        ("unasync.py", "--check"),
    ):
        session.run("python", f"tools/{check[0]}", *check[1:])
    # Without --offline, it asks GitHub about the actions.
    session.run("zizmor", "--offline", "--persona", "auditor", "--quiet", ".github", ".pre-commit-config.yaml")


@nox.session(tags=CHECK)
def imports(session: nox.Session) -> None:
    """Check that modules import only what the layers allow."""
    session.install("--upgrade", *group("imports"), *package_requirements())
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session(tags=CHECK)
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, and check both."""
    session.install("--upgrade", *group("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("validate-pyproject", "pyproject.toml", silent=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), silent=True)
    session.run("twine", "check", "--strict", str(built_file(".tar.gz")), str(built_file(".whl")))
    session.run("check-wheel-contents", str(built_file(".whl")))


@nox.session(tags=CHECK, requires=["build"])
def types(session: nox.Session) -> None:
    """Check the types of the sources and of code that uses the public API, and that the API is fully typed."""
    install_wheel(session, "types", pins=[])
    session.run("mypy", "src", "tests/typing")
    # It uses the environment on PATH, which is that of the session.
    session.run("basedpyright", "tests/typing/api.py")
    session.run("basedpyright", "--ignoreexternal", "--verifytypes", "otel_claude_stream")


@nox.session(tags=CHECK)
def drift(session: nox.Session) -> None:
    """Check that generated text is up to date."""
    session.install("--upgrade", *package_requirements("instruments", "policy"), *group("docs"), *group("dashboards"))
    session.run("python", "tools/generate_docs.py", "--check", env={"PYTHONPATH": "src"})
    session.run("python", "-m", "dashboards.generator", "--check", env={"PYTHONPATH": "src"})


@nox.session(tags=CHECK)
def docs(session: nox.Session) -> None:
    """Build the documentation. A link or a reference that leads nowhere fails. `-- generate` writes generated text."""
    session.install("--upgrade", *package_requirements("instruments", "otlp", "policy"), *group("docs"))
    session.env["PYTHONPATH"] = "src"
    if "generate" in session.posargs:
        session.run("python", "tools/generate_docs.py")
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(BUILD / "docs"))
    session.run("python", "tools/check_site.py", str(BUILD / "docs"))


@nox.session(default=False)
def links(session: nox.Session) -> None:
    """Follow the links of the documentation to other sites, and name those that are broken. Needs a network."""
    session.install("--upgrade", *package_requirements("instruments", "otlp", "policy"), *group("docs"))
    session.env["PYTHONPATH"] = "src"
    session.run("sphinx-build", "--builder", "linkcheck", "--quiet", "docs", str(BUILD / "links"))


@nox.session(tags=CHECK, requires=["build"])
def core(session: nox.Session) -> None:
    """Check that tests/core alone covers every branch of the core."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("coverage", "erase")
    runner = ("coverage", "run", "--source=otel_claude_stream._core", "-m")
    pytest(session, "core", "tests/core", runner=runner)
    session.run("coverage", "report", "--fail-under=100")


@nox.session(requires=["build"])
@nox.parametrize("combo", [nox.param("newest", id="newest", tags=TEST), nox.param("oldest", id="oldest", tags=REST)])
def tests(session: nox.Session, combo: str) -> None:
    """Run the whole suite with the newest and with the oldest supported versions."""
    pins = ["wrapt>=2"] if combo == "newest" else lower_bounds()
    install_wheel(session, "test", pins=pins)
    # `core` and `system` run the other tests with the same versions.
    elsewhere = (f"--ignore={CORE}", "-m", f"not ({SYSTEM})") if combo == "newest" else ()
    pytest(session, f"tests-{combo}", *APART, *elsewhere, *PARALLEL)


@nox.session(tags=REST, requires=["build"])
def system(session: nox.Session) -> None:
    """Run the long tests, and those that need nginx, HAProxy, Node, Chromium or a network namespace."""
    install_wheel(session, "test", "browser", "docs", pins=["wrapt>=2"])
    pytest(session, "system", *APART, "-m", SYSTEM, *BESIDE_PROGRAMS)


@nox.session(tags=REST, requires=["build"])
def collector(session: nox.Session) -> None:
    """Test the Collector's configuration with a real Collector, which is compiled once, in some minutes."""
    install_wheel(session, "test", "collector", pins=[])
    # Without a Collector, Prometheus, Node or Go, the tests that need them skip or fail.
    session.run("python", "collector/build.py", success_codes=[0, 1])
    for build in ("dashboards.build_prometheus", "support.collector.node_sdk", "support.collector.go_sdk"):
        session.run("python", "-m", f"tests.{build}", success_codes=[0, 1])
    pytest(session, "collector", COLLECTOR, *BESIDE_PROGRAMS)


@nox.session(requires=["build"])
@nox.parametrize("anthropic", MATRIX, ids=MATRIX)
def matrix(session: nox.Session, anthropic: str) -> None:
    """Run the tests that depend on the SDK with more versions between the oldest and the newest."""
    install_wheel(session, "test", pins=sdk_pin(anthropic))
    pytest(session, f"matrix-{anthropic}", *SDK, "tests/failopen", "tests/lifecycle", *PARALLEL)


@nox.session(tags=REST, requires=["build"])
@nox.parametrize("anthropic", GENERATIONS, ids=GENERATIONS)
def generations(session: nox.Session, anthropic: str) -> None:
    """Run the tests that depend on the SDK with the last version of each generation and the first of the newest."""
    install_wheel(session, "test", "transports", pins=sdk_pin(anthropic))
    pytest(session, f"generations-{anthropic}", *SDK, *PARALLEL)


@nox.session(requires=["build"], python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the whole suite with every supported Python that is installed."""
    install_wheel(session, "test", pins=[])
    pytest(session, f"python-{session.python}", *APART, *PARALLEL)


@nox.session
@nox.parametrize("version", PYODIDE, ids=PYODIDE)
def node(session: nox.Session, version: str) -> None:
    """Run the tests of the core with Pythons that npm has and package indexes lack. Needs Node."""
    packages = Path(session.create_tmp()).resolve() / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    # Later versions of hypothesis are compiled, and so are parts of other test requirements.
    tools = ("opentelemetry-sdk", "pytest", "hypothesis < 6.136")
    session.install("--target", str(packages), *package_requirements(), *tools)
    folder = CACHES / "npm" / "pyodide" / version
    folder.mkdir(parents=True, exist_ok=True)
    npm = ("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"pyodide@{version}")
    session.run(*npm, external=True, silent=True)
    runner = ("node", "tests/support/pyodide.mjs", str(folder), str(packages), str(ROOT))
    session.run(*runner, "-p", "no:cacheprovider", CORE, *session.posargs, external=True)


@nox.session(requires=["build"])
def coverage(session: nox.Session) -> None:
    """Measure the branch coverage of the package by the whole suite."""
    install_wheel(session, "test", pins=[])
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    pytest(session, "coverage", *APART, runner=("coverage", "run", "--source=otel_claude_stream", "-m"))
    session.run("coverage", "report")


@nox.session(default=False, requires=["build"])
def fuzz(session: nox.Session) -> None:
    """Play 100,000 random conversations, and read 100,000 random bodies."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-W", "ignore", "-m", "tests.fuzz", "conversations", *session.posargs)
    session.run("python", "-W", "ignore", "-m", "tests.fuzz", "bodies", *session.posargs)


@nox.session(name="release-check")
def release_check(session: nox.Session) -> None:
    """Build a release twice, install each extra on each Python at hand, and list materials and licences."""
    session.install("--upgrade", *group("build"), *group("release"))
    session.run(
        "python",
        "tools/release_check.py",
        *session.posargs,
        env={"PATH": f"{session.bin}{os.pathsep}{os.environ['PATH']}"},
    )


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure the overhead per event and per stream. `-- --plot` counts instructions instead, for the page about it."""
    install_wheel(session, "test", pins=[])
    # uv, which is installed with nox, makes the environment of the other instrumentations.
    path = f"{os.environ['PATH']}{os.pathsep}{UV}"
    session.run("python", "-m", "tests.benchmarks", *session.posargs, env={"PATH": path})


@nox.session(name="bench-collector", requires=["build"])
def bench_collector(session: nox.Session) -> None:
    """Measure the gateway: spans per second with and without tail sampling, and how fast a queue empties."""
    install_wheel(session, "test", pins=[])
    session.run("python", "-m", "tests.collector.bench", *session.posargs)


@nox.session(requires=["build"])
def demo(session: nox.Session) -> None:
    """Run the demo from the wheel."""
    install_wheel(session, pins=[])
    session.run("otel-claude-stream", "demo", *session.posargs)


@nox.session(tags=REST, requires=["build"])
def dashboards(session: nox.Session) -> None:
    """Test the dashboards and the rules with a real Prometheus, and in a page with Chromium."""
    install_wheel(session, "dashboards", "browser", pins=[])
    # Go and Node build these once. Without Go or Node, the tests that need them are skipped.
    for build in ("prometheus", "perses_model", "openslo_model", "perses_page"):
        session.run("python", "-m", f"tests.dashboards.build_{build}", success_codes=[0, 1])
    pytest(session, "dashboards", DASHBOARDS, f"--ignore={TRACES}", *BESIDE_PROGRAMS)


@nox.session(tags=["traces"], requires=["build"])
def traces(session: nox.Session) -> None:
    """Test the traces of the demo in a real Jaeger, which is compiled once, in some ten minutes, and in the page.

    That time is why `test-all` does without it.
    """
    install_wheel(session, "dashboards", "browser", pins=[])
    for build in ("jaeger", "perses_page"):
        session.run("python", "-m", f"tests.dashboards.build_{build}", success_codes=[0, 1])
    pytest(session, "traces", TRACES)


@nox.session
def draw(session: nox.Session) -> None:
    """Generate the dashboards and the rules. With `-- pictures`, take the pictures too."""
    session.install("--upgrade", *package_requirements("instruments", "otlp", "policy"), *group("dashboards"))
    session.env["PYTHONPATH"] = "src"
    session.run("python", "-m", "dashboards.generator")
    if "pictures" in session.posargs:
        session.install("--upgrade", *group("browser"))
        session.run("python", "-m", "dashboards.pictures")


@nox.session(name="dashboards-live", default=False)
def dashboards_live(session: nox.Session) -> None:
    """Show the dashboards in a page of Perses' components, with a real Prometheus, until Ctrl-C."""
    session.install("--upgrade", *package_requirements("instruments", "otlp", "policy"), *group("dashboards"))
    session.run("python", "-m", "dashboards.live", env={"PYTHONPATH": "src"})


@nox.session(tags=REST, requires=["build"])
def frameworks(session: nox.Session) -> None:
    """Test real frameworks and other instrumentations, and check the page about them.

    Each group of frameworks has an environment of its own outside of the repository, which later runs use again.
    `FRAMEWORKS_NEWEST=1` ignores the pinned versions.
    """
    install_wheel(session, "frameworks", pins=[])
    pytest(session, "frameworks", FRAMEWORKS)
    session.run("python", "-m", "tests.frameworks.page", "--check")
