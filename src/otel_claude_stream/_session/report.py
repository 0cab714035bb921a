"""What is known of a stream when an attempt or all of it is over: the classifier's facts, and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_claude_stream._core.diagnosis.classify import Verdict
from otel_claude_stream._core.diagnosis.facts import End, Facts, Fault
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.stream.summary import Summary
from otel_claude_stream._core.vocabulary import Phase
from otel_claude_stream._session.attempts import Totals

if TYPE_CHECKING:
    from otel_claude_stream._session.session import StreamSession

_NS = 1_000_000_000


def totals_of(session: StreamSession) -> Totals:
    """What came so far, over all attempts."""
    machine = session.machine
    return Totals(session.clocks.bytes, machine.events, machine.all_characters)


def facts_of(session: StreamSession, end: End, now: int, reply: Reply | None, *, opened: bool) -> Facts:
    """The facts about the attempt under way, which stopped by `end` at `now`; `opened` if its body was being read."""
    machine, clocks, attempts = session.machine, session.clocks, session.attempts
    came = attempts.of_this_one(totals_of(session))
    held = session.held > 0
    head_end = clocks.opened_at if opened and clocks.opened_at is not None else now
    return Facts(
        stop=end.stop,
        phase=_phase(session) if opened else _phase_before_response(end.fault),
        fault=end.fault,
        status=reply.status if reply is not None else None,
        error_type=end.error_type,
        error_source=end.error_source,
        content_type=reply.content_type if reply is not None else "",
        body=end.http.body,
        has_request_id=reply is not None and reply.request_id is not None,
        retry_after=reply.retry_after if reply is not None else None,
        headers=reply.fingerprint if reply is not None else {},
        wording=end.http.wording,
        message_start=machine.message_start or held,
        message_delta=machine.message_delta,
        message_stop=machine.message_stop,
        events=came.events + session.held,
        content_events=max(0, came.events - machine.pings + session.held),
        pings=machine.pings,
        bytes=came.bytes,
        elapsed=(now - clocks.started) / _NS,
        time_to_headers=(head_end - attempts.started) / _NS,
        silence=_silence(session, now, opened=opened) / _NS,
        no_progress=clocks.gap / _NS,
        longest_earlier_silence=clocks.longest / _NS,
        longest_ping_gap=machine.longest_ping_gap / _NS,
        bytes_last_5s=clocks.bytes_lately(now),
        reads=clocks.reads,
        read_timeout=session.read_timeout,
        attempt_elapsed=(now - attempts.started) / _NS,
    )


def _phase(session: StreamSession) -> Phase:
    phase = session.machine.phase
    held = session.held > 0
    return Phase.AWAITING_FIRST_TOKEN if held and phase is Phase.AWAITING_FIRST_EVENT else phase


def _phase_before_response(fault: Fault | None) -> Phase:
    if fault is not None and fault.has("ConnectError", "ConnectTimeout", "ProxyError", "PoolTimeout"):
        return Phase.CONNECTING
    return Phase.AWAITING_RESPONSE


def _silence(session: StreamSession, now: int, *, opened: bool) -> int:
    """How long the reader had been waiting at its end; 0 if the caller had bytes to work on."""
    clocks = session.clocks
    if not opened:
        return max(0, now - session.attempts.started)
    if clocks.is_waiting:  # somebody else ended it, while its reader waits
        return max(0, now - clocks.asked)
    return clocks.last_wait


def summary_of(session: StreamSession, end: End, facts: Facts, verdict: Verdict, now: int) -> Summary:
    """All that is told of the stream, which is over."""
    clocks, failures = session.clocks, session.failures
    return Summary(
        call=session.call,
        facts=facts,
        verdict=verdict,
        machine=session.machine,
        entries=session.machine.journal.entries(),
        attempts=tuple(session.attempts.over),
        reply=session.attempts.last_reply,
        ended=now,
        read="events" if session.decoded else ("bytes" if clocks.reads else "none"),
        reads=clocks.reads,
        longest_silence=clocks.longest_silence / _NS,
        caller_time=clocks.others_time(now) / _NS,
        exception=end.exception,
        time_to_headers=_seconds(clocks.head_wait),
        time_to_first_event=_seconds(clocks.first_event),
        time_to_first_token=_seconds(clocks.first_token),
        writing_time=_seconds(clocks.writing_time()),
        recovered=failures.recovered if failures is not None else None,
        seam=failures.seam if failures is not None else None,
        resumed=failures is not None and failures.resumed,
    )


def _seconds(nanoseconds: int | None) -> float | None:
    return nanoseconds / _NS if nanoseconds is not None else None
