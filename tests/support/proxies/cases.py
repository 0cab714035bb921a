"""What happens behind, in, and to each proxy, and what the span must say: one row, one case, for all four modes."""

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
"""Events of it (the last after 0.4 s) after which things go wrong: message_start, block start, ping, five deltas."""
LONG = Script.message(deltas=40, gap=0.2)
"""An answer of 8 s, a byte each 0.2 s: no idle limit strikes."""

SLOW = Script.message(deltas=12, gap=0.2)
"""Its first six events take 0.4 s, so that nginx, which sets a timer anew each 0.3 s, cuts at 2.4 s: near no limit."""

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
"""What the upstream does, named as in the reference; ``http10``: a body without chunks or length, as in HTTP/1.0."""


@dataclass(frozen=True)
class Expected:
    """The attributes ``claude.stream.outcome``, ``.phase`` and ``.abort.*`` of a span, without their beginnings."""

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
    """One row. ``signature`` is the cell of the reference (set-up, fault) that it repeats, empty for none."""

    proxy: str
    location: str
    script: str
    expected: Expected
    signature: tuple[str, str] = ("", "")
    seen: str = ""
    """What the caller sees (in the reference's codes) where the reference has no such cell, or ``differs``."""
    differs: str = ""
    """Why the caller sees something else than the reference says."""
    action: tuple[str, int, bool] | None = None
    """A signal for a proxy of the case's own once all streams are open: its name, and whether the workers get it."""

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
NO_HEAD = replace(CUT, phase="awaiting_response", also_possible=("connect_failed", "gateway_error"))
NOBODY = Expected("failed", "connecting", "connect_failed", "network", "none")
FIRST = "awaiting_first_event"


def idle(expected: Expected, *suspects: str, phase: str = "") -> Expected:
    """The same, caused by the idle limit."""
    phase = phase or expected.phase
    return replace(expected, origin="intermediary", limit_match="idle:2s", suspects=suspects, phase=phase)


def total(expected: Expected, phase: str = "") -> Expected:
    """The same, caused by the limit on the whole response: it alone does not name an origin."""
    phase = phase or expected.phase
    return replace(expected, limit_match="duration:6s", suspects=("total-limit relay",), phase=phase)


def by(expected: Expected, *suspects: str, phase: str = "") -> Expected:
    """The same, with these suspects."""
    return replace(expected, suspects=suspects, phase=phase or expected.phase)


# nginx puts its name on what it passes on, HAProxy on nothing; so in the body both are suspects of an idle cut, and
# before it each betrays itself by its page.
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
    # nginx as it should be for streams: HTTP/1.1 to the upstream, no buffering.
    nginx("plain", "slow_head", idle(PAGE, *NGINX_FIRST)),
    nginx("plain", "slow_first_event", idle(CUT, *NGINX_FIRST, phase=FIRST)),
    nginx("plain", "stall", idle(CUT, *NGINX_FIRST)),
    nginx("plain", "stall_pings", OK),
    nginx("plain", "long", OK),
    nginx("plain", "up_fin", by(CUT, "nginx")),
    nginx("plain", "up_rst", by(CUT, "nginx")),
    nginx("plain", "up_clean", by(CLEAN_CUT, "nginx")),
    nginx("plain", "up_length_fin", by(CUT, "nginx")),
    nginx("plain", "up_http10_fin", by(CLEAN_CUT, "nginx")),
    nginx("plain", "up_http10_rst", by(CUT, "nginx")),
    nginx("plain", "up_close_before_head", by(PAGE, "nginx")),
    nginx("plain", "up_503_html", by(PAGE, "nginx")),
    nginx("plain", "up_529", OVERLOADED),
    nginx("plain", "up_error_event", OVERLOADED_EVENT),
    Case("nginx", "plain", "only_stop_missing", replace(OK, missing_message_stop=True), seen="OK"),
    nginx("plain", "after_stop_fin", AFTER_STOP),
    nginx("plain", "after_stop_rst", AFTER_STOP),
    nginx("plain", "after_stop_hang", AFTER_STOP),
    Case("nginx", "down", "healthy", by(PAGE, "nginx"), ("nginx-sse", "upstream_down")),
    Case("nginx", "small", "healthy", by(TOO_LARGE, "nginx"), ("nginx-sse", "big_body")),
    # Its own pages in place of the upstream's: an overload cannot be seen any more, it is only still possible.
    nginx("pages", "slow_head", idle(PAGE, *NGINX_FIRST)),
    nginx("pages", "up_close_before_head", by(PAGE, "nginx")),
    nginx("pages", "up_529", by(PAGE, "nginx")),
    # Buffering on. The headers wait for the first byte, so a cut comes together with them: their wait is the silence.
    nginx("buffered", "slow_first_event", idle(CUT, *NGINX_FIRST, phase=FIRST)),
    nginx("buffered", "stall", idle(CUT, *NGINX_FIRST)),
    nginx("buffered", "up_fin", by(CUT, "nginx")),
    nginx("buffered", "after_stop_hang", AFTER_STOP),
    # Compression holds all of it, the headers too, until the cut: the silence of the client is none.
    nginx("gzip", "healthy", OK, seen="OK"),
    nginx("gzip", "stall", by(CUT, "nginx")),
    nginx("gzip", "up_fin", by(CUT, "nginx")),
    # nginx as it comes, with an upstream that speaks HTTP/1.0: everything is held, and thrown away at a cut. The
    # silence cannot be known: eight events had come to nginx, none to the client.
    nginx("default", "slow_head", idle(PAGE, *NGINX_FIRST)),
    nginx("default", "stall_http10", by(CUT, "nginx", phase=FIRST), ("nginx", "stall")),
    nginx("default", "up_http10_fin", by(CLEAN_CUT, "nginx")),
    nginx("default", "up_529", OVERLOADED),
    # HAProxy.
    haproxy("slow_head", idle(PAGE, *HAPROXY_FIRST)),
    haproxy("slow_first_event", idle(CUT, *NGINX_FIRST, phase=FIRST)),
    haproxy("stall", idle(CUT, *NGINX_FIRST)),
    haproxy("stall_pings", OK),
    haproxy("long", OK),
    haproxy("up_fin", CUT),
    haproxy("up_rst", CUT),
    haproxy("up_clean", CLEAN_CUT),
    haproxy("up_length_fin", CUT),
    haproxy("up_http10_fin", CLEAN_CUT),
    haproxy("up_http10_rst", CLEAN_CUT),
    # A body that is not chunked is ended by HAProxy's idle limit without a trace: only the silence tells.
    Case("haproxy", "plain", "stall_http10", idle(CLEAN_CUT, *NGINX_FIRST), seen="END"),
    haproxy("up_close_before_head", by(PAGE, "HAProxy")),
    haproxy("up_503_html", PAGE),
    haproxy("up_529", OVERLOADED),
    haproxy("up_error_event", OVERLOADED_EVENT),
    haproxy("after_stop_fin", AFTER_STOP),
    haproxy("after_stop_rst", AFTER_STOP),
    haproxy("after_stop_hang", AFTER_STOP),
    Case("haproxy", "down", "healthy", by(PAGE, "HAProxy"), ("haproxy", "upstream_down")),
    # A limit on the whole response, by the stand-in.
    Case("relay", "", "healthy", OK, seen="OK"),
    Case("relay", "", "slow_head", total(NO_HEAD), seen="DISC"),
    Case("relay", "", "slow_first_event", total(CUT, FIRST), seen="IC"),
    # In the middle of a long silence it looks like nothing known: a limit on the whole is believed only where bytes
    # came within the last five seconds, as any long silence ends at some time.
    Case("relay", "", "stall", CUT, seen="IC"),
    Case("relay", "", "late_stall", total(CUT), seen="IC"),
    Case("relay", "", "stall_pings", total(CUT), seen="IC"),
    Case("relay", "", "long", total(CUT), seen="IC"),
    # The proxy itself. Both give open streams one second at a reload; a short answer ends in time.
    Case("nginx", "plain", "long", by(CUT, "nginx"), ("nginx-sse", "proxy_reload"), action=("reload", SIGHUP, False)),
    Case("nginx", "plain", "healthy", OK, seen="OK", action=("reload", SIGHUP, False)),
    Case("nginx", "plain", "long", by(CUT, "nginx"), ("nginx-sse", "proxy_graceful"), action=("stop", SIGQUIT, False)),
    Case("nginx", "plain", "long", by(CUT, "nginx"), ("nginx-sse", "proxy_term"), action=("term", SIGTERM, False)),
    Case("nginx", "plain", "long", by(CUT, "nginx"), ("nginx-sse", "proxy_kill"), action=("kill", SIGKILL, True)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_reload"), action=("reload", SIGUSR2, False)),
    Case("haproxy", "plain", "healthy", OK, seen="OK", action=("reload", SIGUSR2, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_graceful"), action=("stop", SIGUSR1, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_term"), action=("term", SIGTERM, False)),
    Case("haproxy", "plain", "long", CUT, ("haproxy", "proxy_kill"), action=("kill", SIGKILL, True)),
    Case("nobody", "", "healthy", NOBODY, ("nginx-sse", "proxy_down")),
)


COLUMNS = (
    "proxy, set-up", "what happens", "the caller sees", "outcome, reason", "phase", "origin", "limit", "suspects",
    "also possible",
)  # fmt: skip
AFTER, MISSING = "fault after message_stop", "message_stop missing"


def table() -> str:
    """The cases as a table in Markdown: what the README shows."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for case in CASES:
        e = case.expected
        cells = (
            f"{case.proxy} {case.location}".strip(),
            f"{case.action[0]} during `{case.script}`" if case.action else f"`{case.script}`",
            f"`{seen_in(case)}`",
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


def seen_in(case: Case) -> str:
    """What the caller must see, as a code without counts and times: the reference's, unless the case says another."""
    if case.seen:
        return case.seen
    cell = REFERENCE[case.signature]
    return re.sub(r"\(\d+\)|@[\d.]+", "", cell)


REFERENCE = {(setup, fault): cell for setup, fault, cell in read_table()}
"""The measured table, by set-up and fault."""

if __name__ == "__main__":
    print(table(), end="")
