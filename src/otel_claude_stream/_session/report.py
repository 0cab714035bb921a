"""The facts about a failed attempt or a call that is over, and the summary of a call."""

from __future__ import annotations

from otel_claude_stream import _guard
from otel_claude_stream._core.diagnosis.classify import Diagnosis, Verdict, classify
from otel_claude_stream._core.diagnosis.facts import End, Facts, Fault
from otel_claude_stream._core.stream.call import Reply
from otel_claude_stream._core.summary import RetryOutcome, Summary
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase
from otel_claude_stream._session.state import StreamState

_NS = 1_000_000_000


def diagnosis_of(state: StreamState, end: End, now: int, reply: Reply | None, *, opened: bool) -> Diagnosis:
    """Return why the current attempt ended at `now`; `opened` if its body was being read."""
    facts = _facts_of(state, end, now, reply, opened=opened)
    try:
        return Diagnosis(facts, classify(facts, state.limits))
    except Exception as error:  # noqa: BLE001 - a stream without a reason is better than one without an end
        _guard.report("classify", error)
        return Diagnosis(facts, Verdict(Outcome.FAILED, AbortReason.STREAM_ERROR, Origin.UNKNOWN, rule="internal"))


def _facts_of(state: StreamState, end: End, now: int, reply: Reply | None, *, opened: bool) -> Facts:
    message, timing, attempts = state.message, state.timing, state.attempts
    current = attempts.of_current(state.totals)
    buffered = attempts.buffered_events
    head_end = timing.opened_at if opened and timing.opened_at is not None else now
    silence = timing.silence(now) if opened else max(0, now - attempts.started)
    return Facts(
        stop=end.stop,
        phase=_phase(state) if opened else _phase_before_response(state, end.fault),
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
        message_start=message.ledger.started or buffered > 0,
        message_delta=message.ledger.finished,
        message_stop=message.stopped,
        events=current.events + buffered,
        pings=message.pings,
        bytes=current.bytes,
        elapsed=(now - timing.started) / _NS,
        time_to_headers=(head_end - attempts.started) / _NS,
        silence=silence / _NS,
        no_progress=timing.gap / _NS,
        longest_ping_gap=message.longest_ping_gap / _NS,
        bytes_last_5s=timing.recent_bytes(now),
        reads=state.hot.reads,
        read_timeout=attempts.read_timeout,
        attempt_elapsed=(now - attempts.started) / _NS,
    )


def _phase(state: StreamState) -> Phase:
    phase = state.message.phase
    if phase is Phase.AWAITING_FIRST_EVENT and state.attempts.buffered_events:
        return Phase.AWAITING_FIRST_TOKEN
    return phase


def _phase_before_response(state: StreamState, fault: Fault | None) -> Phase:
    permits = state.call_policy.permits
    if permits is not None and permits.unserved and not state.attempts.over:
        return Phase.QUEUED
    if fault is not None and fault.has("ConnectError", "ConnectTimeout", "ProxyError", "PoolTimeout"):
        return Phase.CONNECTING
    return Phase.AWAITING_RESPONSE


def summary_of(state: StreamState, end: End, diagnosis: Diagnosis, retries: RetryOutcome, *, ended: int) -> Summary:
    """Return all that is reported of a call that is over."""
    hot, timing = state.hot, state.timing
    return Summary(
        call=state.call,
        diagnosis=diagnosis,
        message=state.message,
        entries=state.message.journal.entries(),
        attempts=tuple(state.attempts.over),
        reply=state.attempts.last_reply,
        ended=ended,
        read_mode=hot.read_mode,
        reads=hot.reads,
        longest_silence=timing.longest_silence / _NS,
        caller_time=timing.caller_time(ended) / _NS,
        exception=end.exception,
        time_to_headers=_seconds(timing.head_wait),
        time_to_first_event=_seconds(timing.first_event),
        time_to_first_token=_seconds(timing.time_to_first_token),
        writing_time=_seconds(timing.writing_time()),
        retries=retries,
        queue=state.call_policy.permits.outcome if state.call_policy.permits is not None else None,
    )


def _seconds(nanoseconds: int | None) -> float | None:
    return nanoseconds / _NS if nanoseconds is not None else None
