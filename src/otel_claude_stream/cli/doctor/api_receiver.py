"""Check an address that receives the spans of the Claude API: whether it accepts its token, and no other."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from otel_claude_stream.cli.doctor.export import fault_of, post_empty
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok

TOKEN: Final = "OTELCOL_API_TOKEN"  # noqa: S105 - the name of a variable
ANOTHER_TOKEN: Final = "token-of-otel-claude-stream-doctor"  # noqa: S105 - one that no receiver has
PATH: Final = "/v1/traces"
START: Final = "start the Collector with api-spans.yaml, and forward this address to that of OTELCOL_API_SPANS"
FAULTS: Final = {
    "certificate": "OTELCOL_API_CERTIFICATE=FILE with a certificate of a public authority, and its chain",
    "TLS": "OTELCOL_API_TLS=true, or a load balancer that ends TLS",
}
"""Remedies by a word of a fault of the connection."""
REFUSED: Final = (401, 403)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Turns a redirect into an answer, since the API follows none."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect."""


def api_receiver(url: str, environ: Mapping[str, str], variable: str = TOKEN) -> Section:
    """Send two empty requests to the base URL of a destination, with the token of a variable and with another."""
    base = url.rstrip("/").removesuffix(PATH)
    return Section("API spans", tuple(_findings(base, environ.get(variable, ""), variable)))


def _findings(url: str, token: str, variable: str) -> Iterator[Finding]:
    if not _is_url(url):
        yield error(f"{url} is not a URL", "for example https://otel.example.com")
        return
    if not token or not token.isascii() or not token.isprintable():
        fault = "has a character that no header may have" if token else "is not set"
        yield error(f"{variable} {fault}, so no request can be accepted", f"export {variable}=TOKEN")
        return
    if url.startswith("http:"):
        yield note(f"{url} is not HTTPS, so this checks the Collector, and not the way from the API to it")
    answer = _status(url, token)
    if isinstance(answer, Finding):
        yield answer
        return
    if answer in REFUSED:
        yield error(
            f"{url} refuses the token of {variable} with {answer}, so no span of the API arrives with it",
            f"start the Collector with the same {variable}; a proxy must not remove the header Authorization",
        )
        return
    yield ok(f"{url} accepts the token of {variable}")
    answer = _status(url, ANOTHER_TOKEN)
    if isinstance(answer, Finding):
        yield answer
    elif answer in REFUSED:
        yield ok(f"{url} refuses another token with {answer}")
    else:
        yield error(f"{url} accepts any token, so strangers can send spans", f"{START}, not OTELCOL_OTLP_HTTP")
    yield note(
        "the header of the destination in the Claude Console is not visible here",
        f"if no spans arrive, set Authorization there to Bearer and the token of {variable}",
    )


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _status(url: str, token: str) -> int | Finding:
    """Return the status of an answer that is a success or a refusal, else an error."""
    send = urllib.request.build_opener(_NoRedirects).open
    try:
        status, reason = post_empty(url + PATH, {"Authorization": f"Bearer {token}"}, send)
    except (OSError, ValueError, http.client.HTTPException) as failure:
        fault, _ = fault_of(failure)
        return _error(url, fault, next((remedy for word, remedy in FAULTS.items() if word in fault), START))
    if status == http.client.OK or status in REFUSED:
        return status
    if http.client.MULTIPLE_CHOICES <= status < http.client.BAD_REQUEST:
        return _error(url, f"it redirects with {status}", "name the target: the API disables such a destination")
    remedy = START if status == http.client.NOT_FOUND else "see the log of the Collector, or of the load balancer"
    return _error(url, f"it answers {status} {reason}", remedy)


def _error(url: str, fault: str, remedy: str) -> Finding:
    return error(f"{url}: {fault}, so no span of the API arrives", remedy)
