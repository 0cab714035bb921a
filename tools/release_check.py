"""Check that a release can be built again, installed with each extra on each Python at hand, and used.

It builds the sdist and the wheel twice and compares their hashes. It writes a bill of materials (CycloneDX) and a list
of licences of everything that `[all,instruments]` installs. It needs `uv`, `build`, `cyclonedx-py` and `pip-licenses`,
which the nox session `release-check` installs. At its end it lists what a tag still needs. With `--final` that is an
error, and the addresses of the project must answer.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("", "cli", "otlp", "policy", "instruments", "all,instruments")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
NAME = b"otel-claude-stream"
MOST_BYTES = 2**20
VERSION = re.compile(r'__version__ = "(.+)"')
SMOKE = """
import otel_claude_stream
from otel_claude_stream import testing
with testing.FakeAPI([testing.Script.message("Hello!")]) as api:
    assert api.port
otel_claude_stream.ClaudeStreamInstrumentor().instrument()
print(otel_claude_stream.__version__)
"""
STREAM = """
import anthropic
from otel_claude_stream import ClaudeStreamInstrumentor
from otel_claude_stream.testing import Capture, FakeAPI, Script
with Capture() as telemetry, FakeAPI([Script.message("Hello!")]) as api:
    ClaudeStreamInstrumentor().instrument(**telemetry.providers)
    client = anthropic.Anthropic(api_key="none", base_url=api.url)
    question = {"role": "user", "content": "Hello?"}
    with client.messages.stream(model="claude", max_tokens=9, messages=[question]) as stream:
        assert stream.get_final_text() == "Hello!"
    (span,) = telemetry.spans()
    assert span["attributes"]["claude.stream.outcome"] == "completed", span
"""


def run(*command: object, **variables: str) -> str:
    """Run a command and return its output. Raises `CalledProcessError` if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def installed(pythons: Sequence[str]) -> list[str]:
    """Return the versions of Python that uv finds. Raises `ValueError` if there is none."""
    found = []
    for python in pythons:
        with contextlib.suppress(subprocess.CalledProcessError):
            run("uv", "python", "find", "--quiet", python)
            found.append(python)
    if not found:
        raise ValueError(f"uv finds none of these Pythons: {', '.join(pythons)}")
    return found


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def build(folder: Path, epoch: str) -> dict[str, str]:
    """Build the sdist, and the wheel from it, with a fixed time, and return their hashes."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, SOURCE_DATE_EPOCH=epoch)
    return hashes(folder)


def current_version() -> str:
    """Return the version. Raises `ValueError` if there is none."""
    version = VERSION.search((ROOT / "src/otel_claude_stream/version.py").read_text(encoding="utf-8"))
    if version is None:
        raise ValueError("version.py has no __version__")
    return version[1]


def missing_for_tag(version: str, *, ask: bool) -> Iterator[str]:
    """Yield what a tag of this version still needs. With `ask`, request the addresses of the project."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE):
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"
    addresses = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
    source = addresses.get("Source", "")
    repository = "/".join(filter(None, map(os.environ.get, ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))))
    if not source:
        yield "pyproject.toml has no Source in [project.urls]: add the address of the repository"
    elif repository and source.rstrip("/") != repository:
        yield f"pyproject.toml names {source} as Source, but this is {repository}"
    if ask:
        yield from (f"{name}: {reason}" for name, url in addresses.items() if (reason := failure_of(url)))


def failure_of(url: str) -> str:
    """Return why an address is not one of this project; empty if its page names it."""
    try:
        with urllib.request.urlopen(url, timeout=30) as page:  # noqa: S310 - from pyproject.toml
            found = NAME in page.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    return "" if found else f"{url} does not name {NAME.decode()}"


def try_installations(files: Sequence[Path], folder: Path, pythons: Sequence[str]) -> int:
    """Install each file with each extra on each Python, and run a smoke test. Return the number of installations."""
    count = 0
    for python in pythons:
        for file in files:
            for extra in EXTRAS:
                environment = folder / f"{python}-{count}"
                run("uv", "venv", "--quiet", "--python", python, environment)
                interpreter = environment / "bin" / "python"
                name = f"otel-claude-stream[{extra}]" if extra else "otel-claude-stream"
                run("uv", "pip", "install", "--quiet", "--python", interpreter, f"{name} @ {file.as_uri()}")
                run(interpreter, "-c", SMOKE)
                run(environment / "bin" / "otel-claude-stream", "--version")
                if extra == EXTRAS[-1]:
                    run(interpreter, "-c", STREAM)
                count += 1
                print(f"  {python}  {file.suffix.lstrip('.'):4} [{extra}]", flush=True)
                shutil.rmtree(environment)
    return count


def write_reports(wheel: Path, folder: Path, output: Path) -> None:
    """Write the bill of materials and the licences of an environment with everything."""
    environment = folder / "all"
    run("uv", "venv", "--quiet", environment)
    python = environment / "bin" / "python"
    run(
        "uv", "pip", "install", "--quiet", "--python", python, f"otel-claude-stream[all,instruments] @ {wheel.as_uri()}"
    )
    run("cyclonedx-py", "environment", python, "--output-reproducible", "--output-file", output / "sbom.json")
    licences = run("pip-licenses", "--python", python, "--format=markdown", "--with-urls")
    (output / "licences.md").write_text(licences + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all checks. Return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "release", help="default: build/release")
    parser.add_argument(
        "--python", nargs="+", default=PYTHONS, help=f"versions of Python; default: {' '.join(PYTHONS)}"
    )
    parser.add_argument("--final", action="store_true", help="fail if anything is missing that a tag needs")
    arguments = parser.parse_args(argv)
    version = current_version()
    missing = list(missing_for_tag(version, ask=arguments.final))
    if arguments.final and missing:
        print(f"{version} cannot be released:", *(f"  {one}" for one in missing), sep="\n", file=sys.stderr)
        return 1
    print(f"version {version}")
    output: Path = arguments.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    epoch = run("git", "log", "-1", "--format=%ct")
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            first, second = build(output, epoch), build(folder / "again", epoch)
            if first != second:
                print(f"two builds differ: {first} and {second}", file=sys.stderr)
                return 1
            print("two builds are equal:", *(f"  {digest}  {file}" for file, digest in first.items()), sep="\n")
            files = [*output.glob("*.whl"), *output.glob("*.tar.gz")]
            found = installed(arguments.python)
            print(f"installations on Python {', '.join(found)}:", flush=True)
            count = try_installations(files, folder, found)
            write_reports(files[0], folder, output)
    except (subprocess.CalledProcessError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} installations work; bill of materials and licences are in {output.relative_to(ROOT)}")
    if missing:
        print("still missing for a tag:", *(f"  {one}" for one in missing), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
