"""`collector/build.py` finds an installed Collector that has all components, or builds one and caches it."""

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


def fake_collector(folder, listing, name="otelcol-contrib"):
    """Make a program that answers `components` with a listing, and fails otherwise."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n[ \"$1\" = components ] || exit 9\ncat <<'END'\n{listing}END\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """A machine without a Collector and without Go, whose cache is empty; the fixture is its folder."""
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
    ids=["complete", "one older", "one absent", "one much newer"],
)
def test_a_collector_needs_every_component_in_the_pinned_release_or_a_later_one(build, listing, missing):
    """Providers are not compared, since every Collector has them."""
    assert build.missing_modules(listing, build.modules(MANIFEST)) == missing


def test_the_binary_that_the_variable_names_is_used_or_refused(build, bare_machine, monkeypatch):
    wanted = build.modules(MANIFEST)
    good, bad = (
        fake_collector(bare_machine / "a", LISTING),
        fake_collector(bare_machine / "b", LISTING.replace("fileexporter", "x")),
    )
    monkeypatch.setenv("OTELCOL_BIN", str(good))
    assert build.find_installed(wanted, print) == good
    monkeypatch.setenv("OTELCOL_BIN", str(bad))
    with pytest.raises(
        build.CollectorUnavailable, match=r"OTELCOL_BIN=.* lacks example.org/exporter/fileexporter 0.158.0"
    ):
        build.find_installed(wanted, print)
    monkeypatch.setenv("OTELCOL_BIN", str(bare_machine / "nothing"))
    with pytest.raises(build.CollectorUnavailable, match="is not a Collector"):
        build.find_installed(wanted, print)


def test_a_collector_on_the_path_is_used_or_reported_as_incomplete(build, bare_machine):
    wanted, lines = build.modules(MANIFEST), []
    assert build.find_installed(wanted, lines.append) is None
    fake_collector(bare_machine / "bin", LISTING.replace("fileexporter", "x"))
    assert build.find_installed(wanted, lines.append) is None
    assert "is not used: it lacks" in lines[0]
    good = fake_collector(bare_machine / "bin", LISTING, "otelcol")
    assert build.find_installed(wanted, lines.append) == good


def test_without_go_and_collector_the_error_names_the_remedy(build, bare_machine, monkeypatch, capsys):
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
    """Make a Go tool whose builder writes a file; `fails` is shell code that the builder runs first."""
    program = folder / "bin" / "go"
    program.parent.mkdir(exist_ok=True)
    source = program.with_suffix(".py")
    source.write_text(GO.format(folder=str(folder), metadata=METADATA, fails=fails))
    # Through a shell: the first line of a script cannot name an interpreter in a folder with a space.
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(source))} "$@"\n')
    program.chmod(0o755)


def test_concurrent_builds_compile_once_and_later_ones_use_the_cache(build, bare_machine):
    """A lock orders them, and the binary appears complete or not at all."""
    fake_go(bare_machine)
    found = []
    threads = [threading.Thread(target=lambda: found.append(build.build(MANIFEST, print))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(build.build(MANIFEST, print))
    assert len(set(found)) == 1
    assert found[0].read_text() == "binary"
    assert (bare_machine / "builds").read_text() == "go.opentelemetry.io/collector/cmd/builder@v0.158.0\n"
    assert {path.name for path in found[0].parent.iterdir()} == {"otelcol", "components.json", "builder.yaml"}
    facts = json.loads(found[0].with_name("components.json").read_text())
    wanted = {"type": "load_balancing", "deprecated_type": "loadbalancing", "distributions": ["contrib", "k8s"]}
    assert facts["example.org/exporter/fileexporter"] == wanted


def test_a_long_step_reports_that_it_runs_and_what_it_does(build, bare_machine, monkeypatch):
    """A build takes minutes in which Go prints nothing."""
    monkeypatch.setattr(build, "HEARTBEAT", 0.05)
    lines = []
    command = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '0.5'])"]
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    build.run(command, bare_machine, environment, "step 1 of 1, sleeping", lines.append)
    assert lines[0] == "step 1 of 1, sleeping"
    does = ", sleep 0.5" if Path("/proc/self/cmdline").exists() else ""
    assert any(re.fullmatch(rf"step 1 of 1, sleeping: \d+ min \d\d s so far{does}", line) for line in lines)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="commands are read from /proc")
def test_the_package_that_go_compiles_is_named(build):
    command = ["/go/pkg/tool/compile", "-c", "read line", "-p", "example.org/module"]
    with subprocess.Popen(command, executable="/bin/sh", stdin=subprocess.PIPE) as process:
        assert build.activity(process.pid) == "compiling example.org/module"
        process.stdin.close()
    assert build.activity(process.pid) == ""


def test_another_manifest_leads_to_another_build(build, bare_machine):
    fake_go(bare_machine)
    assert build.build(MANIFEST, print) != build.build(MANIFEST.replace("0.158", "0.159"), print)


def test_a_failed_build_leaves_no_files_and_reports_the_reason(build, bare_machine):
    fake_go(bare_machine, fails="echo no such module; exit 3\\n")
    with pytest.raises(build.CollectorUnavailable, match="no such module"):
        build.build(MANIFEST, print)
    left = [path for path in build.cache_folder().iterdir() if path.suffix != ".lock"]
    assert left == []


def test_a_build_removes_what_one_that_was_killed_left(build, bare_machine):
    fake_go(bare_machine)
    tool = build.find_go()
    left = build.cache_folder() / f"unfinished-{build.cache_key(MANIFEST, tool)[:8]}-abc"
    left.mkdir(parents=True)
    build.build(MANIFEST, print)
    assert not left.exists()


def test_waiting_for_another_build_is_reported(build, bare_machine):
    lines = []
    with (bare_machine / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def report(line):
            lines.append(line)
            fcntl.flock(held, fcntl.LOCK_UN)

        with build.exclusive(bare_machine / "lock", report):
            assert lines == [f"waiting for the process that holds {bare_machine / 'lock'}"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("status:\n  distributions: [core, contrib]\n", ["core", "contrib"]),
        ("status:\n  distributions:\n  - core\n  - contrib\n  codeowners:\n", ["core", "contrib"]),
        ("status:\n  distributions:\n    - contrib\n", ["contrib"]),
        ("status:\n  distributions: []\n", []),
        ("status:\n", []),
    ],
    ids=["one line", "lines", "indented lines", "empty list", "absent"],
)
def test_distributions_are_read_in_every_yaml_form(build, text, names):
    assert build.parse_metadata(text)["distributions"] == names


def test_the_script_prints_the_path_and_nothing_else(otelcol):
    done = subprocess.run(
        [sys.executable, str(FILES / "build.py")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{otelcol}\n"
