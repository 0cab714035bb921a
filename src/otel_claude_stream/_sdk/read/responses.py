"""HTTP responses, and errors made from them, as plain data. Only headers are read, and no body anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from otel_claude_stream._core.diagnosis.facts import End, Fault, HttpError
from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import RATE_LIMIT_KINDS, RateLimit, Reply
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Stop
from otel_claude_stream._sdk.read.errors import exception_of_caller, fault_of, name_of

FINGERPRINT_HEADERS = frozenset({
    "server", "via", "x-cache", "x-squid-error", "x-varnish", "x-envoy-upstream-service-time", "x-amz-cf-id",
    "x-amz-apigw-id", "x-amzn-requestid", "x-amzn-errortype", "x-azure-ref", "x-ms-request-id", "x-vercel-id",
    "x-nf-request-id", "x-kong-upstream-latency", "x-kong-proxy-latency", "cf-ray", "fly-request-id", "content-length",
    "content-encoding", "apigw-requestid", "x-ms-middleware-request-id",
})  # fmt: skip
"""The headers that identify the sender. They hold names of products, and nothing of the user."""

_NO_HEADERS: dict[str, str] = {}
_NO_LIMITS: dict[str, RateLimit] = {}

_RATE_LIMITS = {
    kind: tuple(f"anthropic-ratelimit-{kind.replace('_', '-')}-{part}" for part in ("remaining", "reset", "limit"))
    for kind in RATE_LIMIT_KINDS
}
"""The headers of each rate limit: a count, a time in RFC 3339, and a count."""

_READ = FINGERPRINT_HEADERS | {
    "content-type", "date", "request-id", "retry-after", "retry-after-ms", "x-should-retry",
    *(name for names in _RATE_LIMITS.values() for name in names),
}  # fmt: skip

_READ_BYTES = {name.encode(): name for name in _READ}

FIRST_OTHER_STATUS = 300
"""The lowest status that is no success. A redirection without a target is raised like an error."""

_WORDS = {"true": True, "false": False}

_BEDROCK_EXCEPTION = re.compile(
    r"Bad response code, expected 200: \{'status_code': \d+, 'headers': \{.*?':(?:exception-type|error-code)': '(\w+)'"
)
"""The message for an exception frame of Bedrock before SDK 1.7. Later releases raise as for an `error` event."""


def reply_of(response: object) -> Reply:
    """Return the head of a response. Raises `AttributeError` for an object that is none."""
    headers = _read(response.headers)  # type: ignore[attr-defined]
    return Reply(
        status=int(response.status_code),  # type: ignore[attr-defined]
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        request_id=headers.get("request-id"),
        retry_after=_retry_after(headers),
        should_retry=_WORDS.get(headers.get("x-should-retry", "").strip().lower()),
        rate_limits=_rate_limits(headers) or _NO_LIMITS,
        fingerprint={name: value for name, value in headers.items() if name in FINGERPRINT_HEADERS} or _NO_HEADERS,
    )


def _read(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are read, within their bound, with lower-case names. Those of one name are joined.

    One pass over the bytes, if the HTTP library has them. A look-up walks all headers, and `items()` decodes them all.
    """
    raw = getattr(headers, "raw", None)
    if not isinstance(raw, list):
        return {name: bounds.text(value) or "" for name, value in headers.items() if name in _READ}
    found: dict[str, str] = {}
    for key, value in raw:
        name = _READ_BYTES.get(key.lower())
        if name is not None:
            text = value[: bounds.NAME].decode("utf-8", "replace")
            found[name] = f"{found[name]}, {text}"[: bounds.NAME] if name in found else text
    return found


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait. A date is left to the SDK."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return bounds.number(float(headers[name]) * scale)
        except (KeyError, ValueError, TypeError):
            continue
    return None


def _rate_limits(headers: Mapping[str, str]) -> dict[str, RateLimit]:
    """Return the rate limits that a response reports."""
    found: dict[str, RateLimit] = {}
    for kind, names in _RATE_LIMITS.items():
        if not headers.keys().isdisjoint(names):
            remaining, reset, size = (headers.get(name, "") for name in names)
            limit = RateLimit(_count(remaining), _until(reset, headers.get("date", "")), _count(size))
            if limit != (None, None, None):
                found[kind] = limit
    return found


def _count(header: str) -> int | None:
    return bounds.count(int(header)) if header.isascii() and header.isdigit() else None


def _until(reset: str, date: str) -> float | None:
    """Return the seconds from the date of a response to a reset, both by the server's clock."""
    try:
        until = datetime.fromisoformat(reset.replace("Z", "+00:00")) - parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError):  # no date, or one without a time zone
        return None
    return max(0.0, until.total_seconds())


def _provider_type(body: object) -> str | None:
    """Return `error.type` of a body in the API's form."""
    if isinstance(body, Mapping):
        inner = body.get("error")
        if isinstance(inner, Mapping):
            return bounds.text(inner.get("type"))
    return None


def _http_error(error: BaseException) -> HttpError:
    body = getattr(error, "body", None)
    provider = _provider_type(body)
    if provider is not None and isinstance(body, Mapping) and body.get("type") == "error":
        return HttpError(provider, BodyClass.API)
    if isinstance(body, str):
        head = body.lstrip()[: bounds.WORDING]
        html = head[:200].lower()
        if html.startswith(("<!doctype", "<html", "<head", "<?xml")) or "<html" in html:
            return HttpError(None, BodyClass.HTML, head)
        return HttpError(None, BodyClass.TEXT if head else BodyClass.EMPTY, head)
    if body is None:
        return HttpError(None, BodyClass.EMPTY)
    return HttpError(None, BodyClass.JSON, json.dumps(body, default=str)[: bounds.WORDING])


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error of the SDK."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def end_by(error: BaseException, fault: Fault | None = None) -> End:
    """Return the end of a stream that an exception ended; `fault` if it is not simply that exception."""
    if exception_of_caller(error) is not None:
        return End(Stop.CLOSED, fault or fault_of(error), name_of(error))
    end = End(Stop.RAISED, fault or fault_of(error), name_of(error))
    status = status_of(error)
    if status is None:
        exception = _BEDROCK_EXCEPTION.match(str(error)[: bounds.WORDING]) if type(error) is ValueError else None
        if exception is not None:
            end.error_source, end.error_type = ErrorSource.SSE, bounds.text(exception[1])
        return end
    provider = bounds.text(getattr(error, "type", None))
    if status < FIRST_OTHER_STATUS:  # an `error` event inside a successful response
        end.error_source = ErrorSource.SSE
        end.error_type = provider or _provider_type(getattr(error, "body", None))
        return end
    end.error_source = ErrorSource.HTTP
    end.http = _http_error(error)
    end.error_type = end.http.error_type
    return end
