#!/usr/bin/env python3
"""Find or build the Collector that ``builder.yaml`` describes, and print its path.

What OTELCOL_BIN names is taken, then what is on PATH, if it has every component of the manifest in a release that is
not older. Else the official builder compiles one, once: it is kept in the user's cache under a key made of the
manifest, the Go version and the platform. Only the standard library is needed, and Go for a build.
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
"""Every Collector has the ones we need, and `components` tells them by scheme."""

Say = Callable[[str], None]


class NoCollector(Exception):
    """There is no Collector and none can be built; ``str()`` says why."""


def modules(manifest: str) -> dict[str, str]:
    """The Go modules that the manifest names, and their versions."""
    return dict(COMPONENT.findall(manifest))


def release(version: str) -> tuple[int, ...]:
    """``0.158.0`` as numbers that can be compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def lacks(listing: str, wanted: Mapping[str, str]) -> list[str]:
    """Which wanted modules a Collector, by what its ``components`` said, has not, or only older."""
    there = dict(LISTED.findall(listing))
    return [
        f"{module} {version}"
        for module, version in wanted.items()
        if not module.startswith(PROVIDERS) and (module not in there or release(there[module]) < release(version))
    ]


def components(binary: Path) -> str:
    """What the binary says of its components."""
    try:
        return subprocess.run([binary, "components"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCollector(f"{binary} is no Collector: {error}") from error


def installed(wanted: Mapping[str, str], say: Say) -> Path | None:
    """A Collector of the machine's own: one that is named must suffice, one that is merely found may not."""
    if named := os.environ.get("OTELCOL_BIN"):
        if missing := lacks(components(Path(named)), wanted):
            raise NoCollector(f"OTELCOL_BIN={named} lacks {', '.join(missing)}")
        return Path(named)
    for name in ON_PATH:
        if found := shutil.which(name):
            missing = lacks(components(Path(found)), wanted)
            if not missing:
                return Path(found)
            say(f"{found} is left aside: it lacks {', '.join(missing)}")
    return None


def go() -> str:
    """The Go tool; the official archive's place is not on everyone's path."""
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/go/bin")))
    if found is None:
        raise NoCollector("there is neither a Collector nor Go to build one: install Go, or set OTELCOL_BIN")
    return found


def cache() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-claude-stream" / "collector"


def key(manifest: str, tool: str) -> str:
    """What a build depends on."""
    asked = [tool, "env", "GOVERSION", "GOOS", "GOARCH"]
    platform = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    return hashlib.sha256("\0".join((manifest, platform, *ENVIRONMENT.values())).encode()).hexdigest()[:32]


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One build of one key at a time; whoever waits finds it done."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    """One step, its output as progress. Raises ``NoCollector`` with the end of it."""
    lines: deque[str] = deque(maxlen=8)
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        raise NoCollector(f"{' '.join(command[:2])} failed: {''.join(lines).strip()}")


def distributions(tool: str, manifest: str, folder: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """What the sources of each component say of it: its id, the id it had, the stock distributions that have it."""
    found: dict[str, object] = {}
    for module in modules(manifest):
        if module.startswith(PROVIDERS):
            continue
        command = [tool, "list", "-m", "-f", "{{.Dir}}", module]
        listed = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        text = (Path(listed.stdout.strip()) / "metadata.yaml").read_text(encoding="utf-8")
        found[module] = metadata(text)
    return found


def metadata(text: str) -> dict[str, object]:
    """The three facts of a component's ``metadata.yaml``: no YAML library is at hand here."""

    def scalar(name: str) -> str | None:
        match = re.search(rf"^{name}: *(\S+)$", text, re.MULTILINE)
        return match[1] if match else None

    match = re.search(r"^  distributions:(?: *\[(.*)\]|((?:\n +- \S+)*))", text, re.MULTILINE)
    names = (
        re.findall(r"[\w-]+", re.sub(r"^\s*- ", "", (match[1] or match[2] or ""), flags=re.MULTILINE)) if match else []
    )
    return {"type": scalar("type"), "deprecated_type": scalar("deprecated_type"), "distributions": names}


def compile_it(manifest: str, tool: str, folder: Path) -> None:
    """The binary and what its components say of themselves, into ``folder``."""
    environment = {**os.environ, **ENVIRONMENT, "GOBIN": str(folder)}
    version = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    if version is None:
        raise NoCollector(f"{MANIFEST.name} names no version")
    (folder / MANIFEST.name).write_text(manifest, encoding="utf-8")
    run([tool, "install", f"{BUILDER}@v{version[1]}"], folder, environment)
    run([str(folder / "builder"), "--config", MANIFEST.name], folder, environment)
    (built,) = (path for path in (folder / "build").iterdir() if os.access(path, os.X_OK) and path.is_file())
    about = distributions(tool, manifest, folder / "build", environment)
    built.rename(folder / "otelcol")
    (folder / "components.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "builder").unlink()
    shutil.rmtree(folder / "build")


def build(manifest: str, say: Say) -> Path:
    """The Collector of the manifest, from the cache if it is there."""
    tool, home = go(), cache()
    home.mkdir(parents=True, exist_ok=True)
    kept = home / key(manifest, tool)
    binary = kept / "otelcol"
    with alone(kept.with_suffix(".lock")):
        if not binary.exists():
            say(f"building the Collector into {kept}: some minutes, once")
            folder = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home))
            try:
                compile_it(manifest, tool, folder)
                folder.rename(kept)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return binary


def tell(line: str) -> None:
    """Beside the result, which alone goes to the standard output."""
    sys.stderr.write(f"{line}\n")


def collector(say: Say = tell) -> Path:
    """The Collector to use. Raises ``NoCollector``."""
    manifest = MANIFEST.read_text(encoding="utf-8")
    return installed(modules(manifest), say) or build(manifest, say)


def main() -> int:
    """Print the path; returns the exit code."""
    try:
        found = collector()
    except NoCollector as error:
        tell(f"build.py: {error}")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
