"""`otel-claude-stream autoload` and `path`, including their errors."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.activation.harness import environment
from tests.support.npm import Package

from otel_claude_stream.cli.activate import autoload, path
from otel_claude_stream.cli.activate.autoload import Environment
from otel_claude_stream.cli.main import main


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A temporary folder in place of the site-packages of this environment."""
    where = Environment(tmp_path, (3, 11), None)
    monkeypatch.setattr(Environment, "current", staticmethod(lambda: where))
    return tmp_path


def test_path_prints_a_folder_with_a_sitecustomize(capsys):
    assert main(["path"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert [found.name for found in folder.glob("*.py")] == ["sitecustomize.py"]


def test_path_rejects_a_folder_with_the_separator_of_the_path(monkeypatch, capsys):
    monkeypatch.setattr(path, "FOLDER", Path(f"/a{os.pathsep}b"))
    assert main(["path"]) == 1
    assert "the separator of PYTHONPATH" in capsys.readouterr().err


def test_the_pth_file_is_one_line_of_ascii(packages):
    (text,) = autoload.files(Environment(packages, (3, 14), None)).values()
    assert text.isascii()
    assert (text.startswith("import os; "), text.count("\n")) == (True, 1)


def test_a_start_file_is_written_for_python_3_15(packages, capsys, monkeypatch):
    where = Environment(packages, (3, 15), None)
    monkeypatch.setattr(Environment, "current", staticmethod(lambda: where))
    assert main(["autoload", "install"]) == 0
    names = sorted(found.name for found in packages.iterdir())
    assert names == ["_otel_claude_stream_autoload.py", "otel-claude-stream.start"]
    assert main(["autoload", "status"]) == 0
    (packages / "otel-claude-stream.pth").write_text("", encoding="utf-8")  # left from an older Python
    assert main(["autoload", "remove"]) == 0
    assert list(packages.iterdir()) == []


PYTHON_3_15 = "pyodide@315.0.0-alpha.2"
"""CPython 3.15, compiled for Node, as package indexes have no other build yet."""

STARTS = """
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";
const { files, values } = JSON.parse(readFileSync(0));
const found = [];
for (const value of values) {
  const python = await loadPyodide({ env: value === null ? {} : { OTEL_CLAUDE_STREAM_AUTO: value } });
  for (const [path, text] of Object.entries(files)) {
    python.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    python.FS.writeFile(path, text);
  }
  found.push(JSON.parse(python.runPython(`
import json, site, sys
site.addsitedir("/packages")
ours = sorted(name for name in sys.modules if "otel_claude_stream" in name)
json.dumps({"version": sys.version_info[:2], "ours": ours, "started": getattr(sys, "started", 0)})
`)));
}
console.log(JSON.stringify(found));
"""


@pytest.mark.system
def test_python_3_15_starts_the_instrumentation_only_if_switched_on():
    """Its `site` module reads the `.start` file, and imports one module of this package if switched off."""
    written = autoload.files(Environment(Path("/packages"), (3, 15), None))
    package = "/packages/otel_claude_stream"
    ours = {
        f"{package}/__init__.py": "",
        f"{package}/_auto/__init__.py": "",
        f"{package}/_auto/start.py": "import sys\ndef start():\n    sys.started = getattr(sys, 'started', 0) + 1\n",
    }
    arguments = {
        "files": ours | {path.as_posix(): text for path, text in written.items()},
        "values": [None, "false", "true"],
    }
    unset, off, on = Package(PYTHON_3_15, "a Python 3.15").run(STARTS, arguments)
    assert unset == off == {"version": [3, 15], "ours": ["_otel_claude_stream_autoload"], "started": 0}
    assert (on["version"], on["started"]) == ([3, 15], 1)


def test_a_dry_run_changes_no_file(packages, capsys):
    assert main(["autoload", "install", "--dry-run"]) == 0
    assert list(packages.iterdir()) == []
    assert main(["autoload", "install"]) == 0
    capsys.readouterr()
    assert main(["autoload", "remove", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would delete {packages / 'otel-claude-stream.pth'}\n"
    assert len(list(packages.iterdir())) == 1


def test_a_managed_python_is_not_changed_without_force(packages, monkeypatch, capsys):
    where = Environment(packages, (3, 11), Path("/usr/lib/python3.11/EXTERNALLY-MANAGED"))
    monkeypatch.setattr(Environment, "current", staticmethod(lambda: where))
    assert main(["autoload", "install"]) == 1
    assert "a package manager owns this Python (/usr/lib/python3.11/EXTERNALLY-MANAGED)" in capsys.readouterr().err
    assert list(packages.iterdir()) == []
    assert main(["autoload", "install", "--force"]) == 0


def test_a_missing_permission_is_reported(packages, monkeypatch, capsys):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(autoload.tempfile, "mkstemp", refused)
    assert main(["autoload", "install"]) == 1
    assert f"cannot write {packages / 'otel-claude-stream.pth'}: Permission denied" in capsys.readouterr().err
    (packages / "otel-claude-stream.pth").write_text("", encoding="utf-8")
    monkeypatch.setattr(Path, "unlink", refused)
    assert main(["autoload", "remove"]) == 1
    assert "cannot delete" in capsys.readouterr().err


def test_a_failed_write_leaves_no_file_behind(packages, monkeypatch, capsys):
    """Half a line in site-packages would break every start of Python."""

    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refused)
    assert main(["autoload", "install"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(packages.iterdir()) == []


def test_a_damaged_file_is_reported(packages, capsys):
    line = packages / "otel-claude-stream.pth"
    line.write_bytes(b"\xff")
    assert main(["autoload", "status"]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_a_python_that_reads_no_pth_files_is_reported():
    """With `-S`, Python does not read site-packages at its start."""
    code = (
        f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
        "from otel_claude_stream.cli.main import main; sys.exit(main(['autoload', 'install', '--dry-run']))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment(""), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "reads no .pth files in " in done.stderr


def test_the_current_environment_is_that_of_this_python():
    found = Environment.current()
    assert found.version == sys.version_info[:2]
    assert found.packages == Path(sysconfig.get_path("purelib"))


def test_an_unknown_action_is_a_usage_error(capsys):
    assert main(["autoload", "installs"]) == 2
