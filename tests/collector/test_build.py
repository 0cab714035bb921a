"""The tool that finds or builds the Collector: what it takes, what it leaves aside, and what it says."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.collector.running import FILES

MANIFEST = """\
dist:
  version: 0.158.0
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.158.0
exporters:
  - gomod: example.org/exporter/fileexporter v0.158.0
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.64.0
"""
LISTING = """\
buildinfo:
    version: 0.159.0
receivers:
    - name: otlp
      module: go.opentelemetry.io/collector/receiver/otlpreceiver v0.159.1
exporters:
    - name: file
      module: example.org/exporter/fileexporter v0.158.0
providers:
    - scheme: env
"""


def fake(folder, listing, name="otelcol-contrib"):
    """A Collector that can only say what it has."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n[ \"$1\" = components ] || exit 9\ncat <<'END'\n{listing}END\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No Collector, no Go, an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + "/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("OTELCOL_BIN", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("listing", "missing"),
    [
        (LISTING, []),
        (LISTING.replace("0.158.0", "0.157.9"), ["example.org/exporter/fileexporter 0.158.0"]),
        (LISTING.replace("fileexporter", "otherexporter"), ["example.org/exporter/fileexporter 0.158.0"]),
        (LISTING.replace("v0.159.1", "v1.0.0"), []),
    ],
    ids=["suffices", "older", "lacks", "much newer"],
)
def test_what_suffices(build, listing, missing):
    """Every component, in the pinned release or a later one; providers are everywhere."""
    assert build.lacks(listing, build.modules(MANIFEST)) == missing


def test_the_named_one_is_taken_or_refused(build, alone, monkeypatch):
    wanted = build.modules(MANIFEST)
    good, bad = fake(alone / "a", LISTING), fake(alone / "b", LISTING.replace("fileexporter", "x"))
    monkeypatch.setenv("OTELCOL_BIN", str(good))
    assert build.installed(wanted, print) == good
    monkeypatch.setenv("OTELCOL_BIN", str(bad))
    with pytest.raises(build.NoCollector, match=r"OTELCOL_BIN=.* lacks example.org/exporter/fileexporter 0.158.0"):
        build.installed(wanted, print)
    monkeypatch.setenv("OTELCOL_BIN", str(alone / "nothing"))
    with pytest.raises(build.NoCollector, match="is no Collector"):
        build.installed(wanted, print)


def test_one_on_the_path_is_taken_or_left_aside_with_a_word(build, alone):
    wanted, said = build.modules(MANIFEST), []
    assert build.installed(wanted, said.append) is None
    fake(alone / "bin", LISTING.replace("fileexporter", "x"))
    assert build.installed(wanted, said.append) is None
    assert "is left aside" in said[0]
    good = fake(alone / "bin", LISTING, "otelcol")
    assert build.installed(wanted, said.append) == good


def test_without_go_and_collector_it_says_what_to_do(build, alone, monkeypatch, capsys):
    monkeypatch.setattr(build, "ON_PATH", ())
    monkeypatch.setattr(build.shutil, "which", lambda *_, **__: None)
    assert build.main() == 1
    assert "install Go, or set OTELCOL_BIN" in capsys.readouterr().err


GO = """\
import json, os, pathlib, sys, time
here = pathlib.Path({folder!r})
if sys.argv[1] == "env":
    print("go1.99", "linux", "arm64", sep="\\n")
elif sys.argv[1] == "install":
    (here / "builds").open("a").write(sys.argv[2] + "\\n")
    builder = pathlib.Path(os.environ["GOBIN"], "builder")
    builder.write_text("#!/bin/sh\\n{fails}mkdir build; printf binary > build/otelcol; chmod +x build/otelcol\\n")
    builder.chmod(0o755)
    time.sleep(0.3)
elif sys.argv[1] == "list":
    sources = here / sys.argv[-1].replace("/", "_")
    sources.mkdir(exist_ok=True)
    (sources / "metadata.yaml").write_text({metadata!r})
    print(sources)
"""
METADATA = """\
type: load_balancing
deprecated_type: loadbalancing
status:
  class: exporter
  distributions: [contrib, k8s]
"""


def fake_go(folder, fails=""):
    program = folder / "bin" / "go"
    program.parent.mkdir(exist_ok=True)
    source = program.with_suffix(".py")
    source.write_text(GO.format(folder=str(folder), metadata=METADATA, fails=fails))
    # Through a shell: the first line of a script cannot name an interpreter in a folder with a space.
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(source))} "$@"\n')
    program.chmod(0o755)


def test_two_at_once_build_once_and_a_third_not_at_all(build, alone):
    """Under a lock; the binary is there whole or not at all."""
    fake_go(alone)
    found = []
    threads = [threading.Thread(target=lambda: found.append(build.build(MANIFEST, print))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(build.build(MANIFEST, print))
    assert len(set(found)) == 1
    assert found[0].read_text() == "binary"
    assert (alone / "builds").read_text() == "go.opentelemetry.io/collector/cmd/builder@v0.158.0\n"
    assert {path.name for path in found[0].parent.iterdir()} == {"otelcol", "components.json", "builder.yaml"}
    about = json.loads(found[0].with_name("components.json").read_text())
    facts = {"type": "load_balancing", "deprecated_type": "loadbalancing", "distributions": ["contrib", "k8s"]}
    assert about["example.org/exporter/fileexporter"] == facts


def test_a_long_step_reports_that_it_runs_and_what_it_does(build, alone, monkeypatch):
    """A build takes minutes in which Go prints nothing."""
    monkeypatch.setattr(build, "HEARTBEAT", 0.05)
    said = []
    command = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '0.5'])"]
    build.run(command, alone, {**os.environ, "PATH": "/usr/bin:/bin"}, "step 1 of 1, sleeping", said.append)
    assert said[0] == "step 1 of 1, sleeping"
    does = ", sleep 0.5" if Path("/proc/self/cmdline").exists() else ""
    assert any(re.fullmatch(rf"step 1 of 1, sleeping: \d+ min \d\d s so far{does}", line) for line in said)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="commands are read from /proc")
def test_the_package_that_go_compiles_is_named(build):
    command = ["/go/pkg/tool/compile", "-c", "read line", "-p", "example.org/module"]
    with subprocess.Popen(command, executable="/bin/sh", stdin=subprocess.PIPE) as process:
        assert build.activity(process.pid) == "compiling example.org/module"
        process.stdin.close()
    assert build.activity(process.pid) == ""


def test_another_manifest_is_another_build(build, alone):
    fake_go(alone)
    assert build.build(MANIFEST, print) != build.build(MANIFEST.replace("0.158", "0.159"), print)


def test_a_build_that_fails_leaves_nothing_and_says_why(build, alone):
    fake_go(alone, fails="echo no such module; exit 3\\n")
    with pytest.raises(build.NoCollector, match="no such module"):
        build.build(MANIFEST, print)
    kept = [path for path in build.cache().iterdir() if path.suffix != ".lock"]
    assert kept == []


def test_a_build_removes_what_one_that_was_killed_left(build, alone):
    fake_go(alone)
    tool = build.go()
    left = build.cache() / f"unfinished-{build.key(MANIFEST, tool)[:8]}-abc"
    left.mkdir(parents=True)
    build.build(MANIFEST, print)
    assert not left.exists()


def test_waiting_for_another_build_is_reported(build, alone):
    said = []
    with (alone / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def say(line):
            said.append(line)
            fcntl.flock(held, fcntl.LOCK_UN)

        with build.alone(alone / "lock", say):
            assert said == [f"waiting for the process that holds {alone / 'lock'}"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("status:\n  distributions: [core, contrib]\n", ["core", "contrib"]),
        ("status:\n  distributions:\n  - core\n  - contrib\n  codeowners:\n", ["core", "contrib"]),
        ("status:\n  distributions:\n    - contrib\n", ["contrib"]),
        ("status:\n  distributions: []\n", []),
        ("status:\n", []),
    ],
    ids=["one line", "lines", "indented lines", "none", "not said"],
)
def test_distributions_in_every_spelling(build, text, names):
    assert build.metadata(text)["distributions"] == names


def test_as_a_command_it_prints_the_path_alone(otelcol):
    done = subprocess.run(
        [sys.executable, str(FILES / "build.py")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{otelcol}\n"
