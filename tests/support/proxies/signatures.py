"""The measured table `proxy_signatures.md` as cases: facts as the SDK's caller would have them, and the truth.

A case is one variant of one cell, for sync or async. What the table does not say is modelled here, in one place:
events come each 0.1 s, the second one at once; a fault of the columns with seven events strikes 0.5 s after the start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import chains
from tests.support.proxies.signature_truths import (
    IDLE,
    READ_TIMEOUT,
    TIMER_COLUMNS,
    TOTAL,
    TOTAL_LIMITED,
    Truth,
    family,
    truth_of,
    undecidable,
)

from otel_claude_stream._core.diagnosis.facts import Facts, Fault
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Phase, Stop

TABLE = Path(__file__).with_name("proxy_signatures.md")

# What a response is known to carry when it passes (not on error pages): proxies.md, section 4.
PASSING = {
    "nginx": {"server": "nginx"},
    "squid": {"via": "1.1 lab (squid/5.7)"},
    "varnish": {"via": "1.1 varnish (Varnish/7.1)", "x-varnish": "3"},
    "envoy": {"server": "envoy"},
    "nghttpx": {"via": "1.1 nghttpx"},
}
TUNNELS = ("squid-connect", "tinyproxy-connect", "stunnel")


@dataclass(frozen=True)
class Case:
    proxy: str
    fault: str
    mode: str
    code: str
    facts: Facts
    truth: Truth
    undecidable: str = ""
    """Why no client can tell, empty if one can."""

    @property
    def held_out(self) -> bool:
        """Half of the proxies were never looked at while the rules were written: decided by the name alone."""
        return hashlib.sha256(self.proxy.encode()).digest()[0] % 2 == 1


_CODE = re.compile(r"(?P<done>✓?)(?P<code>[A-Za-z:]+|\d{3}(?:api|[htj-]))(?P<status>\d{3})?(?P<zero>0)?"
                   r"(?:\((?P<n>\d+)\))?(?:@(?P<wait>[\d.]+))?\Z")  # fmt: skip


def read_table() -> Iterator[tuple[str, str, str]]:
    """Yields (proxy, fault, cell) for each cell that was measured."""
    columns: list[str] = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells and cells[0] == "proxy":
            columns = cells[1:]
        elif cells and not cells[0].startswith("---"):
            yield from ((cells[0], column, cell) for column, cell in zip(columns, cells[1:], strict=True) if cell)


def cases() -> Iterator[Case]:
    for proxy, column, cell in read_table():
        for mode, code in variants(cell):
            yield case(proxy, column, mode, code)


def variants(cell: str) -> Iterator[tuple[str, str]]:
    """`s:IC(0) a:IC(0)¦✓IC` -> ("sync", "IC(0)"), ("async", "IC(0)"), ("async", "✓IC")."""
    parts = re.match(r"s:(\S+) a:(\S+)\Z", cell)
    for mode, codes in (("sync", parts[1]), ("async", parts[2])) if parts else (("sync", cell), ("async", cell)):
        yield from ((mode, code) for code in codes.split("¦"))


def case(proxy: str, column: str, mode: str, code: str) -> Case:
    found = _CODE.match(code)
    assert found, f"unknown code {code!r} of {proxy} x {column}"
    facts = facts_of(proxy, column, mode, code, found)
    truth = truth_of(proxy, column, code)
    return Case(proxy, column, mode, code, facts, truth, undecidable(proxy, column, code, facts))


def facts_of(proxy: str, column: str, mode: str, code: str, found: re.Match[str]) -> Facts:
    """What a client would know, by the codes' legend and the exception chains of proxies.md, section 3."""
    n, wait = int(found["n"] or 0), float(found["wait"] or 0.0)
    asynchronous = mode == "async"
    if found["done"] or code == "OK":
        return finished(found["code"], wait, asynchronous)
    name = found["code"]
    if name[:3].isdigit():
        return status_facts(proxy, column, int(name[:3]), name[3:])
    before_head = BEFORE_HEAD.get(name + (found["zero"] or ""))
    if before_head is not None:
        chain = before_head[asynchronous]
        waited = READ_TIMEOUT if name == "HANG" else wait or 0.02
        return Facts(Stop.RAISED, Phase.AWAITING_RESPONSE, chain, head=waited, silence=waited, elapsed=waited)
    elapsed, silence = times(proxy, column, name, n, wait)
    body = Facts(
        Stop.RAISED,
        Phase.STREAMING if n > 2 else Phase.AWAITING_FIRST_EVENT,
        status=200,
        content_type="text/event-stream",
        has_request_id=True,
        headers=PASSING.get(family(proxy), {}) if proxy not in TUNNELS else {},
        message_start=n > 0,
        events=n,
        content_events=max(0, n - 2),
        bytes=130 * n,
        bytes_last_5s=130 * n,
        elapsed=elapsed,
        last_attempt=elapsed,
        head=0.02,
        silence=silence,
    )
    if name == "END":
        return replace(body, stop=Stop.EXHAUSTED)
    if name == "ev:overloaded":
        said = replace(body, error_type="overloaded_error", error_source=ErrorSource.SSE)
        return replace(said, fault=chains.STATUS, events=7, message_start=True, phase=Phase.STREAMING)
    return replace(body, fault=IN_BODY[name][asynchronous])


def times(proxy: str, column: str, name: str, n: int, wait: float) -> tuple[float, float]:
    """(elapsed, silence) of a cut in the body."""
    start = 0.5 if column not in ("slow_first_event", "slow_head") else 0.0
    if column in ("slow_first_event", "stall") and not wait:
        # A clean end or a bad chunk is no "cut" for the legend, which gives no wait for them; physics does.
        silent = name in ("END", "BADCHUNK")
        return start + IDLE, IDLE if silent else 0.0
    if column == "client_read_timeout" or name == "HANG":
        return start + READ_TIMEOUT, READ_TIMEOUT
    if column in ("stall_pings", "long"):
        return TOTAL + (1.0 if family(proxy) == "envoy" else 0.0), wait  # Envoy closes one second late
    if column in ("upstream_kill", "proxy_reload", "proxy_graceful", "proxy_term", "proxy_kill"):
        return max(0.1, (n - 2) / 10) + wait, wait
    return start + wait, wait


def finished(name: str, wait: float, asynchronous: bool) -> Facts:
    pair = IN_BODY.get(name)
    return Facts(
        Stop.RAISED if pair else Stop.EXHAUSTED,
        Phase.FINISHING,
        pair[asynchronous] if pair else None,
        status=200,
        content_type="text/event-stream",
        has_request_id=True,
        message_start=True,
        message_delta=True,
        message_stop=True,
        events=32,
        content_events=28,
        bytes=4000,
        elapsed=3.0 + wait,
        silence=wait,
    )


BODIES = {"h": BodyClass.HTML, "t": BodyClass.TEXT, "j": BodyClass.JSON, "-": BodyClass.EMPTY, "api": BodyClass.API}


def status_facts(proxy: str, column: str, status: int, body: str) -> Facts:
    api = body == "api"
    head = 0.05
    if column in TIMER_COLUMNS:
        late = 3.7 if family(proxy) == "lighttpd" else IDLE
        head = TOTAL if proxy in TOTAL_LIMITED else late
    return Facts(
        Stop.RAISED,
        Phase.AWAITING_RESPONSE,
        chains.fault("an.OverloadedError" if status == 529 else "an.APIStatusError"),
        status=status,
        error_type="overloaded_error" if api else None,
        error_source=ErrorSource.HTTP,
        content_type="application/json" if api or body == "j" else "text/html",
        body=BODIES[body],
        has_request_id=api,
        headers=PASSING.get(family(proxy), {}),
        elapsed=head,
        head=head,
        silence=head,
    )


# Code -> (sync chain, async chain).
BEFORE_HEAD: dict[str, tuple[Fault, Fault]] = {
    "DISC": (chains.DISCONNECTED, chains.DISCONNECTED),
    "CRST": (chains.RESET_HEAD, chains.RESET_HEAD),
    "CPIPE": (chains.PIPE_HEAD, chains.PIPE_HEAD),
    "REFUSED": (chains.REFUSED, chains.REFUSED),
    "CERT": (chains.UNTRUSTED, chains.UNTRUSTED),
    "PX": (chains.PROXY_REFUSED, chains.PROXY_REFUSED),
    "RAW": (chains.ERROR_BODY_CUT, chains.ERROR_BODY_CUT),
    "HANG0": (chains.QUIET_HEAD, chains.QUIET_HEAD_ASYNC),
}
IN_BODY: dict[str, tuple[Fault, Fault]] = {
    "IC": (chains.CUT, chains.CUT),
    "SHORT": (chains.SHORT, chains.SHORT),
    "BADCHUNK": (chains.BAD_CHUNK, chains.BAD_CHUNK),
    "RST": (chains.RESET, chains.RESET_ASYNC),
    "GZ": (chains.GZIP, chains.GZIP),
    "HANG": (chains.QUIET, chains.QUIET_ASYNC),
}
