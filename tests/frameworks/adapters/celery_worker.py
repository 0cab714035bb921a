"""A task of Celery in a prefork worker; a caller that leaves is its soft time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probe import MODE_VARIABLE
from runner import RemoteError

FOLDER_VARIABLE = "CELERY_FOLDER"
RESULT_SECONDS = 200
SOFT_LIMIT_SECONDS = 2
"""Less than the answer takes, and more than a busy machine needs to send the request."""
HERE = Path(__file__).resolve().parent


_FOLDER = tempfile.TemporaryDirectory(prefix="celery-")
"""The folder of the messages and the results. All rounds share it, because the client keeps its connection."""
os.environ[FOLDER_VARIABLE] = _FOLDER.name


@contextmanager
def serving(mode: str) -> Iterator[None]:
    """Run a worker in a mode."""
    env = {**os.environ, MODE_VARIABLE: mode, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path[1:]])}
    worker = ["-m", "celery", "-A", "adapters.celery_application", "worker", "--loglevel", "critical"]
    options = ["--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen([sys.executable, *worker, *options], env=env, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def collect() -> dict[str, Any]:
    """Return what the worker's probe recorded."""
    return _run("telemetry")


def task(url: str) -> Iterator[str]:
    found = _run("ask", url, soft_time_limit=SOFT_LIMIT_SECONDS if "left" in url else None)
    yield from found["texts"]
    if found["error"]:
        raise RemoteError(found["error"])


def _run(name: str, *arguments: str, soft_time_limit: int | None = None) -> dict[str, Any]:
    """Send a task and wait for its result."""
    from adapters import celery_application

    sent = getattr(celery_application, name).apply_async(arguments, soft_time_limit=soft_time_limit)
    # The worker could read a message that is half written; a file that was moved is whole.
    for message in Path(_FOLDER.name, "outbox").iterdir():
        message.rename(Path(_FOLDER.name, "queue", message.name))
    found: dict[str, Any] = sent.get(timeout=RESULT_SECONDS)
    return found


WAYS = {"sync": task}
