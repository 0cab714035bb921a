"""A run of the tests fails if it leaves a process, a listening socket or a temporary file behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
import os, socket, subprocess, sys, tempfile
kept = []
SLEEP = [sys.executable, "-c", "import sys, time; time.sleep(int(sys.argv[1]))"]

def test():
    {body}
"""
LEAVE = """tempfile.mkdtemp(prefix="forgotten-")
    kept.append(socket.create_server(("127.0.0.1", 0)))
    kept.append(subprocess.Popen([*SLEEP, "61"]))
    subprocess.run(["sh", "-c", '"$@" &', "sh", *SLEEP, "62"], start_new_session=True)
"""
CONFTEST = """
from tests.support import leftovers

leftovers.GRACE = 0.2
"""
WORKERS = [("-p", "no:xdist"), ("-n", "1")]
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")


def run(folder, body, *arguments):
    """Run pytest on one test; return the exit code and the output."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    module = folder / "test_it.py"
    module.write_text(MODULE.format(body=body), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(folder), *arguments]
    done = subprocess.run([*command, str(module)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("workers", WORKERS, ids=["one process", "a worker"])
def test_a_run_that_leaves_nothing_passes(tmp_path, workers):
    code, output = run(tmp_path, "tempfile.TemporaryDirectory().cleanup(); subprocess.run(['true'])", *workers)
    assert (code, "left behind" in output) == (0, False), output


@pytest.mark.parametrize("workers", WORKERS, ids=["one process", "a worker"])
def test_a_run_that_leaves_something_fails_and_names_it(tmp_path, workers):
    """A folder, a socket, a child, and a process whose parent has ended."""
    code, output = run(tmp_path, LEAVE, *workers)
    found = output.partition("left behind by the tests")[2]
    for process in re.findall(r"process (\d+): ", found):
        with suppress(ProcessLookupError):  # the child of a worker ends with it or after it
            os.kill(int(process), signal.SIGKILL)
    for what in (r"/forgotten-", r"listening tcp socket: port \d+", r"process .* 61\n", r"process .* 62\n"):
        assert re.search(what, found), output
    assert code == 1
