"""The truth behind each cell of `proxy_signatures.md`, and the cells that no client can decide, with reasons."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from otel_claude_stream._core.diagnosis.classify import Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.diagnosis.limits import Limit, parse_limits
from otel_claude_stream._core.vocabulary import AbortReason as R

IDLE, TOTAL, READ_TIMEOUT = 2.0, 3.0, 5.0
"""Timers of the lab in seconds: idle and first byte, whole response, read time-out of the client."""
_BOTH_LIMITS = ("squid", "varnish", "caddy", "envoy", "traffic server", "go")
_IDLE_LIMIT_ONLY = (
    "nginx",
    "haproxy",
    "httpd",
    "lighttpd",
    "h2o",
    "nghttpx",
    "tinyproxy",
    "stunnel",
    "node",
    "uvicorn",
)
LAB_LIMITS: tuple[Limit, ...] = parse_limits(
    ",".join(
        [f"idle:2s={name}" for name in (*_BOTH_LIMITS, *_IDLE_LIMIT_ONLY)]
        + [f"duration:3s={name}" for name in _BOTH_LIMITS]
    )
)

TOTAL_LIMITED = {
    "squid-total",
    "varnish-total",
    "caddy-total",
    "go-rp-total",
    "ats-total",
    "envoy-total",
    "envoy-maxdur",
}
"""Set-ups with a limit on the whole response and no idle limit that would strike earlier."""
COARSE = ("squid", "lighttpd", "ats")
LATE_WRITERS = ("varnish-total", "caddy-total", "go-rp-total")


@dataclass(frozen=True)
class Truth:
    """The true reasons of an ending, and the limit behind it, if any."""

    reasons: frozenset[R | None]
    limit: str | None = None

    def is_first(self, verdict: Verdict) -> bool:
        """Whether the verdict's reason and its limit (or none) are the true ones."""
        return verdict.reason in self.reasons and verdict.limit_match == (self.limit or "none")

    def is_named(self, verdict: Verdict) -> bool:
        """Whether the verdict names the truth at all. A limit counts by its label or by its suspects."""
        limit = self.limit is None or verdict.limit_match in (self.limit, "ambiguous") or bool(verdict.suspects)
        return limit and bool(self.reasons & {verdict.reason, *verdict.also_possible})


def family(proxy: str) -> str:
    return proxy.split("-", 1)[0]


def truth_is(*reasons: R | None, limit: str | None = None) -> Truth:
    return Truth(frozenset(reasons), limit)


LOST = truth_is(R.CONNECTION_CLOSED, R.CONNECTION_RESET, R.GATEWAY_ERROR)
STOPPED = truth_is(R.CONNECTION_CLOSED)
DONE = truth_is(None)
TRUTHS: dict[str, Truth] = {
    "client_read_timeout": truth_is(R.SILENT, R.RESPONSE_TIMEOUT, R.FIRST_EVENT_TIMEOUT),
    "up_fin": LOST,
    "up_rst": LOST,
    "up_clean": truth_is(R.TRUNCATED),
    "up_length_fin": LOST,
    "up_http10_fin": truth_is(R.TRUNCATED),
    "up_http10_rst": LOST,
    "upstream_kill": LOST,
    "up_close_before_head": LOST,
    "up_rst_before_head": LOST,
    "upstream_down": truth_is(R.CONNECT_FAILED, R.GATEWAY_ERROR),
    "up_529": truth_is(R.OVERLOADED),
    "up_503_html": truth_is(R.GATEWAY_ERROR),
    "up_error_event": truth_is(R.OVERLOADED),
    "after_stop_fin": DONE,
    "after_stop_rst": DONE,
    "after_stop_hang": DONE,
    "proxy_reload": STOPPED,
    "proxy_graceful": STOPPED,
    "proxy_term": STOPPED,
    "proxy_kill": STOPPED,
    "proxy_down": truth_is(R.CONNECT_FAILED),
    "big_body": truth_is(R.GATEWAY_ERROR),
    "big_header": truth_is(R.GATEWAY_ERROR),
    "tls_untrusted": truth_is(R.CONNECT_FAILED),
    "px_dns_fail": truth_is(R.CONNECT_FAILED, R.GATEWAY_ERROR),
    "px_denied": truth_is(R.CONNECT_FAILED, R.GATEWAY_ERROR),
}
TIMER_COLUMNS = {"slow_head", "slow_first_event", "stall", "stall_pings", "long"}
CUT_REASONS = (R.CONNECTION_CLOSED, R.CONNECTION_RESET, R.TRUNCATED, R.GATEWAY_ERROR)


def truth_of(proxy: str, column: str, code: str) -> Truth:
    if code == "OK":
        return DONE
    if column in TIMER_COLUMNS:
        return truth_is(*CUT_REASONS, limit="duration:3s" if proxy in TOTAL_LIMITED else "idle:2s")
    return TRUTHS[column]


def compared_wait(facts: Facts) -> float:
    """Return the seconds that a limit would be compared with."""
    return facts.silence if facts.status == 200 or facts.time_to_headers is None else facts.time_to_headers


def is_cut(code: str, *names: str) -> bool:
    return code.startswith(names)


CUT_BY_UPSTREAM = {"up_fin", "up_rst", "up_length_fin", "up_http10_rst", "upstream_kill"}
COARSE_TIMER = "a granularity of one second at a 2 s limit: the wait differs from the limit"
# (reason why no client can decide, condition for the cells: (proxy, fault, code, facts))
UNDECIDABLE: tuple[tuple[str, Callable[[str, str, str, Facts], bool]], ...] = (
    (
        "message_stop was sent but never reached the client",
        lambda _proxy, column, _code, _facts: column.startswith("after_stop"),
    ),
    (
        "the proxy never closes the connection: only the client's time-out ends it",
        lambda _proxy, column, code, _facts: is_cut(code, "HANG") and column != "client_read_timeout",
    ),
    (
        "buffered: the silence arrives together with the data, so the client cannot measure it",
        lambda _proxy, column, code, _facts: (
            column in ("slow_first_event", "stall") and bool(re.match(r"IC\(\d+\)\Z|404h", code))
        ),
    ),
    (
        COARSE_TIMER,
        lambda proxy, column, _code, facts: (
            family(proxy) in COARSE
            and column in ("slow_first_event", "stall", "slow_head")
            and abs(compared_wait(facts) - IDLE) > 0.26
        ),
    ),
    (COARSE_TIMER, lambda proxy, column, _code, _facts: proxy == "tinyproxy" and column == "slow_head"),
    (
        "the limit is checked on the next write only, so it strikes late",
        lambda proxy, column, _code, facts: (
            column in TIMER_COLUMNS and proxy in LATE_WRITERS and facts.elapsed > TOTAL + 0.3
        ),
    ),
    (
        "the headers were held back: the wait includes time before the limit began to count",
        lambda proxy, column, code, _facts: column in TIMER_COLUMNS and proxy == "node-hpm4" and is_cut(code, "DISC"),
    ),
    (
        "a hop (or Python's TLS) turned the cut into a clean end, which looks like one of the server",
        lambda _proxy, column, code, _facts: column in CUT_BY_UPSTREAM and is_cut(code, "END"),
    ),
    (
        "the proxy replaced the API's error page by its own",
        lambda _proxy, column, code, _facts: column == "up_529" and code != "529api",
    ),
    (
        "the tunnel accepts, then closes: it looks like a server that closes",
        lambda _proxy, column, code, _facts: column == "upstream_down" and is_cut(code, "DISC", "CRST"),
    ),
    (
        "the status was lost to a reset while the request was being sent",
        lambda _proxy, column, code, _facts: (
            column in ("big_body", "big_header") and is_cut(code, "CPIPE", "CRST", "DISC")
        ),
    ),
    (
        "a buffering proxy that dies with a full buffer looks like one whose limit struck",
        lambda _proxy, column, code, _facts: column.startswith("proxy_") and is_cut(code, "DISC"),
    ),
    (
        "the total limit struck during the reload: both are true",
        lambda proxy, column, _code, _facts: column == "proxy_reload" and proxy in TOTAL_LIMITED,
    ),
)


def undecidable(proxy: str, column: str, code: str, facts: Facts) -> str:
    """Return why the client's evidence fits another cause as well, empty if it does not."""
    if code == "OK" or code.startswith("✓"):
        return ""
    return next((why for why, applies in UNDECIDABLE if applies(proxy, column, code, facts)), "")
