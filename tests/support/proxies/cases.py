"""The cases: faults behind, in and of each proxy, and the expected span. Each case runs in all four modes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from signal import SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2

from tests.support.proxies.signatures import read_table

from otel_claude_stream.testing import CutMidChunk, End, Error, Hang, Pause, Reset, Script

LIMITS = "idle:2s=nginx,idle:2s=haproxy,duration:6s=total-limit relay"

ANSWER = Script.message(deltas=12, gap=0.1)
"""An answer of 1.1 s."""
STARTED = 8
"""Events before a fault, the last after 0.4 s: message_start, block start, ping, five deltas."""
LONG = Script.message(deltas=40, gap=0.2)
"""An answer of 8 s with an event every 0.2 s, so that no idle limit strikes."""

SLOW = Script.message(deltas=12, gap=0.2)
"""An answer whose first six events take 0.4 s. nginx renews its timer every 0.3 s, so it cuts at 2.4 s."""

SCRIPTS: dict[str, Script] = {
    "healthy": ANSWER,
    "slow_head": replace(ANSWER, header_delay=12.0),
    "slow_first_event": replace(ANSWER, steps=(Pause(12.0), *ANSWER.steps)),
    "stall": ANSWER.insert_pause(STARTED, 12.0),
    "late_stall": LONG.insert_pause(18, 12.0),
    "stall_http10": replace(SLOW.insert_pause(6, 12.0), framing="close"),
    "stall_pings": ANSWER.insert_pause(STARTED, 6.0, ping_interval=0.5),
    "long": LONG,
    "up_fin": ANSWER.cut_after(STARTED, CutMidChunk()),
    "up_rst": ANSWER.cut_after(STARTED, Reset()),
    "up_clean": ANSWER.cut_after(STARTED, End()),
    "up_length_fin": replace(ANSWER.cut_after(STARTED, CutMidChunk()), framing="length"),
    "up_http10_fin": replace(ANSWER.cut_after(STARTED, CutMidChunk()), framing="close"),
    "up_http10_rst": replace(ANSWER.cut_after(STARTED, Reset()), framing="close"),
    "up_close_before_head": Script.no_response("fin"),
    "up_503_html": Script.plain_response(503, "<html><body>maintenance</body></html>"),
    "up_529": Script.http_error(529),
    "up_error_event": ANSWER.cut_after(STARTED, Error("overloaded_error")),
    "only_stop_missing": replace(ANSWER, steps=ANSWER.steps[:-1]),
    "after_stop_fin": replace(ANSWER, steps=(*ANSWER.steps, CutMidChunk())),
    "after_stop_rst": replace(ANSWER, steps=(*ANSWER.steps, Reset())),
    "after_stop_hang": replace(ANSWER, steps=(*ANSWER.steps, Hang())),
}
"""The upstream's behaviour, named as in the reference. ``http10`` is a body without chunks and length."""


@dataclass(frozen=True)
class Expected:
    """Expected attributes of a span: ``claude.stream.outcome``, ``.phase`` and ``.abort.*``, by their last parts."""

    outcome: str
    phase: str
    reason: str | None = None
    origin: str | None = None
    limit_match: str | None = None
    suspects: tuple[str, ...] = ()
    also_possible: tuple[str, ...] = ()
    fault_after_stop: bool = False
    missing_message_stop: bool = False


@dataclass(frozen=True)
class Case:
    """One case. ``signature`` is the cell of the reference (set-up, fault) that it repeats, empty for none."""

    proxy: str
    location: str
    script: str
    expected: Expected
    signature: tuple[str, str] = ("", "")
    seen: str = ""
    """The caller's view in the codes of the reference, if it has no such cell or ``differs`` is set."""
    differs: str = ""
    """Why the caller's view differs from the reference."""
    action: tuple[str, int, bool] | None = None
    """The signal that a separate proxy gets once all streams are open: its name, number, and whether workers get it."""

    @property
    def id(self) -> str:
        parts = (self.proxy, self.location, self.action[0] if self.action else "", self.script)
        return "-".join(part for part in parts if part)


OK = Expected("completed", "finishing")
AFTER_STOP = replace(OK, fault_after_stop=True)
OVERLOADED = Expected("failed", "awaiting_response", "overloaded", "anthropic", "none")
OVERLOADED_EVENT = replace(OVERLOADED, phase="streaming")
PAGE = Expected("failed", "awaiting_response", "gateway_error", "intermediary", "none", (), ("overloaded", "api_error"))
TOO_LARGE = replace(PAGE, also_possible=("request_rejected",))
CUT = Expected("failed", "streaming", "connection_closed", "unknown", "none")
CLEAN_CUT = replace(CUT, reason="truncated", also_possible=("connection_closed",))
NO_RESPONSE = replace(CUT, phase="awaiting_response", also_possible=("connect_failed", "gateway_error"))
REFUSED = Expected("failed", "connecting", "connect_failed", "network", "none")
AWAITING_FIRST_EVENT = "awaiting_first_event"


def by_idle_limit(expected: Expected, *suspects: str, phase: str = "") -> Expected:
    """Return the ending as one that the idle limit caused."""
    phase = phase or expected.phase
    return replace(expected, origin="intermediary", limit_match="idle:2s", suspects=suspects, phase=phase)


def by_total_limit(expected: Expected, phase: str = "") -> Expected:
    """Return the ending as one that the limit on the whole response caused. It alone implies no origin."""
    phase = phase or expected.phase
    return replace(expected, limit_match="duration:6s", suspects=("total-limit relay",), phase=phase)


def with_suspects(expected: Expected, *suspects: str, phase: str = "") -> Expected:
    """Return the ending with suspects."""
    return replace(expected, suspects=suspects, phase=phase or expected.phase)


# nginx adds its name to the responses that it passes on, HAProxy to none. So both are suspects of an idle cut in the
# body. Before the body each is identified by its error page.
NGINX_FIRST, HAPROXY_FIRST = ("nginx", "HAProxy"), ("HAProxy", "nginx")


def nginx(location: str, script: str, expected: Expected, cell: tuple[str, str] = ("", ""), **more: object) -> Case:
    setup = {
        "plain": "nginx-sse",
        "buffered": "nginx-h11",
        "default": "nginx",
        "pages": "nginx-errpage",
        "gzip": "nginx-gzip",
    }
    return Case("nginx", location, script, expected, cell if any(cell) else (setup[location], script), **more)


def haproxy(script: str, expected: Expected, fault: str = "") -> Case:
    return Case("haproxy", "plain", script, expected, ("haproxy-nodelay", fault or script))


CASES: tuple[Case, ...] = (
    # nginx with the recommended settings for streams: HTTP/1.1 to the upstream, no buffering.
    nginx("plain", "slow_head", by_idle_limit(PAGE, *NGINX_FIRST)),
    nginx("plain", "slow_first_event", by_idle_limit(CUT, *NGINX_FIRST, phase=AWAITING_FIRST_EVENT)),
    nginx("plain", "stall", by_idle_limit(CUT, *NGINX_FIRST)),
    nginx("plain", "stall_pings", OK),
    nginx("plain", "long", OK),
    nginx("plain", "up_fin", with_suspects(CUT, "nginx")),
    nginx("plain", "up_rst", with_suspects(CUT, "nginx")),
    nginx("plain", "up_clean", with_suspects(CLEAN_CUT, "nginx")),
    nginx("plain", "up_length_fin", with_suspects(CUT, "nginx")),
    nginx("plain", "up_http10_fin", with_suspects(CLEAN_CUT, "nginx")),
    nginx("plain", "up_http10_rst", with_suspects(CUT, "nginx")),
    nginx("plain", "up_close_before_head", with_suspects(PAGE, "nginx")),
    nginx("plain", "up_503_html", with_suspects(PAGE, "nginx")),
    nginx("plain", "up_529", OVERLOADED),
    nginx("plain", "up_error_event", OVERLOADED_EVENT),
    Case("nginx", "plain", "only_stop_missing", replace(OK, missing_message_stop=True), seen="OK"),
    nginx("plain", "after_stop_fin", AFTER_STOP),
    nginx("plain", "after_stop_rst", AFTER_STOP),
    nginx("plain", "after_stop_hang", AFTER_STOP),
    Case("nginx", "down", "healthy", with_suspects(PAGE, "nginx"), ("nginx-sse", "upstream_down")),
    Case("nginx", "small", "healthy", with_suspects(TOO_LARGE, "nginx"), ("nginx-sse", "big_body")),
    # With replaced error pages an overload is no longer visible, and only possible.
    nginx("pages", "slow_head", by_idle_limit(PAGE, *NGINX_FIRST)),
    nginx("pages", "up_close_before_head", with_suspects(PAGE, "nginx")),
    nginx("pages", "up_529", with_suspects(PAGE, "nginx")),
    # With buffering the headers wait for the first byte. A cut comes with them, so their wait is the silence.
    nginx("buffered", "slow_first_event", by_idle_limit(CUT, *NGINX_FIRST, phase=AWAITING_FIRST_EVENT)),
    nginx("buffered", "stall", by_idle_limit(CUT, *NGINX_FIRST)),
    nginx("buffered", "up_fin", with_suspects(CUT, "nginx")),
    nginx("buffered", "after_stop_hang", AFTER_STOP),
    # Compression buffers everything, with the headers, until the cut, so the client measures no silence.
    nginx("gzip", "healthy", OK, seen="OK"),
    nginx("gzip", "stall", with_suspects(CUT, "nginx")),
    nginx("gzip", "up_fin", with_suspects(CUT, "nginx")),
    # By default nginx uses HTTP/1.0 for the upstream. It buffers everything and discards it at a cut. The client cannot
    # measure the silence, since eight events arrived at nginx and none at the client.
    nginx("default", "slow_head", by_idle_limit(PAGE, *NGINX_FIRST)),
    nginx("default", "stall_http10", with_suspects(CUT, "nginx", phase=AWAITING_FIRST_EVENT), ("nginx", "stall")),
    nginx("default", "up_http10_fin", with_suspects(CLEAN_CUT, "nginx")),
    nginx("default", "up_529", OVERLOADED),
    # HAProxy.
    haproxy("slow_head", by_idle_limit(PAGE, *HAPROXY_FIRST)),
    haproxy("slow_first_event", by_idle_limit(CUT, *NGINX_FIRST, phase=AWAITING_FIRST_EVENT)),
    haproxy("stall", by_idle_limit(CUT, *NGINX_FIRST)),
    haproxy("stall_pings", OK),
    haproxy("long", OK),
    haproxy("up_fin", CUT),
    haproxy("up_rst", CUT),
    haproxy("up_clean", CLEAN_CUT),
    haproxy("up_length_fin", CUT),
    haproxy("up_http10_fin", CLEAN_CUT),
    haproxy("up_http10_rst", CLEAN_CUT),
    # HAProxy's idle limit ends a body without chunks cleanly, so the silence is the only evidence.
    Case("haproxy", "plain", "stall_http10", by_idle_limit(CLEAN_CUT, *NGINX_FIRST), seen="END"),
    haproxy("up_close_before_head", with_suspects(PAGE, "HAProxy")),
    haproxy("up_503_html", PAGE),
    haproxy("up_529", OVERLOADED),
    haproxy("up_error_event", OVERLOADED_EVENT),
    haproxy("after_stop_fin", AFTER_STOP),
    haproxy("after_stop_rst", AFTER_STOP),
    haproxy("after_stop_hang", AFTER_STOP),
    Case("haproxy", "down", "healthy", with_suspects(PAGE, "HAProxy"), ("haproxy", "upstream_down")),
    # A limit on the whole response, by the relay.
    Case("relay", "", "healthy", OK, seen="OK"),
    Case("relay", "", "slow_head", by_total_limit(NO_RESPONSE), seen="DISC"),
    Case("relay", "", "slow_first_event", by_total_limit(CUT, AWAITING_FIRST_EVENT), seen="IC"),
    # In a long silence it matches no known limit. A limit on the whole response counts only if bytes arrived within
    # the last five seconds, since every long silence ends at some time.
    Case("relay", "", "stall", CUT, seen="IC"),
    Case("relay", "", "late_stall", by_total_limit(CUT), seen="IC"),
    Case("relay", "", "stall_pings", by_total_limit(CUT), seen="IC"),
    Case("relay", "", "long", by_total_limit(CUT), seen="IC"),
    # Signals to the proxy. At a reload both give open streams one second, in which a short answer ends.
    Case(
        "nginx",
        "plain",
        "long",
        with_suspects(CUT, "nginx"),
        ("nginx-sse", "proxy_reload"),
        action=("reload", SIGHUP, False),
    ),
    Case("nginx", "plain", "healthy", OK, seen="OK", action=("reload", SIGHUP, False)),
    Case(
        "nginx",
        "plain",
        "long",
        with_suspects(CUT, "nginx"),
        ("nginx-sse", "proxy_graceful"),
        action=("stop", SIGQUIT, False),
    ),
    Case(
        "nginx",
        "plain",
        "long",
        with_suspects(CUT, "nginx"),
        ("nginx-sse", "proxy_term"),
        action=("term", SIGTERM, False),
    ),
    Case(
        "nginx",
        "plain",
        "long",
        with_suspects(CUT, "nginx"),
        ("nginx-sse", "proxy_kill"),
        action=("kill", SIGKILL, True),
    ),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_reload"), action=("reload", SIGUSR2, False)),
    Case("haproxy", "plain", "healthy", OK, seen="OK", action=("reload", SIGUSR2, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_graceful"), action=("stop", SIGUSR1, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_term"), action=("term", SIGTERM, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_kill"), action=("kill", SIGKILL, True)),
    Case("closed-port", "", "healthy", REFUSED, ("nginx-sse", "proxy_down")),
)


COLUMNS = (
    "proxy, set-up", "fault", "caller's view", "outcome, reason", "phase", "origin", "limit", "suspects",
    "also possible",
)  # fmt: skip
AFTER, MISSING = "fault after message_stop", "message_stop missing"


def table() -> str:
    """Return the cases as the Markdown table of the README."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for case in CASES:
        e = case.expected
        cells = (
            f"{case.proxy} {case.location}".strip(),
            f"{case.action[0]} during `{case.script}`" if case.action else f"`{case.script}`",
            f"`{expected_code(case)}`",
            ", ".join(
                filter(None, (e.outcome, e.reason, AFTER * e.fault_after_stop, MISSING * e.missing_message_stop))
            ),
            e.phase,
            e.origin or "",
            e.limit_match or "",
            ", ".join(e.suspects),
            ", ".join(e.also_possible),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def expected_code(case: Case) -> str:
    """Return the expected code without counts and times, from the reference unless the case sets another."""
    if case.seen:
        return case.seen
    cell = REFERENCE[case.signature]
    return re.sub(r"\(\d+\)|@[\d.]+", "", cell)


REFERENCE = {(setup, fault): cell for setup, fault, cell in read_table()}
"""The measured table by set-up and fault."""

if __name__ == "__main__":
    print(table(), end="")
