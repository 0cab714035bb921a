"""The measured table `proxy_signatures.md` as cases, each with the facts that a caller has, and with the truth.

A case is one variant of one cell, for sync or async. The table lacks some times, which are modelled here. Events
arrive every 0.1 s, the second one at once. A fault in a column with seven events strikes 0.5 s after the start.
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

# Headers that a proxy adds to a response that it passes on (measured, not on error pages).
PASSED_HEADERS = {
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
    """Why no client can decide the case, empty if one can."""

    @property
    def held_out(self) -> bool:
        """Whether the case was held out while the rules were written. A hash of the proxy's name decides."""
        return hashlib.sha256(self.proxy.encode()).digest()[0] % 2 == 1


_CODE = re.compile(r"(?P<done>✓?)(?P<code>[A-Za-z:]+|\d{3}(?:api|[htj-]))(?P<status>\d{3})?(?P<zero>0)?"
                   r"(?:\((?P<n>\d+)\))?(?:@(?P<wait>[\d.]+))?\Z")  # fmt: skip


def read_table() -> Iterator[tuple[str, str, str]]:
    """Yield (proxy, fault, cell) for each cell that was measured."""
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
    """Yield ("sync", "IC(0)"), ("async", "IC(0)"), ("async", "✓IC") for the cell `s:IC(0) a:IC(0)¦✓IC`."""
    parts = re.match(r"s:(\S+) a:(\S+)\Z", cell)
    for mode, codes in (("sync", parts[1]), ("async", parts[2])) if parts else (("sync", cell), ("async", cell)):
        yield from ((mode, code) for code in codes.split("¦"))


def case(proxy: str, column: str, mode: str, code: str) -> Case:
    match = _CODE.match(code)
    assert match, f"unknown code {code!r} of {proxy} x {column}"
    facts = facts_of(proxy, column, mode, code, match)
    truth = truth_of(proxy, column, code)
    return Case(proxy, column, mode, code, facts, truth, undecidable(proxy, column, code, facts))


def facts_of(proxy: str, column: str, mode: str, code: str, match: re.Match[str]) -> Facts:
    """Return the facts that a client has, by the legend of the codes and the measured exception chains."""
    count, wait = int(match["n"] or 0), float(match["wait"] or 0.0)
    asynchronous = mode == "async"
    if match["done"] or code == "OK":
        return complete_facts(match["code"], wait, asynchronous)
    name = match["code"]
    if name[:3].isdigit():
        return status_facts(proxy, column, int(name[:3]), name[3:])
    before_headers = BEFORE_HEADERS.get(name + (match["zero"] or ""))
    if before_headers is not None:
        chain = before_headers[asynchronous]
        waited = READ_TIMEOUT if name == "HANG" else wait or 0.02
        return Facts(
            Stop.RAISED, Phase.AWAITING_RESPONSE, chain, time_to_headers=waited, silence=waited, elapsed=waited
        )
    elapsed, silence = elapsed_and_silence(proxy, column, name, count, wait)
    body = Facts(
        Stop.RAISED,
        Phase.STREAMING if count > 2 else Phase.AWAITING_FIRST_EVENT,
        status=200,
        content_type="text/event-stream",
        has_request_id=True,
        headers=PASSED_HEADERS.get(family(proxy), {}) if proxy not in TUNNELS else {},
        message_start=count > 0,
        events=count,
        bytes=130 * count,
        bytes_last_5s=130 * count,
        elapsed=elapsed,
        attempt_elapsed=elapsed,
        time_to_headers=0.02,
        silence=silence,
    )
    if name == "END":
        return replace(body, stop=Stop.EXHAUSTED)
    if name == "ev:overloaded":
        sse_error = replace(body, error_type="overloaded_error", error_source=ErrorSource.SSE)
        return replace(sse_error, fault=chains.STATUS_ERROR, events=7, message_start=True, phase=Phase.STREAMING)
    return replace(body, fault=IN_BODY[name][asynchronous])


def elapsed_and_silence(proxy: str, column: str, name: str, count: int, wait: float) -> tuple[float, float]:
    """Return the elapsed time and the silence of a cut in the body."""
    start = 0.5 if column not in ("slow_first_event", "slow_head") else 0.0
    if column in ("slow_first_event", "stall") and not wait:
        # The legend gives no wait for a clean end or a bad chunk, but both follow the idle limit.
        silent = name in ("END", "BADCHUNK")
        return start + IDLE, IDLE if silent else 0.0
    if column == "client_read_timeout" or name == "HANG":
        return start + READ_TIMEOUT, READ_TIMEOUT
    if column in ("stall_pings", "long"):
        return TOTAL + (1.0 if family(proxy) == "envoy" else 0.0), wait  # Envoy closes one second late
    if column in ("upstream_kill", "proxy_reload", "proxy_graceful", "proxy_term", "proxy_kill"):
        return max(0.1, (count - 2) / 10) + wait, wait
    return start + wait, wait


def complete_facts(name: str, wait: float, asynchronous: bool) -> Facts:
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
        bytes=4000,
        elapsed=3.0 + wait,
        silence=wait,
    )


BODIES = {"h": BodyClass.HTML, "t": BodyClass.TEXT, "j": BodyClass.JSON, "-": BodyClass.EMPTY, "api": BodyClass.API}


def status_facts(proxy: str, column: str, status: int, body: str) -> Facts:
    api = body == "api"
    time_to_headers = 0.05
    if column in TIMER_COLUMNS:
        late = 3.7 if family(proxy) == "lighttpd" else IDLE
        time_to_headers = TOTAL if proxy in TOTAL_LIMITED else late
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
        headers=PASSED_HEADERS.get(family(proxy), {}),
        elapsed=time_to_headers,
        time_to_headers=time_to_headers,
        silence=time_to_headers,
    )


# Code -> (sync chain, async chain).
BEFORE_HEADERS: dict[str, tuple[Fault, Fault]] = {
    "DISC": (chains.DISCONNECTED, chains.DISCONNECTED),
    "CRST": (chains.RESET_BEFORE_HEADERS, chains.RESET_BEFORE_HEADERS),
    "CPIPE": (chains.BROKEN_PIPE_BEFORE_HEADERS, chains.BROKEN_PIPE_BEFORE_HEADERS),
    "REFUSED": (chains.REFUSED, chains.REFUSED),
    "CERT": (chains.UNTRUSTED_CERTIFICATE, chains.UNTRUSTED_CERTIFICATE),
    "PX": (chains.PROXY_REFUSED, chains.PROXY_REFUSED),
    "RAW": (chains.ERROR_BODY_CUT, chains.ERROR_BODY_CUT),
    "HANG0": (chains.RESPONSE_TIMEOUT, chains.RESPONSE_TIMEOUT_ASYNC),
}
IN_BODY: dict[str, tuple[Fault, Fault]] = {
    "IC": (chains.CHUNKED_BODY_CUT, chains.CHUNKED_BODY_CUT),
    "SHORT": (chains.CONTENT_LENGTH_CUT, chains.CONTENT_LENGTH_CUT),
    "BADCHUNK": (chains.BAD_CHUNK, chains.BAD_CHUNK),
    "RST": (chains.RESET, chains.RESET_ASYNC),
    "GZ": (chains.GZIP, chains.GZIP),
    "HANG": (chains.READ_TIMEOUT, chains.READ_TIMEOUT_ASYNC),
}
