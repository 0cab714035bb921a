"""The remedy for each kind of ending, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.diagnosis.limit_table import Limit, LimitKind, Remedy
from otel_claude_stream._core.diagnosis.limits import AMBIGUOUS, LimitMatch
from otel_claude_stream._core.vocabulary import AbortReason as R

LIMIT_ADVICE: Mapping[Remedy, str] = {
    Remedy.RAISE_IDLE: (
        "Consistent with an idle limit of {seconds}, which cuts streams that are silent for longer. "
        "Raise it ({setting}), or keep bytes flowing: forward pings and disable buffering "
        "(X-Accel-Buffering: no, proxy_buffering off)."
    ),
    Remedy.FORWARD_PINGS: (
        "Consistent with a fixed idle limit of {seconds}, which cuts streams that are silent for longer. "
        "Keep bytes flowing (forward pings, disable buffering, X-Accel-Buffering: no), or bypass this hop."
    ),
    Remedy.KEEPALIVE: (
        "Consistent with an idle limit of {seconds} below HTTP, which drops idle connections. Send TCP keep-alives "
        "more often than that: the SDK's start after 60 s, but a custom http_client replaces them."
    ),
    Remedy.RAISE_DURATION: (
        "Consistent with a limit of {seconds} on the whole response, which cuts longer answers. "
        "Raise it ({setting}), or request shorter answers; pings do not help."
    ),
    Remedy.CLIENT: (
        "Consistent with the client's own limit of {seconds} ({setting}), which ended the stream. "
        "Raise it only if the API really needs longer."
    ),
}
"""Advice by remedy. ``{seconds}`` is the limit, ``{setting}`` the settings of the candidates."""

AMBIGUOUS_ADVICE = (
    "Consistent with an idle limit and with a limit on the whole response. Compare more such streams: "
    "equal silences mean an idle limit, equal durations a limit on the whole response."
)

_COMPARE_STREAMS = (
    "Compare silence and duration of more such streams: "
    "equal figures mean a time limit, scattered figures mean crashes or restarts."
)

REASON_ADVICE: Mapping[R, str] = {
    R.OVERLOADED: "Back off with jitter and a retry budget: immediate retries prolong the overload.",
    R.RATE_LIMITED: (
        "Wait for the time in retry-after. Without that header the limit is a spend limit, and retries cannot succeed."
    ),
    R.API_ERROR: "Retry with backoff. If the error persists, report the request id to Anthropic.",
    R.TIMEOUT_ERROR: "Retry once. If it times out again, shorten the request or the answer.",
    R.REQUEST_REJECTED: "Correct the request or its credentials: a retry gets the same answer.",
    R.STREAM_ERROR: "Look up the error type in the provider's documentation; a retry with backoff may help.",
    R.GATEWAY_ERROR: "The response does not come from the API. Read the log of the gateway or proxy in between.",
    R.BAD_RESPONSE: (
        "The response does not come from the API (portal, login page, rewriting proxy). "
        "Check the base URL and the proxy settings."
    ),
    R.CONNECT_FAILED: "No connection was made. Check the base URL, DNS, proxy settings and trusted certificates.",
    R.CONNECTION_CLOSED: _COMPARE_STREAMS,
    R.CONNECTION_RESET: _COMPARE_STREAMS,
    R.TRUNCATED: (
        "The answer is incomplete although no exception was raised. Treat it as failed, "
        "and let the proxy in between use HTTP/1.1 for its upstream."
    ),
    R.DECODE_ERROR: "A hop altered or cut the body. Disable rewriting and compression there.",
    R.RESPONSE_TIMEOUT: "No response arrived in time. Check the path to the API, then the client's read time-out.",
    R.FIRST_EVENT_TIMEOUT: (
        "Headers arrived, but no event. Look for a hop that buffers "
        "and disable it (X-Accel-Buffering: no, proxy_buffering off)."
    ),
    R.QUEUE_TIMEOUT: (
        "No permit became free in time, and no request was sent. concurrency.queue, limits.deadline or the client's "
        "read timeout ended the wait, whichever is shortest. Send fewer calls at once, raise that limit or "
        "concurrency.max, or ask for a higher rate limit."
    ),
    R.FIRST_CONTENT_TIMEOUT: (
        "Events arrived, but no content within watchdog.first_content: the model is slow to begin, or thinks for "
        "longer. Retry once, or raise the value for the phase or for thinking."
    ),
    R.SILENT: (
        "No byte arrived within the time-out, not even a ping: the path is dead, "
        "or a hop drops pings or keeps dead connections open."
    ),
    R.NO_PROGRESS: "Pings arrived, but no content: the path works and the model is stuck. Retry once.",
    R.LIFETIME_EXCEEDED: (
        "The stream was open for all of watchdog.lifetime. If its rate was normal, raise the value or request shorter "
        "answers. If bytes dripped, look for a hop that throttles."
    ),
}
"""Advice by reason, if no limit matches. The caller's own endings need none."""


def advise(reason: R, match: LimitMatch) -> str:
    """Return the advice for an ending, empty if there is none."""
    if match.label == AMBIGUOUS:
        return AMBIGUOUS_ADVICE
    if match.limits:
        first = match.limits[0]
        return LIMIT_ADVICE[first.remedy].format(
            seconds=f"{round(first.seconds, 3):g} s", setting=_settings_of(match.limits)
        )
    return REASON_ADVICE.get(reason, "")


def _settings_of(limits: tuple[Limit, ...]) -> str:
    """Return ``nginx: proxy_read_timeout, AWS ALB: idle_timeout.timeout_seconds``, for at most three candidates."""
    named = [f"{limit.name}: {limit.setting}" for limit in limits if limit.setting]
    kind = "idle" if limits[0].kind is LimitKind.IDLE else "total"
    return ", ".join(dict.fromkeys(named[:3])) or f"the {kind} time-out of the hop"
