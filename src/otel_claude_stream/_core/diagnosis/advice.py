"""One line of remedy per kind of ending. Sentences only; which one applies is decided in ``endings.py``."""

from __future__ import annotations

from collections.abc import Mapping

from otel_claude_stream._core.diagnosis.limit_table import Limit, LimitKind, Remedy
from otel_claude_stream._core.diagnosis.limits import AMBIGUOUS, LimitMatch
from otel_claude_stream._core.vocabulary import AbortReason as R

LIMIT_ADVICE: Mapping[Remedy, str] = {
    Remedy.RAISE_IDLE: (
        "Consistent with an idle limit of {seconds}: raise it ({setting}), or let pings through: "
        "forward them and switch buffering off (X-Accel-Buffering: no, proxy_buffering off)."
    ),
    Remedy.FORWARD_PINGS: (
        "Consistent with a fixed idle limit of {seconds}: let pings through "
        "(forward them and switch buffering off, X-Accel-Buffering: no), or take another way out."
    ),
    Remedy.KEEPALIVE: (
        "Consistent with an idle limit of {seconds} below HTTP: send TCP keep-alives more often than that; "
        "the SDK's start after 60 s, but a custom http_client replaces them."
    ),
    Remedy.RAISE_DURATION: (
        "Consistent with a limit of {seconds} on the whole response: ask for a longer one ({setting}) "
        "or for shorter answers; pings do not help."
    ),
    Remedy.CLIENT: (
        "Consistent with the client's own limit of {seconds} ({setting}): raise it only if the wait is real."
    ),
}
"""By what helps. ``{seconds}`` is the limit, ``{setting}`` the settings of the candidates."""

AMBIGUOUS_ADVICE = (
    "Fits an idle limit and a limit on the whole response: compare more streams, "
    "equal silences mean an idle limit, equal durations a limit on the whole."
)

_COMPARE = (
    "Compare silence and duration of more such streams: "
    "equal figures betray a limit, scattered ones crashes or restarts."
)

REASON_ADVICE: Mapping[R, str] = {
    R.OVERLOADED: "Back off with jitter and a retry budget: retries at once prolong an overload.",
    R.RATE_LIMITED: "Wait for retry-after; without one the limit is a spend cap, and a retry cannot help.",
    R.API_ERROR: "Retry with backoff; if it stays, give the request id to Anthropic.",
    R.TIMEOUT_ERROR: "Retry once; if it comes again, make the request or the answer shorter.",
    R.REQUEST_REJECTED: "Change the request or its credentials: a retry gets the same answer.",
    R.STREAM_ERROR: "Look the error type up at the provider; a retry with backoff may help.",
    R.GATEWAY_ERROR: "The response is not the API's own: look into the log of the gateway on the way.",
    R.BAD_RESPONSE: (
        "Something answered in the API's place (portal, login page, rewriting proxy): check base URL and proxy."
    ),
    R.CONNECT_FAILED: "Check base URL, DNS, proxy settings and trusted certificates.",
    R.CONNECTION_CLOSED: _COMPARE,
    R.CONNECTION_RESET: _COMPARE,
    R.TRUNCATED: (
        "The answer is incomplete though nothing was raised: treat it as failed, "
        "and let the proxy on the way speak HTTP/1.1 upstream."
    ),
    R.DECODE_ERROR: "Something on the way altered or cut the body: switch off rewriting and compression there.",
    R.RESPONSE_TIMEOUT: "Nothing was answered in time: check the way to the API, then the client's read time-out.",
    R.FIRST_EVENT_TIMEOUT: (
        "Headers came and no event: look for a hop that buffers (X-Accel-Buffering: no, proxy_buffering off)."
    ),
    R.SILENT: (
        "No byte came for the whole time-out, no ping either: "
        "the path is dead, or a hop swallows pings or never closes."
    ),
    R.NO_PROGRESS: "Pings came and no content: the path is alive and the model is not; retry once.",
}
"""By reason, where no limit fits. The caller's own endings need no remedy."""


def advise(reason: R, match: LimitMatch) -> str:
    """The line for this ending; empty if there is nothing to advise."""
    if match.label == AMBIGUOUS:
        return AMBIGUOUS_ADVICE
    if match.limits:
        first = match.limits[0]
        return LIMIT_ADVICE[first.remedy].format(
            seconds=f"{round(first.seconds, 3):g} s", setting=_settings(match.limits)
        )
    return REASON_ADVICE.get(reason, "")


def _settings(limits: tuple[Limit, ...]) -> str:
    """``nginx: proxy_read_timeout, AWS ALB: idle_timeout.timeout_seconds``, of at most three candidates."""
    named = [f"{limit.name}: {limit.setting}" for limit in limits if limit.setting]
    kind = "idle" if limits[0].kind is LimitKind.IDLE else "total"
    return ", ".join(dict.fromkeys(named[:3])) or f"the {kind} time-out of the hop"
