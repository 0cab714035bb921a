"""Forward received requests, byte for byte, to the user's collector."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_claude_stream.cli.otlp.endpoint import authorization, parse_headers, signal_url, without_secrets
from otel_claude_stream.cli.otlp.receive import Message

if TYPE_CHECKING:
    from typing_extensions import Self

QUEUE_LENGTH: Final = 1000  # messages; limits the memory while a collector is down
QUEUE_BYTES: Final = 64 * 1024 * 1024  # the bodies of all messages together
REQUEST_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 5.0  # at the end, for messages that are still queued
HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"


class Forwarder:
    """Posts messages to ``endpoint`` in a background thread. A context manager; leaving it waits up to 5 s.

    A user and password in ``endpoint`` are sent as basic authentication, and its query with each request. The first
    failure of each signal is reported to ``warn``, without these secrets; ``send`` never raises.
    """

    def __init__(self, endpoint: str, warn: Callable[[str], None], headers: Mapping[str, str] | None = None) -> None:
        self._endpoint = endpoint
        self._warn = warn
        self._headers = {**authorization(endpoint), **(headers or {})}
        self._queue: queue.Queue[Message | None] = queue.Queue(QUEUE_LENGTH)
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="otlp-forwarder", daemon=True)
        self._stop_at: float | None = None
        self.sent: int = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop_at = time.monotonic() + (DRAIN_SECONDS if kind is None else 0.0)
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._warn_once("telemetry", "it accepts the data too slowly")
        self._thread.join(DRAIN_SECONDS if kind is None else 0.0)
        if kind is None and self._thread.is_alive():
            self._warn_once("telemetry", f"it did not accept everything within {DRAIN_SECONDS:.0f} s")

    def send(self, message: Message) -> None:
        """Queue a message; never blocks."""
        with self._lock:
            accepted = self._queued_bytes + len(message.raw) <= QUEUE_BYTES
            try:
                if accepted:
                    self._queue.put_nowait(message)
                    self._queued_bytes += len(message.raw)
            except queue.Full:
                accepted = False
        if not accepted:
            self._warn_once(message.signal, "it accepts the data too slowly")

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            with self._lock:
                self._queued_bytes -= len(message.raw)
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                return
            self._post(message)

    def _post(self, message: Message) -> None:
        headers = {**message.headers, **self._headers}
        try:
            request = urllib.request.Request(  # noqa: S310 - the scheme was checked by `base_url`
                signal_url(self._endpoint, message.signal), data=message.raw, headers=headers, method="POST"
            )
            with self._opener.open(request, timeout=REQUEST_SECONDS):
                self.sent += 1
        except urllib.error.HTTPError as error:
            with error:
                self._warn_once(message.signal, f"it answered {error.code} {error.reason}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._warn_once(message.signal, _reason(error))

    def _warn_once(self, what: str, reason: str) -> None:
        with self._lock:
            first = what not in self._warned
            self._warned.add(what)
        if first:
            self._warn(
                f"cannot forward {what} to {without_secrets(self._endpoint)}: {reason}. "
                "Some telemetry will be missing there, nothing else."
            )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Reports a redirect as an error, since following it would send the user's headers to another server."""

    def redirect_request(self, *_: Any) -> None:
        """Return None: do not follow."""


def _reason(error: Exception) -> str:
    """Return a reason that quotes neither a header nor the URL, which ``ValueError`` and ``HTTPException`` do."""
    if isinstance(error, OSError):
        return str(getattr(error, "reason", error))
    return f"the request was not possible ({type(error).__name__}); check its URL and {HEADERS_VARIABLE}"


def headers_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an OTLP exporter from ``OTEL_EXPORTER_OTLP_HEADERS=key=value,...`` (percent-encoded)."""
    return parse_headers(environ.get(HEADERS_VARIABLE, ""))
