#!/usr/bin/env python3
"""Find or build the Collector that ``builder.yaml`` describes, and print its path.

The script uses the Collector that OTELCOL_BIN names, then one on PATH. It must have every component of the manifest,
in the same release or a later one. Otherwise the official builder compiles one. The result stays in the user's cache,
under a key made of the manifest, the Go version and the platform. A build needs Go; all else is in the standard
library.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

MANIFEST = Path(__file__).with_name("builder.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
ON_PATH = ("otelcol-claude-stream", "otelcol-contrib", "otelcol")
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false"}
COMPONENT = re.compile(r"^\s*- gomod: (\S+) v(\S+)$", re.MULTILINE)
LISTED = re.compile(r"^\s*module: (\S+) v(\S+)$", re.MULTILINE)
PROVIDERS = "go.opentelemetry.io/collector/confmap/provider/"
"""Every Collector has the providers that we need. `components` lists them by scheme, without a module."""

HEARTBEAT = 30.0
"""Seconds between two lines about a step that still runs."""

Report = Callable[[str], None]


class CollectorUnavailable(Exception):
    """There is no Collector and none can be built; ``str()`` is the reason."""


class StepFailed(Exception):
    """A command of a build failed; ``str()`` is the command and the end of its output."""


def modules(manifest: str) -> dict[str, str]:
    """The Go modules that the manifest names, and their versions."""
    return dict(COMPONENT.findall(manifest))


def release(version: str) -> tuple[int, ...]:
    """``0.158.0`` as numbers that can be compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def missing_modules(listing: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the wanted modules that are missing or older in the output of a Collector's ``components`` command."""
    there = dict(LISTED.findall(listing))
    return [
        f"{module} {version}"
        for module, version in wanted.items()
        if not module.startswith(PROVIDERS) and (module not in there or release(there[module]) < release(version))
    ]


def components(binary: Path) -> str:
    """Return the output of the binary's ``components`` command."""
    try:
        return subprocess.run([binary, "components"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CollectorUnavailable(f"{binary} is not a Collector: {error}") from error


def find_installed(wanted: Mapping[str, str], report: Report) -> Path | None:
    """Find an installed Collector. The one that OTELCOL_BIN names must have every component."""
    if named := os.environ.get("OTELCOL_BIN"):
        if missing := missing_modules(components(Path(named)), wanted):
            raise CollectorUnavailable(f"OTELCOL_BIN={named} lacks {', '.join(missing)}")
        return Path(named)
    for name in ON_PATH:
        if found := shutil.which(name):
            missing = missing_modules(components(Path(found)), wanted)
            if not missing:
                return Path(found)
            report(f"{found} is not used: it lacks {', '.join(missing)}")
    return None


def find_go() -> str:
    """Find the Go tool, on PATH or where the official archive installs it."""
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/go/bin")))
    if found is None:
        raise CollectorUnavailable(
            "no Collector was found, and there is no Go to build one: install Go, or set OTELCOL_BIN"
        )
    return found


def cache_folder() -> Path:
    """Return the folder of all builds."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream" / "collector"


def cache_key(manifest: str, tool: str) -> str:
    """Hash everything that a build depends on."""
    asked = [tool, "env", "GOVERSION", "GOOS", "GOARCH"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    return hashlib.sha256("\0".join((manifest, platform, *ENVIRONMENT.values())).encode()).hexdigest()[:32]


@contextmanager
def exclusive(lock: Path, report: Report) -> Iterator[None]:
    """Hold a lock on a build, so that a second process waits for the first one's result."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with heartbeat(f"waiting for the process that holds {lock}", report):
                fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def heartbeat(step: str, report: Report, pid: int | None = None) -> Iterator[None]:
    """Report a step, and every `HEARTBEAT` seconds that it still runs, with what the process below it does."""
    report(step)
    started = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            minutes, seconds = divmod(round(time.monotonic() - started), 60)
            report(f"{step}: {minutes} min {seconds:02} s so far" + (f", {work}" if (work := activity(pid)) else ""))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def activity(pid: int | None) -> str:
    """Describe what the processes below one do: the packages that Go compiles, else the last command. Needs /proc."""
    commands: dict[int, tuple[int, list[str]]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = parent, (folder / "cmdline").read_text(errors="replace").split("\0")[:-1]
    below = [] if pid is None else [pid]
    for process in below:  # grows
        below += [child for child, (parent, _) in commands.items() if parent == process]
    found = [commands[process][1] for process in below if process in commands]
    tools = [command for command in found if command and "-p" in command[:-1] and Path(command[0]).name == "compile"]
    if tools:
        return f"compiling {', '.join(sorted(tool[tool.index('-p') + 1] for tool in tools))}"
    if any(command and Path(command[0]).name == "link" for command in found):
        return "linking"
    return " ".join([Path(found[-1][0]).name, *found[-1][1:3]]) if found and found[-1] else ""


def run(command: list[str], folder: Path, environment: Mapping[str, str], step: str, report: Report) -> None:
    """Run one step of a build, with its output as progress. Raises ``StepFailed`` with the end of the output."""
    lines: deque[str] = deque(maxlen=8)
    with (
        subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        heartbeat(step, report, process.pid),
    ):
        for line in process.stdout or ():
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        raise StepFailed(f"{' '.join(command[:2])} failed: {''.join(lines).strip()}")


def component_facts(tool: str, manifest: str, folder: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Read from the sources of each component its id, its former id, and the stock distributions that include it."""
    found: dict[str, object] = {}
    for module in modules(manifest):
        if module.startswith(PROVIDERS):
            continue
        command = [tool, "list", "-m", "-f", "{{.Dir}}", module]
        listed = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        text = (Path(listed.stdout.strip()) / "metadata.yaml").read_text(encoding="utf-8")
        found[module] = parse_metadata(text)
    return found


def parse_metadata(text: str) -> dict[str, object]:
    """Extract three facts from a component's ``metadata.yaml`` without a YAML library."""

    def scalar(name: str) -> str | None:
        match = re.search(rf"^{name}: *(\S+)$", text, re.MULTILINE)
        return match[1] if match else None

    match = re.search(r"^  distributions:(?: *\[(.*)\]|((?:\n +- \S+)*))", text, re.MULTILINE)
    names = (
        re.findall(r"[\w-]+", re.sub(r"^\s*- ", "", (match[1] or match[2] or ""), flags=re.MULTILINE)) if match else []
    )
    return {"type": scalar("type"), "deprecated_type": scalar("deprecated_type"), "distributions": names}


def compile_collector(manifest: str, tool: str, folder: Path, report: Report) -> None:
    """Write the binary and the facts about its components to ``folder``."""
    environment = {**os.environ, **ENVIRONMENT, "GOBIN": str(folder)}
    version = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    if version is None:
        raise CollectorUnavailable(f"{MANIFEST.name} names no version")
    (folder / MANIFEST.name).write_text(manifest, encoding="utf-8")
    builder = f"{BUILDER}@v{version[1]}"
    run([tool, "install", builder], folder, environment, f"step 1 of 3, installing {builder}", report)
    command = [str(folder / "builder"), "--config", MANIFEST.name]
    run(command, folder, environment, "step 2 of 3, fetching and compiling the Collector", report)
    report("step 3 of 3, reading the metadata of the components")
    (built,) = (path for path in (folder / "build").iterdir() if os.access(path, os.X_OK) and path.is_file())
    about = component_facts(tool, manifest, folder / "build", environment)
    built.rename(folder / "otelcol")
    (folder / "components.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "builder").unlink()
    shutil.rmtree(folder / "build")


def build(manifest: str, report: Report) -> Path:
    """Return the Collector of the manifest, from the cache or compiled."""
    tool, home = find_go(), cache_folder()
    home.mkdir(parents=True, exist_ok=True)
    kept = home / cache_key(manifest, tool)
    binary = kept / "otelcol"
    with exclusive(kept.with_suffix(".lock"), report):
        if not binary.exists():
            report(f"building the Collector into {kept}: some minutes, once")
            unfinished = f"unfinished-{kept.name[:8]}-"
            for left in home.glob(f"{unfinished}*"):  # by a build that was killed: this one has the lock
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=unfinished, dir=home))
            try:
                compile_collector(manifest, tool, folder, report)
                folder.rename(kept)
            except StepFailed as error:
                raise CollectorUnavailable(str(error)) from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return binary


def report_progress(line: str) -> None:
    """Report progress on the standard error, as the standard output is for the path."""
    sys.stderr.write(f"build.py: {line}\n")
    sys.stderr.flush()


def collector(report: Report = report_progress) -> Path:
    """Find or build the Collector. Raises ``CollectorUnavailable``."""
    manifest = MANIFEST.read_text(encoding="utf-8")
    return find_installed(modules(manifest), report) or build(manifest, report)


def main() -> int:
    """Print the path; returns the exit code."""
    try:
        found = collector()
    except CollectorUnavailable as error:
        report_progress(str(error))
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
