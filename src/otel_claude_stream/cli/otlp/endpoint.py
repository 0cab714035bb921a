"""The URL of an OTLP/HTTP endpoint: for requests, and for output."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from otel_claude_stream.cli.errors import UsageError

HIDDEN: Final = "***"


def base_url(text: str) -> str:
    """Return the base URL of an OTLP/HTTP endpoint, without the path of a signal. Raises ``ValueError``."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("the URL is invalid") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = without_secrets(text)
        raise ValueError(f"{shown!r} is not the URL of an OTLP/HTTP endpoint, such as http://localhost:4318")
    _check_port(parts)
    path = parts.path.rstrip("/")
    for signal in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        path = path.removesuffix(signal)
    return urlunsplit(parts._replace(path=path))


def base_url_of_option(text: str, option: str = "--otlp") -> str:
    """Return the base URL of the endpoint that a command-line option names. Raises ``UsageError``."""
    try:
        return base_url(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def authorization(endpoint: str) -> dict[str, str]:
    """Return the header of basic authentication for an endpoint with a user; empty without one."""
    user, at, _ = urlsplit(endpoint).netloc.rpartition("@")
    return {"Authorization": "Basic " + base64.b64encode(unquote(user).encode()).decode()} if at else {}


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers of an exporter from ``key=value,...`` with percent-encoded values."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}


def signal_url(endpoint: str, signal: str) -> str:
    """Return the URL of a signal, without the user and password of the endpoint and with its query."""
    parts = urlsplit(endpoint)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/v1/{signal}", parts.query, ""))


def without_secrets(url: str) -> str:
    """Return a URL for output, without the password and the values of the query.

    The user stays if there is a password, as in ``https://user:***@host``. Alone it may be a token.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if not parts.netloc and "@" in url:  # without a scheme
        return HIDDEN + "@" + url.rpartition("@")[2].partition("?")[0]
    return urlunsplit(parts._replace(netloc=_host(parts), query=_names(parts.query), fragment=""))


def _check_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:  # its message quotes the port, which may be a part of a password with an unescaped slash
        raise ValueError("the port of the URL is not a number from 0 to 65535") from None


def _host(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{f'{name}:' if colon else ''}{HIDDEN}@{host}" if at else host


def _names(query: str) -> str:
    """Return a query with its names only."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in pairs)
