"""The declarations of all spans, events and metrics.

This module is the only source of their names: emitters take these objects, never strings. The tables of the
reference are generated from it.
"""

from __future__ import annotations

from typing import Final

from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.spec import Metric, Span, SpanEvent, counter, histogram

# The GenAI conventions prescribe these, in both versions.
_GENAI_SECONDS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_GENAI_TOKENS: Final = (
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0,
    67108864.0,
)  # fmt: skip

_STREAM_SECONDS: Final = (
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0,
)  # fmt: skip
"""Streams last from a fraction of a second to an hour."""

_FIRST_TOKEN_SECONDS: Final = (
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
)  # fmt: skip
"""Fine steps where users notice a difference, and long ones for thinking and for waits between retries."""

_GAP_SECONDS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 30.0, 60.0, 180.0,
)  # fmt: skip
"""Starts at half a millisecond. The conventions' lowest bucket, 10 ms, cannot resolve 100 tokens per second."""

_LIMIT_SECONDS: Final = (
    1.0, 5.0, 10.0, 14.0, 16.0, 20.0, 28.0, 31.0, 45.0, 49.0, 51.0, 54.0, 56.0, 59.0, 62.0, 75.0, 99.0, 102.0, 119.0,
    122.0, 179.0, 182.0, 228.0, 232.0, 239.0, 242.0, 299.0, 302.0, 349.0, 352.0, 450.0, 595.0, 605.0, 895.0, 905.0,
)  # fmt: skip
"""Narrow around the known idle and duration limits: 15, 30, 50, 55, 60, 100, 120, 180, 230, 240, 300, 350, 600, 900 s.

Timers are accurate (a 2 s limit cuts at 2.0 to 2.1 s; Envoy is one second late), so a spike identifies the limit."""

_RATE: Final = (1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0, 200.0, 300.0, 500.0)
_DELAY_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)

_CONNECTION_SECONDS: Final = (
    1.0, 5.0, 15.0, 31.0, 62.0, 102.0, 122.0, 242.0, 302.0, 352.0, 605.0, 905.0, 1805.0, 3605.0, 14400.0, 86400.0,
)  # fmt: skip
"""Feeds are open for minutes to days. The lower bounds are just above the usual limits of proxies."""

_FEED_GAP_SECONDS: Final = (
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
)  # fmt: skip
"""An agent that works sends an event every few seconds. One that is idle sends none for hours."""

_CALL: Final = (a.REQUEST_MODEL, a.SERVER_ADDRESS, a.LABEL)
_GENAI_CALL: Final = (
    a.OPERATION_NAME, a.PROVIDER_NAME, a.REQUEST_MODEL, a.RESPONSE_MODEL, a.SERVER_ADDRESS, a.SERVER_PORT,
    a.LABEL,
)  # fmt: skip
_GENAI_CHUNK: Final = tuple(attribute for attribute in _GENAI_CALL if attribute is not a.RESPONSE_MODEL)
"""Without the response model. A stream's labels are created with its first chunk, possibly before it is known."""

# --- Metrics -----------------------------------------------------------------------------------------------------
GENAI_DURATION: Final = histogram(
    "gen_ai.client.operation.duration",
    "s",
    "Time from the start of the call to the end of the stream. Not recorded if another instrumentation "
    "records the `chat` span.",
    (*_GENAI_CALL, a.ERROR_TYPE),
    _GENAI_SECONDS,
    name_0_1="gen_ai.client.inference.duration",
)
GENAI_TIME_TO_FIRST_CHUNK: Final = histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time from the start of the call to its first SSE event, without the caller's time. Not recorded if no "
    "event arrived, or if another instrumentation records the `chat` span.",
    _GENAI_CALL,
    _GENAI_SECONDS,
    name_0_1="gen_ai.client.inference.time_to_first_chunk",
)
GENAI_TIME_PER_OUTPUT_CHUNK: Final = histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "Wait before each chunk after the first token. Chunks less than 1 ms apart count as one. Recorded with `gaps` "
    "`gen_ai` or `both`, unless another instrumentation records the `chat` span.",
    _GENAI_CHUNK,
    _GENAI_SECONDS,
    name_0_1="gen_ai.client.inference.time_per_output_chunk",
)
GENAI_TOKEN_USAGE: Final = histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens of the call, by type. Not recorded if the usage is incomplete, or if another instrumentation records the "
    "`chat` span.",
    (*_GENAI_CALL, a.TOKEN_TYPE),
    _GENAI_TOKENS,
    semconv="1.41",
)
GENAI_INPUT_TOKENS: Final = histogram(
    "gen_ai.client.inference.operation.input_tokens",
    "{token}",
    "Input tokens of the call, including cache reads, cache writes and compactions. Not recorded if the usage is "
    "incomplete, or if another instrumentation records the `chat` span.",
    _GENAI_CALL,
    _GENAI_TOKENS,
    semconv="0.1",
)
GENAI_OUTPUT_TOKENS: Final = histogram(
    "gen_ai.client.inference.operation.output_tokens",
    "{token}",
    "Output tokens of the call, including those of compactions. Not recorded if the usage is incomplete, or if another "
    "instrumentation records the `chat` span.",
    _GENAI_CALL,
    _GENAI_TOKENS,
    semconv="0.1",
)


def _usage(name: str, doc: str) -> Metric:
    doc += " Counted for failed calls too. Not recorded if another instrumentation records the `chat` span."
    labels = (*_GENAI_CALL, a.TOKEN_MODALITY)
    return counter(f"gen_ai.client.inference.usage.{name}", "{token}", doc, labels, semconv="0.1")


GENAI_USAGE_INPUT: Final = _usage("input_tokens", "Input tokens, including cache reads, cache writes and compactions.")
GENAI_USAGE_OUTPUT: Final = _usage("output_tokens", "Output tokens, including those of compactions.")
GENAI_USAGE_CACHE_READ: Final = _usage("cache_read.input_tokens", "Input tokens read from the prompt cache.")
GENAI_USAGE_CACHE_WRITE: Final = _usage("cache_write.input_tokens", "Input tokens written to the prompt cache.")
GENAI_USAGE_REASONING: Final = _usage("reasoning.output_tokens", "Output tokens spent on thinking.")
GENAI_USAGE: Final = (
    GENAI_USAGE_INPUT, GENAI_USAGE_OUTPUT, GENAI_USAGE_CACHE_READ, GENAI_USAGE_CACHE_WRITE, GENAI_USAGE_REASONING,
)  # fmt: skip

DURATION: Final = histogram(
    "claude.stream.duration",
    "s",
    "Time from the start of the call to the end of the stream.",
    (*_CALL, a.OUTCOME),
    _STREAM_SECONDS,
)
TIME_TO_FIRST_TOKEN: Final = histogram(
    "claude.stream.time_to_first_token",
    "s",
    "Time from the start of the call to the first content delta, including retries, without the caller's "
    "time. The first streams of a process include the time in which the SDK builds its models. "
    "Not recorded if no content arrived.",
    (*_CALL, a.BLOCK_TYPE),
    _FIRST_TOKEN_SECONDS,
)
CHUNK_GAP: Final = histogram(
    "claude.stream.chunk.gap",
    "s",
    "Wait before each chunk after the first token. Chunks less than 1 ms apart are one burst and record nothing. Not "
    "recorded with `gaps` `gen_ai` or `none`.",
    _CALL,
    _GAP_SECONDS,
)
LONGEST_SILENCE: Final = histogram(
    "claude.stream.longest_silence",
    "s",
    "Longest time that a read blocked without a byte, once for each stream. It shows how close healthy "
    "streams come to an idle limit. Not recorded if nothing was read.",
    (*_CALL, a.OUTCOME),
    _LIMIT_SECONDS,
)
ABORTS: Final = counter(
    "claude.stream.aborts",
    "{stream}",
    "Streams that ended without completing, by reason. Streams that the caller ended have the origin `caller`.",
    (*_CALL, a.REASON, a.PHASE, a.ORIGIN, a.LIMIT_MATCH),
)
ATTEMPT_ABORTS: Final = counter(
    "claude.stream.attempt.aborts",
    "{attempt}",
    "HTTP requests that failed, by reason, whether a retry or resume followed or not. The last request of a failed "
    "stream counts here and in `claude.stream.aborts`. Requests that the caller ended do not count.",
    (*_CALL, a.REASON, a.PHASE, a.ORIGIN, a.LIMIT_MATCH),
)
ABORT_IDLE: Final = histogram(
    "claude.stream.abort.idle",
    "s",
    "Time that the last read of a failed HTTP request had blocked without a byte, once for each request in "
    "`claude.stream.attempt.aborts`. A spike suggests an idle limit.",
    (*_CALL, a.ORIGIN),
    _LIMIT_SECONDS,
)
ABORT_ELAPSED: Final = histogram(
    "claude.stream.abort.elapsed",
    "s",
    "Age of a failed HTTP request at its end, once for each request in `claude.stream.attempt.aborts`. A spike "
    "suggests a limit on the total duration.",
    (*_CALL, a.ORIGIN),
    _LIMIT_SECONDS,
)
STALLS: Final = counter(
    "claude.stream.stalls",
    "{stall}",
    "Stall thresholds exceeded by waits for content, each counted once for each wait.",
    (*_CALL, a.STALL_THRESHOLD, a.STALL_KIND, a.THINKING_DISPLAY, a.EFFORT),
)
FALLBACKS: Final = counter(
    "claude.stream.fallbacks",
    "{stream}",
    "Streams that a fallback model of the API or of the retry policy served, by that model.",
    (*_CALL, a.RESPONSE_MODEL, a.OUTCOME),
)
ACTIVE: Final = Metric("claude.stream.active", "observable_updowncounter", "{stream}", "Streams that are open.", _CALL)
OLDEST_AGE: Final = Metric(
    "claude.stream.oldest_age",
    "observable_gauge",
    "s",
    "Age of the oldest open stream. 0 if none is open.",
    _CALL,
)
REQUESTS: Final = counter(
    "claude.stream.requests",
    "{request}",
    "HTTP requests sent for streams. Divided by the number of streams, this is the amplification by retries.",
    (*_CALL, a.RETRY_LAYER, a.STATUS_CODE),
)
RETRIES: Final = counter(
    "claude.stream.retries",
    "{retry}",
    "Retries, by the reason why the previous attempt failed.",
    (*_CALL, a.RETRY_REASON, a.RETRY_DECISION, a.RETRY_LAYER),
)
RETRY_DECISIONS: Final = counter(
    "claude.stream.retry.decisions",
    "{decision}",
    "Decisions of the retry policy about failed attempts. With `dry_run`, decisions that mode `resume` would "
    "have taken.",
    (*_CALL, a.RETRY_REASON, a.RETRY_DECISION, a.RETRY_BLOCKED_BY, a.RETRY_DRY_RUN),
)
RECOVERIES: Final = counter(
    "claude.stream.recoveries",
    "{stream}",
    "Streams that the retry policy retried or resumed, by action and outcome.",
    (*_CALL, a.RECOVERY_ACTION, a.RECOVERY_OUTCOME),
)
RETRY_BUDGET: Final = Metric(
    "claude.stream.retry.budget",
    "observable_gauge",
    "{retry}",
    "Retries that the budget allows now. At 0, retries are suppressed; first attempts never are. Not reported "
    "while no policy is active.",
    _CALL,
)
RATE_LIMITS: Final = {
    part: Metric(
        f"claude.stream.rate_limit.{part}",
        "observable_gauge",
        unit,
        f"{doc}, by the last response that reported it. Not reported if the limit was replenished more than two "
        "minutes ago.",
        (a.REQUEST_MODEL, a.SERVER_ADDRESS, a.RATE_LIMIT_KIND),
    )
    for part, unit, doc in (
        ("remaining", "{request_or_token}", "Rest of a rate limit of the API"),
        ("limit", "{request_or_token}", "Size of a rate limit of the API"),
        ("reset_after", "s", "Time until a rate limit of the API is replenished in full"),
    )
}
"""The gauges of rate limits, by their part of a `RateLimit`."""
RETRY_DELAY: Final = histogram(
    "claude.stream.retry.delay",
    "s",
    "Back-off before a retry.",
    (*_CALL, a.RETRY_REASON),
    _DELAY_SECONDS,
)
CONCURRENCY_WAIT: Final = histogram(
    "claude.stream.concurrency.wait",
    "s",
    "Wait of a request for a permit, 0 if one was free. Requests with `expired` and `left` were not sent. Not recorded "
    "without `concurrency.max` in the policy.",
    (*_CALL, a.CONCURRENCY_OUTCOME),
    (0.0, *_DELAY_SECONDS),
)
CONCURRENCY_LIMIT: Final = Metric(
    "claude.stream.concurrency.max_requests",
    "observable_gauge",
    "{request}",
    "Requests that may be open at once. Not reported without `concurrency.max` in the policy.",
    _CALL,
)
CONCURRENCY_IN_FLIGHT: Final = Metric(
    "claude.stream.concurrency.in_flight",
    "observable_updowncounter",
    "{request}",
    "Requests that are open, and count against the limit. Not reported without `concurrency.max` in the policy.",
    _CALL,
)
CONCURRENCY_QUEUED: Final = Metric(
    "claude.stream.concurrency.queued",
    "observable_updowncounter",
    "{request}",
    "Requests that wait for a permit. Not reported without `concurrency.max` in the policy.",
    _CALL,
)
OUTPUT_TOKENS_WASTED: Final = counter(
    "claude.stream.output_tokens.wasted",
    "{token}",
    "Output tokens of failed streams, estimated at four characters per token because no usage was reported.",
    (*_CALL, a.REASON),
)
BILLED_EXTRA_TOKENS: Final = counter(
    "claude.stream.billed.extra_tokens",
    "{token}",
    "Tokens that were billed and are not in `gen_ai.client.token.usage`: those of earlier requests of a call, of "
    "requests that broke, and of models that declined. Each request counts under the model that it was sent to.",
    (*_CALL, a.BILLED_TYPE, a.BILLED_SOURCE, a.BILLED_USE),
)
OUTPUT_TOKENS_RATE: Final = histogram(
    "claude.stream.output_tokens.rate",
    "{token}/s",
    "Output tokens per second of a completed stream, from its first token to its last event, without the "
    "caller's time.",
    _CALL,
    _RATE,
)
CALLER_TIME: Final = histogram(
    "claude.stream.caller.time",
    "s",
    "Time that the caller and the SDK spent between reads, once for each stream. It distinguishes a slow "
    "caller from a slow API. Not recorded if nothing was read.",
    _CALL,
    _STREAM_SECONDS,
)
_FEED: Final = (a.FEED_KIND, a.SERVER_ADDRESS, a.LABEL)
FEED_CONNECTIONS: Final = counter(
    "claude.stream.feed.connections",
    "{connection}",
    "Connections to feeds of agent sessions that ended, by outcome. Completed ones had the last event of their session "
    "or thread. Recorded with `feeds`, like all metrics of feeds.",
    (*_FEED, a.OUTCOME, a.REASON, a.ORIGIN, a.LIMIT_MATCH),
)
FEED_DURATION: Final = histogram(
    "claude.stream.feed.duration",
    "s",
    "Time from the call that connects to a feed to the end of the connection.",
    (*_FEED, a.OUTCOME),
    _CONNECTION_SECONDS,
)
FEED_GAP: Final = histogram(
    "claude.stream.feed.gap",
    "s",
    "Wait before each event of a feed other than a ping. Events less than 1 ms apart are one burst and record nothing.",
    _FEED,
    _FEED_GAP_SECONDS,
)
FEED_RECONNECTS: Final = counter(
    "claude.stream.feed.reconnects",
    "{connection}",
    "Connections to a feed whose connection before had ended, by the reason of that end.",
    (*_FEED, a.FEED_RECONNECT_REASON),
)
FEED_ERRORS: Final = counter(
    "claude.stream.feed.errors",
    "{error}",
    "Events `session.error`, by type. A type that this version does not know is `other`.",
    (*_FEED, a.ERROR_TYPE, a.FEED_ERROR_RETRY),
)
INTERNAL_ERRORS: Final = counter(
    "claude.stream.internal.errors",
    "{error}",
    "Failures inside this package. They do not affect the application. Please report them.",
    (a.INTERNAL_COMPONENT,),
)

METRICS: Final[tuple[Metric, ...]] = (
    GENAI_DURATION, GENAI_TIME_TO_FIRST_CHUNK, GENAI_TIME_PER_OUTPUT_CHUNK, GENAI_TOKEN_USAGE, GENAI_INPUT_TOKENS,
    GENAI_OUTPUT_TOKENS, *GENAI_USAGE, DURATION, TIME_TO_FIRST_TOKEN, CHUNK_GAP, LONGEST_SILENCE, ABORTS,
    ATTEMPT_ABORTS, ABORT_IDLE, ABORT_ELAPSED, STALLS, FALLBACKS, ACTIVE, OLDEST_AGE, REQUESTS, RETRIES,
    RETRY_DECISIONS, RETRY_DELAY, RECOVERIES, RETRY_BUDGET, CONCURRENCY_WAIT, CONCURRENCY_LIMIT,
    CONCURRENCY_IN_FLIGHT, CONCURRENCY_QUEUED, *RATE_LIMITS.values(), OUTPUT_TOKENS_WASTED, BILLED_EXTRA_TOKENS,
    OUTPUT_TOKENS_RATE, CALLER_TIME, FEED_CONNECTIONS, FEED_DURATION, FEED_GAP, FEED_RECONNECTS, FEED_ERRORS,
    INTERNAL_ERRORS,
)  # fmt: skip

# --- Span events -------------------------------------------------------------------------------------------------
EVENT_PREFIX: Final = "claude.stream."
"""Prefix of the SSE event type in an event's name. Unknown types are recorded too."""

_VERDICT: Final = (a.REASON, a.ORIGIN, a.PHASE, a.LIMIT_MATCH, a.ABORT_IDLE, a.ABORT_ELAPSED)
_COALESCED: Final = (a.EVENT_COALESCED, a.EVENT_DURATION)

MESSAGE_START: Final = SpanEvent("claude.stream.message_start", "The message starts.", (a.GAP,))
CONTENT_BLOCK_START: Final = SpanEvent(
    "claude.stream.content_block_start", "A content block starts.", (a.GAP, a.BLOCK_INDEX, a.BLOCK_TYPE)
)
CONTENT_BLOCK_DELTA: Final = SpanEvent(
    "claude.stream.content_block_delta",
    "Deltas of one content block, at the time of the first. With `deltas` `all`, one event for each delta.",
    (*_COALESCED, a.GAP, a.EVENT_CHARACTERS, a.BLOCK_INDEX, a.BLOCK_TYPE),
)
CONTENT_BLOCK_STOP: Final = SpanEvent(
    "claude.stream.content_block_stop", "A content block is complete.", (a.GAP, a.BLOCK_INDEX)
)
MESSAGE_DELTA: Final = SpanEvent(
    "claude.stream.message_delta", "The stop reason and the usage arrived.", (a.GAP, a.STOP_REASON)
)
MESSAGE_STOP: Final = SpanEvent("claude.stream.message_stop", "The message is complete.", (a.GAP,))
PING: Final = SpanEvent("claude.stream.ping", "One or more pings since the previous event.", (*_COALESCED, a.GAP))
ERROR: Final = SpanEvent("claude.stream.error", "The API reported an error inside the stream.", (a.GAP, a.ERROR_TYPE))
UNKNOWN: Final = SpanEvent(
    "claude.stream.<type>",
    "An SSE event of a type that this version does not know, or an event of a feed, without its content.",
    (a.GAP,),
)
SESSION_ERROR: Final = SpanEvent(
    "claude.stream.session.error",
    "An agent session reported an error in its feed. Its message is not recorded.",
    (a.GAP, a.ERROR_TYPE, a.FEED_ERROR_RETRY),
)
STALL: Final = SpanEvent(
    "claude.stream.stall",
    "A wait for content exceeded a threshold.",
    (a.STALL_THRESHOLD, a.STALL_KIND, a.BLOCK_TYPE, a.THINKING_DISPLAY, a.EFFORT, a.GAP),
)
RETRY: Final = SpanEvent(
    "claude.stream.retry",
    "An attempt failed. The event records why, and the decision about it. With layer `sdk`, the SDK's own loop "
    "retried.",
    (
        a.ATTEMPT_NUMBER, a.RETRY_DECISION, a.RETRY_REASON, a.RETRY_LAYER, *_VERDICT, a.SUSPECTS, a.RETRY_BLOCKED_BY,
        a.RETRY_DRY_RUN, a.RETRY_DELAY, a.RETRY_DELAY_SOURCE, a.RETRY_AFTER, a.RETRY_BUDGET, a.FALLBACK_MODEL,
        a.STATUS_CODE, a.REQUEST_ID,
    ),
)  # fmt: skip
RESUME: Final = SpanEvent(
    "claude.stream.resume",
    "A further request continued the text. The event records how the two texts matched.",
    (a.ATTEMPT_NUMBER, a.STRATEGY, a.SEAM, a.CONTENT_CHARACTERS),
)
ABORT: Final = SpanEvent(
    "claude.stream.abort",
    "The stream ended without completing.",
    _VERDICT,
)
EXCEPTION: Final = SpanEvent(
    "gen_ai.client.operation.exception",
    "The call raised an exception. Recorded as a log record only, with `events` `log` or `both`, unless another "
    "instrumentation records the `chat` span. The message of an exception is never recorded.",
    (a.EXCEPTION_TYPE,),
    name_0_1="gen_ai.client.inference.exception",
)
RESERVED_EVENTS: Final = frozenset({"stall", "retry", "resume", "abort"})
"""Types of the synthetic events. An SSE event of such a type is recorded as `claude.stream.sse_<type>`."""

EVENTS: Final[tuple[SpanEvent, ...]] = (
    MESSAGE_START, CONTENT_BLOCK_START, CONTENT_BLOCK_DELTA, CONTENT_BLOCK_STOP, MESSAGE_DELTA, MESSAGE_STOP, PING,
    ERROR, UNKNOWN, SESSION_ERROR, STALL, RETRY, RESUME, ABORT, EXCEPTION,
)  # fmt: skip

# --- Spans -------------------------------------------------------------------------------------------------------
_GENAI_SPAN: Final = (
    a.OPERATION_NAME, a.PROVIDER_NAME, a.REQUEST_MODEL, a.REQUEST_STREAM, a.REQUEST_MAX_TOKENS, a.REQUEST_TEMPERATURE,
    a.REQUEST_TOP_P, a.REQUEST_TOP_K, a.REQUEST_STOP_SEQUENCES, a.REQUEST_REASONING_LEVEL, a.OUTPUT_TYPE,
    a.CONVERSATION_COMPACTED, a.RESPONSE_ID, a.RESPONSE_MODEL, a.FINISH_REASONS,
    a.RESPONSE_TIME_TO_FIRST_CHUNK, a.INPUT_TOKENS, a.OUTPUT_TOKENS, a.CACHE_READ_TOKENS, a.CACHE_CREATION_TOKENS,
    a.CACHE_WRITE_TOKENS, a.REASONING_TOKENS,
)  # fmt: skip
_ABORT: Final = (
    a.PHASE, a.REASON, a.ORIGIN, a.LIMIT_MATCH, a.ALSO_POSSIBLE, a.SUSPECTS, a.ADVICE, a.RULE, a.ABORT_IDLE,
    a.ABORT_ELAPSED, a.RECENT_BYTES, a.ABORT_ERRNO, a.ERROR_TYPE, a.ERROR_SOURCE, a.ERROR_BODY,
)  # fmt: skip
_RATE_LIMITS: Final = tuple(attribute for pair in a.RATE_LIMITS.values() for attribute in pair)
_STREAM_ATTRIBUTES: Final = (
    a.OUTCOME, *_ABORT, a.ABORT_EXCEPTION, a.FAULT_AFTER_STOP, a.MISSING_MESSAGE_STOP, a.STOP_REASON, a.API, a.HELPER,
    a.READ_MODE, a.SPAN_OWNER, a.REQUEST_ID, a.INTERMEDIARY, a.SERVER_ADDRESS, a.SERVER_PORT, a.CONVERSATION_ID,
    a.LABEL, a.STATUS_CODE, a.RETRY_AFTER, *_RATE_LIMITS,
    a.CONCURRENCY_LIMIT, a.CONCURRENCY_WAIT, a.CONCURRENCY_WOULD_WAIT,
    a.RESEND_COUNT, a.ATTEMPT_COUNT, a.TIME_TO_HEADERS, a.TIME_TO_FIRST_TOKEN, a.BLOCK_TYPE,
    a.EVENT_COUNT, a.EVENT_DROPPED, a.DELTA_COUNT, a.PING_COUNT, a.BLOCK_COUNT, a.CONTENT_CHARACTERS, a.READ_BYTES,
    a.READ_COUNT, a.READ_EVENTS, a.LONGEST_SILENCE, a.CHUNK_LONGEST_GAP, a.PING_LONGEST_GAP, a.CALLER_TIME,
    a.USAGE_COMPLETE, a.THINKING_DISPLAY, a.EFFORT, a.FALLBACK_SERVED, a.FALLBACK_MODEL, a.DECLINED_INPUT_TOKENS,
    a.DECLINED_OUTPUT_TOKENS, a.COMPACTION_INPUT_TOKENS, a.COMPACTION_OUTPUT_TOKENS, a.RECOVERY_ACTION, a.RESUMED,
    a.SEAM, a.ATTEMPT_CHARACTERS, a.ATTEMPT_INPUT_TOKENS, a.ATTEMPT_OUTPUT_TOKENS, a.BILLED_REPORTED,
    a.BILLED_ESTIMATED, a.BILLED_WASTED,
)  # fmt: skip

CHAT_SPAN: Final = Span(
    "chat {model}",
    "CLIENT",
    "The call and its stream, if no other instrumentation records a `chat` span.",
    (*_GENAI_SPAN, *_STREAM_ATTRIBUTES),
)
STREAM_SPAN: Final = Span(
    "claude.stream {model}",
    "INTERNAL",
    "The call and its stream, if the SDK's own tracing or another instrumentation records the `chat` span. It "
    "has no operation name and no usage, so that nothing is counted twice.",
    (a.REQUEST_MODEL, *_STREAM_ATTRIBUTES),
)
ATTEMPT_SPAN: Final = Span(
    "claude.stream.attempt",
    "INTERNAL",
    "One HTTP request of a call that sent more than one.",
    (
        a.REQUEST_MODEL, a.SERVER_ADDRESS, a.ATTEMPT_NUMBER, *_ABORT,
        a.STATUS_CODE, a.REQUEST_ID, a.RETRY_AFTER, a.RETRY_DELAY, a.RETRY_LAYER,
        a.INTERMEDIARY, *_RATE_LIMITS,
    ),
)  # fmt: skip
FEED_SPAN: Final = Span(
    "claude.stream.feed",
    "INTERNAL",
    "One connection to the feed of an agent session, with `feeds`. The span lasts from the call to the end of the "
    "connection.",
    (
        a.FEED_KIND, a.FEED_SESSION_ID, a.FEED_THREAD_ID, a.FEED_CONNECTION_NUMBER, a.FEED_RECONNECT_REASON,
        a.FEED_LONGEST_GAP, a.FEED_LONGEST_SILENCE, a.SERVER_ADDRESS, a.SERVER_PORT, a.CONVERSATION_ID, a.LABEL,
        a.OUTCOME, *_ABORT, a.ABORT_EXCEPTION, a.READ_MODE, a.REQUEST_ID, a.INTERMEDIARY, a.STATUS_CODE, a.RETRY_AFTER,
        a.RESEND_COUNT, a.ATTEMPT_COUNT, a.TIME_TO_HEADERS, a.EVENT_COUNT, a.EVENT_DROPPED, a.DELTA_COUNT, a.PING_COUNT,
        a.READ_BYTES, a.READ_COUNT, a.CALLER_TIME,
    ),
)  # fmt: skip
SPANS: Final[tuple[Span, ...]] = (CHAT_SPAN, STREAM_SPAN, ATTEMPT_SPAN, FEED_SPAN)
SET_ELSEWHERE: Final = (a.SOURCE,)
"""Attributes on spans of the SDK, and on metrics by the Collector, which nothing of this package itself has."""
