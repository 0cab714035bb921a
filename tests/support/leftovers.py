"""Find what a run of the tests leaves behind: processes, listening sockets, files outside pytest's temporary folder.

Each process of a run inherits a mark in its environment, so that an orphan is found after its parent has ended.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "PYTEST_RUN_OF_OTEL_CLAUDE_STREAM"
"""The variable that the processes of a run inherit. Its value is the temporary folder of the run."""
GRACE = 5.0
"""Seconds that a process has to end after the last test."""
PROC = Path("/proc")
LISTENING = {"tcp": (3, "0A"), "tcp6": (3, "0A"), "unix": (3, "00010000")}
"""The column that marks a listening socket and its value, by table of /proc/net."""
INODE = {"tcp": 9, "tcp6": 9, "unix": 6}
ON_DEMAND = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that `multiprocessing` starts and that end with the process that needed them."""


@dataclass(frozen=True)
class Run:
    """A run of pytest, whose processes create their temporary files in one folder."""

    folder: Path
    before: dict[str, str | None]
    """The variables that the run replaces, with their earlier values."""

    @classmethod
    def begin(cls) -> Run:
        """Mark the run and redirect temporary files to a new folder."""
        names = (MARK, "TMPDIR", "PYTEST_DEBUG_TEMPROOT")
        before = {name: os.environ.get(name) for name in names}
        # `tmp_path` stays in the usual place, where pytest keeps the last three runs.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        run = cls(Path(tempfile.mkdtemp(prefix="tests-")), before)
        run.folder.chmod(0o755)  # some tests start programs as other users
        os.environ[MARK] = os.environ["TMPDIR"] = str(run.folder)
        tempfile.tempdir = None  # computed anew from the variable
        return run

    def end(self) -> list[str]:
        """Describe what is left of the run, then delete its folder and restore the environment."""
        found = [*processes(mark=str(self.folder)), *sockets(), *map(str, sorted(self.folder.iterdir()))]
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, value in self.before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        return found


def processes(mark: str | None = None) -> list[str]:
    """Describe the running descendants of this process and, with a mark, every other process that inherited it."""
    deadline = time.monotonic() + GRACE
    while (found := _running(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"process {pid}: {command}" for pid, command in sorted(found.items())]


def _running(mark: str | None) -> dict[int, str]:
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    marked: set[int] = set()
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            pid = int(folder.name)
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if state == "Z" or any(name in command for name in ON_DEMAND):
                continue
            parents[pid], commands[pid] = int(parent), command or "(no command)"
            if mark is not None and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                marked.add(pid)
    me = os.getpid()
    found = marked | {pid for pid in parents if me in _above(pid, parents)}
    return {pid: commands[pid] for pid in found - {me}}


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    """The ancestors of a process."""
    found: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found


def sockets() -> list[str]:
    """Describe the sockets on which this process listens."""
    open_here = set()
    for descriptor in PROC.glob("self/fd/*"):
        with suppress(OSError):
            open_here.add(str(descriptor.readlink()))
    found = []
    for table, (column, value) in LISTENING.items():
        with suppress(OSError):
            for line in (PROC / "self/net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[column] == value and f"socket:[{fields[INODE[table]]}]" in open_here:
                    where = f"port {int(fields[1].rpartition(':')[2], 16)}" if table != "unix" else fields[-1]
                    found.append(f"listening {table} socket: {where}")
    return found
