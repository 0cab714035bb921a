"""The cost of activation at the start of a Python process that does not import the SDK."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.benchmarks.measure import Spread, spread

import otel_claude_stream
from otel_claude_stream.cli.activate import autoload

ROUNDS = 21
BARE = "pass"


def _environment(folder: Path) -> tuple[str, Path]:
    """Create an environment with access to the packages of this one; return its Python and its site-packages."""
    venv.create(folder, with_pip=False)
    (packages,) = (path for path in folder.rglob("site-packages") if not path.is_symlink())
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    here.append(str(Path(otel_claude_stream.__file__).parents[1]))
    (packages / "surroundings.pth").write_text("".join(f"{path}\n" for path in here), encoding="utf-8")
    return str(next(folder.glob("[bS][ic][nr]*/python*"))), packages


def _cpu_seconds(interpreter: str, code: str, **more: str) -> float:
    """Return the CPU seconds of a process from its start to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([interpreter, "-c", code], env={**clean, **more}, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _wall_seconds(interpreter: str, code: str, **more: str) -> float:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    started = time.perf_counter()
    subprocess.run([interpreter, "-c", code], env={**clean, **more}, check=True, capture_output=True)
    return time.perf_counter() - started


def autoload_cost(rounds: int) -> tuple[Spread, Spread]:
    """Measure wall milliseconds of a bare start, and those added by the autoload file while it is switched off."""
    with tempfile.TemporaryDirectory() as folder:
        interpreter, packages = _environment(Path(folder) / "venv")
        files = autoload.files(autoload.Environment(packages, sys.version_info[:2], None))
        bare, added = [], []
        for number in range(rounds * 3):  # a start is short, so many are measured
            took = {}
            for variant in ("bare", "line") if number % 2 else ("line", "bare"):
                for path, text in files.items():
                    if variant == "line":
                        path.write_text(text, encoding="utf-8")
                    else:
                        path.unlink(missing_ok=True)
                took[variant] = _wall_seconds(interpreter, BARE) * 1e3
            bare.append(took["bare"])
            added.append(took["line"] - took["bare"])
        return spread(bare), spread(added)


def auto_instrumentation_cost(rounds: int) -> tuple[Spread, Spread]:
    """Measure CPU milliseconds of a start under auto-instrumentation, and those added by this package."""
    from opentelemetry.instrumentation import auto_instrumentation

    more = {
        "PYTHONPATH": str(Path(auto_instrumentation.__file__).parent),
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    bare, added = [], []
    for number in range(rounds):
        took = {}
        for variant in ("without", "with") if number % 2 else ("with", "without"):
            disabled = "claude_stream" if variant == "without" else ""
            took[variant] = (
                _cpu_seconds(sys.executable, BARE, **more, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled) * 1e3
            )
        bare.append(took["without"])
        added.append(took["with"] - took["without"])
    return spread(bare), spread(added)


def main() -> None:
    """Print both costs."""
    base, added = autoload_cost(ROUNDS)
    print(f"autoload, variable unset    bare {base} ms   added {added} ms   target +5 ms")
    base, added = auto_instrumentation_cost(ROUNDS)
    print(f"opentelemetry-instrument    without us {base} ms CPU   added {added} ms CPU   target +100 ms")


if __name__ == "__main__":
    main()
