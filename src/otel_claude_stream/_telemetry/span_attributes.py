"""The attributes of spans and events, built by pure functions."""

from __future__ import annotations

from typing import Any

from otel_claude_stream._core.bill import bill_of, has_extra_tokens
from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.retry.context import Action, Decision
from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import Call, Feed, Reply
from otel_claude_stream._core.stream.journal import Entry
from otel_claude_stream._core.summary import Attempt, QueueOutcome, Summary
from otel_claude_stream._core.vocabulary import Origin, Outcome
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.schema import EVENT_PREFIX, RESERVED_EVENTS
from otel_claude_stream._telemetry.spec import VERSIONS, Attribute

_NS = 1e9
AttributeValues = dict[str, Any]

_REASON_ATTRIBUTES = {"message_delta": a.STOP_REASON, "error": a.ERROR_TYPE}
"""The attribute for the reason of an entry, by its type."""


def event_name(entry: Entry) -> str:
    """Return the name of the event. An SSE event whose type is that of a synthetic event gets the prefix `sse_`."""
    if entry.count and entry.type in RESERVED_EVENTS:
        return f"{EVENT_PREFIX}sse_{entry.type}"
    return EVENT_PREFIX + entry.type


def event_attributes(entry: Entry) -> AttributeValues:
    """Return the attributes of the event, without those that are zero or empty."""
    found: AttributeValues = {}
    if entry.count > 1:
        found[a.EVENT_COALESCED.name] = entry.count
        found[a.EVENT_DURATION.name] = (entry.last_at - entry.at) / _NS
    if entry.gap:
        found[a.GAP.name] = entry.gap / _NS
    if entry.characters:
        found[a.EVENT_CHARACTERS.name] = entry.characters
    if (index := bounds.count(entry.index)) is not None:
        found[a.BLOCK_INDEX.name] = index
    if entry.block:
        found[a.BLOCK_TYPE.name] = entry.block
    if entry.reason and (attribute := _REASON_ATTRIBUTES.get(entry.type)) is not None:
        found[attribute.name] = entry.reason
    if isinstance(entry.detail, dict):
        found.update(entry.detail)
    return found


def retry_attributes(attempt: int, failure: Diagnosis, delay: float, reply: Reply | None) -> AttributeValues:
    """Return the attributes of the event for a retry by the SDK after this attempt failed."""
    return {
        **_failed_attempt(attempt, failure, reply),
        a.RETRY_DECISION.name: Action.RETRY.value,
        a.RETRY_LAYER.name: "sdk",
        a.RETRY_DELAY.name: delay,
    }


def decision_attributes(
    attempt: int,
    failure: Diagnosis,
    decision: Decision,
    reply: Reply | None,
    *,
    dry_run: bool,
    budget_left: float | None,
) -> AttributeValues:
    """Return the attributes of the event for a decision of the policy. `budget_left` is None in a dry run."""
    found: AttributeValues = {
        **_failed_attempt(attempt, failure, reply),
        a.RETRY_DECISION.name: decision.action.value,
        a.RETRY_LAYER.name: "policy",
        a.RETRY_BLOCKED_BY.name: decision.blocked_by.value,
        a.RETRY_DRY_RUN.name: dry_run,
    }
    if decision.action is not Action.GIVE_UP:
        found[a.RETRY_DELAY.name] = decision.delay
        found[a.RETRY_DELAY_SOURCE.name] = decision.delay_source.value
    if decision.model:
        found[a.FALLBACK_MODEL.name] = decision.model
    if budget_left is not None:
        found[a.RETRY_BUDGET.name] = budget_left
    return found


def _failed_attempt(attempt: int, failure: Diagnosis, reply: Reply | None) -> AttributeValues:
    """Return the attributes that both events for a failed attempt have: the attempt, its verdict and its response."""
    found = {
        a.ATTEMPT_NUMBER.name: attempt,
        a.RETRY_REASON.name: failure.reason.value,
        **abort_attributes(failure, failure.facts.age_of_attempt),
        **(_reply_attributes(reply) if reply is not None else {}),
    }
    if failure.verdict.suspects:
        found[a.SUSPECTS.name] = list(failure.verdict.suspects)
    return found


def resume_attributes(attempt: int, strategy: str, seam: str, characters: int) -> AttributeValues:
    """Return the attributes of the event for a resume, after `characters` of text were delivered."""
    return {
        a.ATTEMPT_NUMBER.name: attempt,
        a.STRATEGY.name: strategy,
        a.SEAM.name: seam,
        a.CONTENT_CHARACTERS.name: characters,
    }


def _reply_attributes(reply: Reply) -> AttributeValues:
    found: AttributeValues = {a.STATUS_CODE.name: reply.status}
    if reply.request_id is not None:
        found[a.REQUEST_ID.name] = reply.request_id
    if reply.retry_after is not None:
        found[a.RETRY_AFTER.name] = reply.retry_after
    return found


def stall_attributes(threshold: str, kind: str, block: str, call: Call) -> AttributeValues:
    """Return the attributes of the event for a stall. `block` is the type of the open block, or empty."""
    found: AttributeValues = {a.STALL_THRESHOLD.name: threshold, a.STALL_KIND.name: kind, **dict(thought_pairs(call))}
    if block:
        found[a.BLOCK_TYPE.name] = block
    return found


def thought_pairs(call: Call) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a request that make long silences normal, each with a value of its closed set."""
    return tuple(
        (attribute.name, value if value in attribute.values else "other")
        for attribute, value in ((a.THINKING_DISPLAY, call.thinking_display), (a.EFFORT, call.effort))
        if value is not None
    )


def feed_attributes(feed: Feed) -> AttributeValues:
    """Return the attributes that name a feed."""
    thread = {a.FEED_THREAD_ID.name: feed.thread_id} if feed.thread_id is not None else {}
    return {a.FEED_KIND.name: feed.kind, a.FEED_SESSION_ID.name: feed.session_id, **thread}


def abort_labels(diagnosis: Diagnosis) -> dict[str, str]:
    """Return the labels of the counters of aborts."""
    facts, verdict = diagnosis
    return {
        a.REASON.name: diagnosis.reason.value,
        a.ORIGIN.name: (verdict.origin or Origin.UNKNOWN).value,
        a.PHASE.name: facts.phase.value,
        a.LIMIT_MATCH.name: verdict.limit_match,
    }


def abort_attributes(diagnosis: Diagnosis, elapsed: float) -> AttributeValues:
    """Return the attributes of the event for an abort, with the figures that limits are compared with."""
    return {
        **abort_labels(diagnosis),
        a.ABORT_IDLE.name: diagnosis.facts.silence,
        a.ABORT_ELAPSED.name: elapsed,
    }


def attempt_attributes(attempt: Attempt, call: Call) -> AttributeValues:
    """Return the attributes of the span of an attempt."""
    found: AttributeValues = {
        a.REQUEST_MODEL.name: attempt.model or call.model,
        a.SERVER_ADDRESS.name: call.server_address,
        a.ATTEMPT_NUMBER.name: attempt.number,
        a.RETRY_LAYER.name: attempt.layer,
    }
    if attempt.delay is not None:
        found[a.RETRY_DELAY.name] = attempt.delay
    if attempt.reply is not None:
        found |= _reply_attributes(attempt.reply)
        if attempt.reply.intermediary:
            found[a.INTERMEDIARY.name] = attempt.reply.intermediary
    pairs = _rate_limits(attempt.reply)
    if attempt.diagnosis is not None:
        facts = attempt.diagnosis.facts
        pairs += [(a.PHASE, facts.phase.value), *_abort(attempt.diagnosis, facts.age_of_attempt)]
    return {**found, **{attribute.name: value for attribute, value in pairs if value is not None}}


def _rate_limits(reply: Reply | None) -> list[tuple[Attribute, object]]:
    """Return what a response reports of the rate limits."""
    limits = reply.rate_limits if reply is not None else {}
    return [pair for kind, limit in limits.items() for pair in zip(a.RATE_LIMITS[kind], limit[:2], strict=True)]


def span_attributes(summary: Summary, semconv: str) -> AttributeValues:
    """Return the attributes of a stream's span at its end."""
    pairs = [*_ending(summary), *_progress(summary), *_request(summary)]
    if summary.call.owner == "self":
        versions = VERSIONS[semconv]
        pairs += ((attribute, value) for attribute, value in _genai(summary) if attribute.semconv in versions)
    found = {attribute.name: value for attribute, value in pairs if value is not None}
    found.update(thought_pairs(summary.call))
    return found


def _ending(summary: Summary) -> list[tuple[Attribute, object]]:
    facts, verdict = summary.diagnosis
    pairs: list[tuple[Attribute, object]] = [
        (a.OUTCOME, verdict.outcome.value),
        (a.PHASE, facts.phase.value),
        (a.STOP_REASON, summary.message.stop_reason),
        (a.FAULT_AFTER_STOP, verdict.fault_after_stop or None),
        (a.MISSING_MESSAGE_STOP, verdict.missing_message_stop or None),
        (a.ABORT_EXCEPTION, summary.exception),
    ]
    return pairs if verdict.reason is None else [*pairs, *_abort(summary.diagnosis, facts.elapsed)]


def _abort(diagnosis: Diagnosis, elapsed: float) -> list[tuple[Attribute, object]]:
    """Return the verdict on a stream or an attempt, and the facts that it rests on."""
    facts, verdict = diagnosis
    pairs: list[tuple[Attribute, object]] = [
        (a.REASON, diagnosis.reason.value),
        (a.ORIGIN, verdict.origin.value if verdict.origin is not None else None),
        (a.RULE, verdict.rule or None),
        (a.ABORT_IDLE, facts.silence),
        (a.ABORT_ELAPSED, elapsed),
        (a.RECENT_BYTES, facts.bytes_last_5s),
    ]
    if verdict.outcome is Outcome.FAILED:
        pairs += [
            (a.LIMIT_MATCH, verdict.limit_match),
            (a.ALSO_POSSIBLE, [reason.value for reason in verdict.also_possible] or None),
            (a.SUSPECTS, list(verdict.suspects) or None),
            (a.ADVICE, verdict.advice or None),
            (a.ABORT_ERRNO, facts.fault.errno if facts.fault is not None else None),
            (a.ERROR_TYPE, diagnosis.error_type),
            (a.ERROR_SOURCE, facts.error_source.value if facts.error_source is not None else None),
            (a.ERROR_BODY, facts.body.value if facts.body.value != "none" else None),
        ]
    return pairs


def _progress(summary: Summary) -> list[tuple[Attribute, object]]:
    message = summary.message
    compaction, declined = message.usage.compaction, message.usage.declined
    return [
        (a.TIME_TO_HEADERS, summary.time_to_headers),
        (a.TIME_TO_FIRST_TOKEN, summary.time_to_first_token),
        (a.BLOCK_TYPE, message.first_block or None),
        (a.EVENT_COUNT, message.events),
        (a.EVENT_DROPPED, message.journal.dropped or None),
        (a.DELTA_COUNT, message.deltas),
        (a.PING_COUNT, message.pings),
        (a.BLOCK_COUNT, message.blocks),
        (a.CONTENT_CHARACTERS, message.characters),
        (a.READ_BYTES, summary.diagnosis.facts.bytes),
        (a.READ_COUNT, summary.reads),
        (a.READ_EVENTS, round(message.events / summary.reads, 2) if summary.reads else None),
        (a.LONGEST_SILENCE, summary.longest_silence),
        (a.CHUNK_LONGEST_GAP, message.longest_gap / _NS),
        (a.PING_LONGEST_GAP, message.longest_ping_gap / _NS or None),
        (a.CALLER_TIME, summary.caller_time),
        (a.USAGE_COMPLETE, summary.usage_complete),
        (a.FALLBACK_SERVED, summary.fallback_served or None),
        (a.FALLBACK_MODEL, summary.retries.model),
        (a.DECLINED_INPUT_TOKENS, declined and declined.prompt),
        (a.DECLINED_OUTPUT_TOKENS, declined and declined.output_tokens),
        (a.COMPACTION_INPUT_TOKENS, compaction and compaction.prompt),
        (a.COMPACTION_OUTPUT_TOKENS, compaction and compaction.output_tokens),
        (a.READ_MODE, summary.read_mode.value),
    ]


def _request(summary: Summary) -> list[tuple[Attribute, object]]:
    call, reply = summary.call, summary.reply
    attempts = len(summary.attempts)
    return [
        (a.API, call.api),
        (a.HELPER, call.helper),
        (a.SPAN_OWNER, call.owner),
        (a.ATTEMPT_COUNT, attempts),
        (a.RESEND_COUNT, attempts - 1 if attempts > 1 else None),
        (a.STATUS_CODE, reply.status if reply is not None else None),
        (a.RETRY_AFTER, reply.retry_after if reply is not None else None),
        *_rate_limits(reply),
        (a.REQUEST_ID, reply.request_id if reply is not None else None),
        (a.INTERMEDIARY, (reply.intermediary or None) if reply is not None else None),
        *(_queue(summary.queue) if summary.queue is not None else ()),
        *(_recovery(summary) if summary.retries.action is not None else ()),
        *(_bill(summary) if has_extra_tokens(summary) else ()),
    ]


def _queue(queue: QueueOutcome) -> list[tuple[Attribute, object]]:
    return [
        (a.CONCURRENCY_LIMIT, queue.limit),
        (a.CONCURRENCY_WAIT, queue.wait),
        (a.CONCURRENCY_WOULD_WAIT, queue.would_wait or None),
    ]


def _recovery(summary: Summary) -> list[tuple[Attribute, object]]:
    """Return the actions of the policy, and the usage of each attempt. The span's usage is that of the last attempt."""
    attempts = summary.attempts
    return [
        (a.RECOVERY_ACTION, summary.retries.action),
        (a.RESUMED, summary.retries.resumed or None),
        (a.SEAM, summary.retries.seam),
        (a.ATTEMPT_CHARACTERS, [attempt.characters for attempt in attempts]),
        (a.ATTEMPT_INPUT_TOKENS, [attempt.usage.billed.prompt or 0 for attempt in attempts]),
        (a.ATTEMPT_OUTPUT_TOKENS, [attempt.usage.billed.output_tokens or 0 for attempt in attempts]),
    ]


def _bill(summary: Summary) -> list[tuple[Attribute, object]]:
    bill = bill_of(summary)
    if not any(item.extra for item in bill):
        return []
    return [
        (a.BILLED_REPORTED, sum(item.tokens for item in bill if item.source == "reported") or None),
        (a.BILLED_ESTIMATED, sum(item.tokens for item in bill if item.source == "estimated") or None),
        (a.BILLED_WASTED, sum(item.tokens for item in bill if item.use == "wasted") or None),
    ]


def _genai(summary: Summary) -> list[tuple[Attribute, object]]:
    call, message = summary.call, summary.message
    usage = message.usage.billed
    pairs: list[tuple[Attribute, object]] = [
        (a.REQUEST_STREAM, True),
        (a.REQUEST_MAX_TOKENS, call.max_tokens),
        (a.REQUEST_TEMPERATURE, call.temperature),
        (a.REQUEST_TOP_P, call.top_p),
        (a.REQUEST_TOP_K, call.top_k),
        (a.REQUEST_STOP_SEQUENCES, list(call.stop_sequences) or None),
        (a.REQUEST_REASONING_LEVEL, call.effort),
        (a.OUTPUT_TYPE, "json" if call.capabilities.structured_output else None),
        (a.CONVERSATION_COMPACTED, message.compacted or None),
        (a.RESPONSE_ID, message.ledger.message_id),
        (a.RESPONSE_MODEL, message.model),
        (a.RESPONSE_TIME_TO_FIRST_CHUNK, summary.time_to_first_event),
    ]
    if message.stop_reason is not None:
        pairs.append((a.FINISH_REASONS, [message.stop_reason]))
    elif message.ledger.started:
        pairs.append((a.FINISH_REASONS, ["error"]))
    pairs.append((a.INPUT_TOKENS, usage.prompt))
    if summary.usage_complete:
        pairs += [
            (a.OUTPUT_TOKENS, usage.output_tokens),
            (a.CACHE_READ_TOKENS, usage.cache_read),
            (a.CACHE_CREATION_TOKENS, usage.cache_write),
            (a.CACHE_WRITE_TOKENS, usage.cache_write),
            (a.REASONING_TOKENS, message.usage.reasoning),
        ]
    return pairs
