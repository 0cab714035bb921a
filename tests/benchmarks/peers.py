"""Compare the overhead of this package with that of other instrumentations, in one run.

Run: python -m tests.benchmarks.peers [--rounds 5]. It prints a page, and writes it to `build/benchmarks/peers.md`.

Each measurement is a process of its own. The environment is that of the tests of frameworks, outside of the repository,
made once. The instrumentations take turns, so that noise affects all of them alike.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import machine
from tests.benchmarks.peer import PEERS
from tests.frameworks.environments import interpreter, package_alone
from tests.support.memory_api import WAYS

from otel_claude_stream import __version__

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "build" / "benchmarks" / "peers.md"

Figures = Mapping[str, Mapping[str, float]]


def run(python: Path, packages: Path, name: str) -> tuple[Figures | None, str]:
    """Measure one instrumentation in a process. Return its figures, or None with the reason."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"}
    command = [str(python), "-W", "ignore", "-m", "tests.benchmarks.peer", name]
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return None, "it did not end within 180 s"
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "no output"
    return json.loads(done.stdout.strip().splitlines()[-1]), ""


def versions(python: Path) -> dict[str, str]:
    """Return the versions of Python and of the packages in the environment."""
    code = "import json, platform, importlib.metadata as m\n"
    code += "found = [(d.name, d.version) for d in m.distributions()]\n"
    code += "print(json.dumps([*found, ('python', platform.python_version())]))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return {name.lower(): version for name, version in json.loads(done.stdout)}


def added(rounds: list[dict[str, Figures]], name: str, figure: str, way: str) -> float:
    """Return the median of what an instrumentation adds in each round."""
    return statistics.median(one[name][figure][way] - one["none"][figure][way] for one in rounds)


def ratio(rounds: list[dict[str, Figures]], name: str, figure: str, way: str) -> float:
    """Return the median of the ratios to the bare SDK in each round."""
    return statistics.median(one[name][figure][way] / one["none"][figure][way] for one in rounds)


def table(
    rounds: list[dict[str, Figures]],
    failed: Mapping[str, str],
    installed: Mapping[str, str],
) -> str:
    """Return the tables."""
    names = [name for name in PEERS if name != "none" and name not in failed]
    columns = "`create()` | `stream()` | async `create()` | async `stream()`"
    lines: list[str] = []

    def add(title: str, cells: Any, more: str = "") -> None:
        lines.extend([title, "", f"| Instrumentation | {columns}{more} |", f"| --- |{' ---: |' * (4 + bool(more))}"])
        lines.extend(f"| {label(name)} | {' | '.join(cells(name))} |" for name in names)
        lines.append("")

    def label(name: str) -> str:
        package = PEERS[name][0]
        version = __version__ if not package else installed.get(package, "?")
        return f"{name} {version}"

    add(
        "CPU time of a stream that waits 2 ms before each event, as a ratio to the bare SDK:",
        lambda name: [f"x{ratio(rounds, name, 'paced', way):.2f}" for way in WAYS],
    )
    add(
        "CPU time that an event of a burst takes longer, in us:",
        lambda name: [f"{added(rounds, name, 'burst', way):+.1f}" for way in WAYS],
    )
    add(
        "CPU time that a stream of ten deltas takes longer, in us, and the delay of its first event with `create()`:",
        lambda name: [
            *(f"{added(rounds, name, 'short', way):+.0f}" for way in WAYS),
            f"{added(rounds, name, 'first', WAYS[0]):+.0f}",
        ],
        " | first event",
    )
    lines += [f"- {label(name)} was not measured: {reason}" for name, reason in failed.items()]
    return "\n".join(lines).rstrip()


def page(tables: str, installed: Mapping[str, str], rounds: int, on: str, date: dt.date) -> str:
    """Return the tables with a title, and with the machine, the date and the versions of the measurement."""
    names = ("python", "anthropic", "opentelemetry-sdk")
    versions_used = ", ".join(f"{name} {installed.get(name, '?')}" for name in names)
    head = f"Measured on {date} on {on}, with {versions_used}. Figures are medians of {rounds} rounds."
    return f"# Overhead of instrumentations of the Anthropic SDK\n\n{head}\n\n{tables}\n"


def main() -> int:
    """Measure, print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    python = interpreter("newest")
    installed = versions(python)
    rounds: list[dict[str, Figures]] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        packages = package_alone(Path(folder))
        for number in range(arguments.rounds):
            found: dict[str, Figures] = {}
            names = [name for name in PEERS if name not in failed]
            for name in names[number % len(names) :] + names[: number % len(names)]:
                figures, reason = run(python, packages, name)
                print(f"round {number + 1}: {name} {reason or 'measured'}", file=sys.stderr, flush=True)
                if figures is None:
                    failed[name] = reason
                else:
                    found[name] = figures
            rounds.append(found)
    tables = table(rounds, failed, installed)
    text = page(tables, installed, arguments.rounds, machine(), dt.datetime.now(dt.timezone.utc).date())
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
