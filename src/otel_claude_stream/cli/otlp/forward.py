"""Forward received requests, byte for byte, to the user's collector."""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from otel_claude_stream.cli.errors import UsageError
from otel_claude_stream.cli.otlp.receive import Message

if TYPE_CHECKING:
    from typing_extensions import Self

QUEUE_LENGTH: Final = 1000  # messages; limits the memory while a collector is down
REQUEST_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 5.0  # at the end, for messages that are still queued
HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"


class Forwarder:
    """Posts messages to ``endpoint`` in a background thread. A context manager; leaving it waits up to 5 s.

    The first failure is reported to ``warn``; ``send`` never raises.
    """

    def __init__(self, endpoint: str, warn: Callable[[str], None], headers: Mapping[str, str] | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._warn = warn
        self._headers = dict(headers or {})
        self._queue: queue.Queue[Message | None] = queue.Queue(QUEUE_LENGTH)
        self._warned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-forwarder", daemon=True)
        self._stop_at: float | None = None
        self.sent: int = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_at = time.monotonic() + (DRAIN_SECONDS if kind is None else 0.0)
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._warn_once("it accepts the data too slowly")
        self._thread.join(DRAIN_SECONDS if kind is None else 0.0)
        if kind is None and self._thread.is_alive():
            self._warn_once(f"it did not accept everything within {DRAIN_SECONDS:.0f} s")

    def send(self, message: Message) -> None:
        """Queue a message; never blocks."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._warn_once("it accepts the data too slowly")

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                return
            self._post(message)

    def _post(self, message: Message) -> None:
        headers = {**message.headers, **self._headers}
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked by `base_url`
            self._endpoint + message.path, data=message.raw, headers=headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS):  # noqa: S310
                self.sent += 1
        except urllib.error.HTTPError as error:
            with error:
                self._warn_once(f"it answered {error.code} {error.reason}")
        except (OSError, ValueError) as error:
            self._warn_once(str(getattr(error, "reason", error)))

    def _warn_once(self, reason: str) -> None:
        if not self._warned.is_set():
            self._warned.set()
            self._warn(
                f"cannot forward to {self._endpoint}: {reason}. Some telemetry will be missing there, nothing else."
            )


def base_url(text: str) -> str:
    """Return the base URL of an OTLP/HTTP endpoint, without the path of a signal. Raises ``ValueError``."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is not the URL of an OTLP/HTTP endpoint, such as http://localhost:4318")
    _ = parts.port  # raises ValueError for an invalid port
    base = text.rstrip("/")
    for signal in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        base = base.removesuffix(signal)
    return base


def base_url_of_option(text: str, option: str = "--otlp") -> str:
    """Return the base URL of the endpoint that a command-line option names. Raises ``UsageError``."""
    try:
        return base_url(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def headers_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an OTLP exporter from ``OTEL_EXPORTER_OTLP_HEADERS=key=value,...`` (percent-encoded)."""
    pairs = (pair.partition("=") for pair in environ.get(HEADERS_VARIABLE, "").split(",") if "=" in pair)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
