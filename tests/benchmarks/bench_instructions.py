"""Counts the instructions of streams under Valgrind, writes them to `docs/benchmarks.json`, and draws the page.

Run: python -m tests.benchmarks.bench_instructions. It takes ten minutes of CPU time. Groups of variants have
processes of their own, in the environment of the tests of frameworks, which is outside of the repository and made once.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import bench_footprint, page
from tests.benchmarks.instructions import DELTAS, MORE, OURS, VARIANTS
from tests.benchmarks.peer import NATIVE, PEERS
from tests.benchmarks.peers import versions
from tests.frameworks.environments import interpreter, package_alone
from tests.support.paths import ROOT

from otel_claude_stream import __version__

GROUPS = (("none", NATIVE), tuple(name for name in VARIANTS if name.startswith(OURS)))
SECONDS = 3600
"""The most that a group may take, on a busy machine."""
MEMORY_ROUNDS = 5


def dumps(folder: Path) -> list[int]:
    """Return the instructions of all intervals in order. Valgrind numbers the files of Callgrind."""
    files = sorted(folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return [int(text.rpartition("totals: ")[2]) for text in texts if "dump-before" in text]


def figures(labels: list[list[Any]], counts: list[int]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the least instructions of each stream, call or event, by variant, figure and way."""
    each: dict[tuple[str, ...], float] = {}
    for (*key, unit), count in zip(labels, counts, strict=True):
        each[tuple(key)] = min(count / unit, each.get(tuple(key), math.inf))
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (variant, figure, way), count in each.items():
        name, _, length = figure.partition(" of ")
        if length == str(DELTAS):
            continue
        value = (count - each[variant, f"{name} of {DELTAS}", way]) / MORE if length else count
        found.setdefault(variant, {}).setdefault(name, {})[way] = round(value)
    return found


def run(python: Path, packages: Path, variants: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """Count some variants in a process. Return their figures, and the reason if there are none."""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
        valgrind += ["--zero-before=getsid", "--dump-before=getpgid"]
        command = [*valgrind, str(python), "-W", "ignore", "-m", "tests.benchmarks.instructions", *variants]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(
                command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, f"it did not end within {SECONDS} s"
        if done.returncode:
            return {}, (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
        return figures(json.loads(done.stdout.strip().splitlines()[-1]), dumps(Path(folder))), ""


def data_of(counted: object, failed: object, installed: Mapping[str, str], open_bytes: int) -> dict[str, Any]:
    """Return the data of the page."""
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d}",
        "versions": {
            "python": installed["python"],
            "valgrind": valgrind.strip().removeprefix("valgrind-"),
            **{name: installed[name] for name in ("anthropic", "opentelemetry-sdk")},
            OURS: __version__,
            **{name: installed[package] for name, (package, _) in PEERS.items() if package not in ("", "anthropic")},
        },
        "instructions": counted,
        "bytes of an open stream": open_bytes,
        "failed": failed,
    }


def main() -> int:
    """Count, write the data, and draw the page."""
    if not shutil.which("valgrind"):
        print(
            "benchmarks: Valgrind is not installed, so no instructions are counted; install valgrind", file=sys.stderr
        )
        return 1
    python = interpreter("newest")
    installed = versions(python)
    counted: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        packages = package_alone(Path(folder))
        groups = (*GROUPS, *((name,) for name in VARIANTS if name not in (*GROUPS[0], *GROUPS[1])))
        for group in groups:
            found, reason = run(python, packages, group)
            print(f"instructions: {', '.join(group)}: {reason or 'counted'}", file=sys.stderr, flush=True)
            counted |= found
            failed |= dict.fromkeys(group, reason) if reason else {}
    open_bytes = statistics.median(bench_footprint.memory_of(DELTAS)[1] for _ in range(MEMORY_ROUNDS))
    data = data_of(counted, failed, installed, round(open_bytes))
    page.DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    page.write(data)
    print(f"benchmarks: {page.DATA.name}, {page.PICTURE.name} and the tables of {page.PAGE.name} are written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
