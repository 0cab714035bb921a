"""Servers that stream an answer of the SDK to an HTTP client, and the client's half.

Each server has `GET /ask/<way>?url=<base URL>`, which streams lines of JSON: a text each, and at the end `null` or the
exception of the endpoint. `GET /telemetry` returns and clears what the server's probe recorded.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from probe import MODE_VARIABLE, PORT_VARIABLE
from runner import RemoteError, error_chain

START_SECONDS = 200.0
HERE = Path(__file__).resolve().parent


# --- In the server


def lines(texts: Iterator[str]) -> Iterator[bytes]:
    """Encode the texts of an answer and its ending."""
    error = None
    try:
        for text in texts:
            yield _line(text)
    except Exception as raised:  # noqa: BLE001 - reported to the client
        error = error_chain(raised)
    yield _line({"error": error})


async def lines_async(texts: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """As `lines`, for an asynchronous answer."""
    error = None
    try:
        async for text in texts:
            yield _line(text)
    except Exception as raised:  # noqa: BLE001 - reported to the client
        error = error_chain(raised)
    yield _line({"error": error})


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


# --- In the client


class Server:
    """A server of one adapter, started for each round."""

    def __init__(self, command: Callable[[int], Sequence[str]], ways: Sequence[str]) -> None:
        self._command = command
        self._port = 0
        self.ways = {way: partial(self._ask, way) for way in ways}

    @contextmanager
    def serving(self, mode: str) -> Iterator[None]:
        """Run the server in a mode."""
        self._port = int(os.environ[PORT_VARIABLE])
        env = {**os.environ, MODE_VARIABLE: mode, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path[1:]])}
        process = subprocess.Popen([sys.executable, "-m", *self._command(self._port)], env=env)
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            process.wait(30)

    def collect(self) -> dict[str, Any]:
        """Return what the server's probe recorded."""
        connection = self._connection()
        connection.request("GET", "/telemetry")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def _ask(self, way: str, url: str) -> Iterator[str]:
        connection = self._connection()
        try:
            connection.request("GET", f"/ask/{way}?url={quote(url, safe='')}")
            response = connection.getresponse()
            while line := response.readline():
                value = json.loads(line)
                if isinstance(value, str):
                    yield value
                elif value["error"]:
                    raise RemoteError(value["error"])
        finally:
            # The socket itself: closing the response alone would first read it to its end.
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.collect()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the server did not start (exit code {process.poll()})")
