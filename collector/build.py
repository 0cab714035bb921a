#!/usr/bin/env python3
"""Find or build the Collector that ``builder.yaml`` describes, and print its path.

The script first tries the binary that OTELCOL_BIN names, then Collectors on PATH. A Collector is used if it has every
component of the manifest, each in the same release or a later one. Otherwise the official builder compiles one. The
result is kept in the user's cache, under a key made of the manifest, the Go version and the platform. The script needs
the standard library only, and Go for a build.
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
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MANIFEST = Path(__file__).with_name("builder.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
ON_PATH = ("otelcol-claude-stream", "otelcol-contrib", "otelcol")
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false"}
COMPONENT = re.compile(r"^\s*- gomod: (\S+) v(\S+)$", re.MULTILINE)
LISTED = re.compile(r"^\s*module: (\S+) v(\S+)$", re.MULTILINE)
PROVIDERS = "go.opentelemetry.io/collector/confmap/provider/"
"""Modules that are not compared: every Collector has these, and `components` lists them by scheme."""

Report = Callable[[str], None]
"""Receives one line about the progress."""


class CollectorUnavailable(Exception):
    """No Collector was found, and none can be built. The message names the reason."""


def modules(manifest: str) -> dict[str, str]:
    """Return the Go modules that the manifest names, with their versions."""
    return dict(COMPONENT.findall(manifest))


def release(version: str) -> tuple[int, ...]:
    """Convert ``0.158.0`` to numbers that can be compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def missing_modules(listing: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the wanted modules that a Collector lacks, or has in an older release only.

    Args:
        listing: The output of the Collector's ``components``.
        wanted: Modules and their versions.
    """
    present = dict(LISTED.findall(listing))
    return [
        f"{module} {version}"
        for module, version in wanted.items()
        if not module.startswith(PROVIDERS) and (module not in present or release(present[module]) < release(version))
    ]


def components(binary: Path) -> str:
    """Return the output of the binary's ``components``. Raises ``CollectorUnavailable`` if it fails."""
    try:
        return subprocess.run([binary, "components"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CollectorUnavailable(f"{binary} is not a Collector: {error}") from error


def find_installed(wanted: Mapping[str, str], report: Report) -> Path | None:
    """Return an installed Collector that has all wanted modules, or None.

    Raises ``CollectorUnavailable`` if the binary that OTELCOL_BIN names lacks some. One on PATH is passed over.
    """
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
    """Return the path of the Go tool, on PATH or in the folder of the official archive."""
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/go/bin")))
    if found is None:
        raise CollectorUnavailable(
            "no Collector was found, and there is no Go to build one: install Go, or set OTELCOL_BIN"
        )
    return found


def cache_folder() -> Path:
    """Return the folder in which builds are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream" / "collector"


def cache_key(manifest: str, tool: str) -> str:
    """Return a hash of everything that a build depends on."""
    asked = [tool, "env", "GOVERSION", "GOOS", "GOARCH"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    return hashlib.sha256("\0".join((manifest, platform, *ENVIRONMENT.values())).encode()).hexdigest()[:32]


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock between processes. A second build of the same key waits for the first, and finds its result."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run one step and pass its output on to stderr. Raises ``CollectorUnavailable`` with the last lines."""
    lines: deque[str] = deque(maxlen=8)
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        raise CollectorUnavailable(f"{' '.join(command[:2])} failed: {''.join(lines).strip()}")


def component_facts(tool: str, manifest: str, folder: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Return what the sources of each component state: its id, its former id, and the distributions that have it."""
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
    """Return the three facts from a component's ``metadata.yaml``, without a YAML library."""

    def scalar(name: str) -> str | None:
        match = re.search(rf"^{name}: *(\S+)$", text, re.MULTILINE)
        return match[1] if match else None

    match = re.search(r"^  distributions:(?: *\[(.*)\]|((?:\n +- \S+)*))", text, re.MULTILINE)
    names = (
        re.findall(r"[\w-]+", re.sub(r"^\s*- ", "", (match[1] or match[2] or ""), flags=re.MULTILINE)) if match else []
    )
    return {"type": scalar("type"), "deprecated_type": scalar("deprecated_type"), "distributions": names}


def compile_collector(manifest: str, tool: str, folder: Path) -> None:
    """Build the binary into ``folder``, and write ``components.json`` beside it."""
    environment = {**os.environ, **ENVIRONMENT, "GOBIN": str(folder)}
    version = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    if version is None:
        raise CollectorUnavailable(f"{MANIFEST.name} names no version")
    (folder / MANIFEST.name).write_text(manifest, encoding="utf-8")
    run([tool, "install", f"{BUILDER}@v{version[1]}"], folder, environment)
    run([str(folder / "builder"), "--config", MANIFEST.name], folder, environment)
    (built,) = (path for path in (folder / "build").iterdir() if os.access(path, os.X_OK) and path.is_file())
    facts = component_facts(tool, manifest, folder / "build", environment)
    built.rename(folder / "otelcol")
    (folder / "components.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "builder").unlink()
    shutil.rmtree(folder / "build")


def build(manifest: str, report: Report) -> Path:
    """Return the Collector of the manifest: from the cache, else newly built."""
    tool, home = find_go(), cache_folder()
    home.mkdir(parents=True, exist_ok=True)
    cached = home / cache_key(manifest, tool)
    binary = cached / "otelcol"
    with exclusive(cached.with_suffix(".lock")):
        if not binary.exists():
            report(f"building the Collector into {cached}: this takes some minutes, once")
            folder = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home))
            try:
                compile_collector(manifest, tool, folder)
                folder.rename(cached)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return binary


def report_progress(line: str) -> None:
    """Write to stderr, since stdout receives nothing but the path of the binary."""
    sys.stderr.write(f"{line}\n")


def collector(report: Report = report_progress) -> Path:
    """Return the Collector to use. Raises ``CollectorUnavailable``."""
    manifest = MANIFEST.read_text(encoding="utf-8")
    return find_installed(modules(manifest), report) or build(manifest, report)


def main() -> int:
    """Print the path, and return the exit code."""
    try:
        found = collector()
    except CollectorUnavailable as error:
        report_progress(f"build.py: {error}")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
