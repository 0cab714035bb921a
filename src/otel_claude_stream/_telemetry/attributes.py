"""The declarations of all attributes."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker, DelaySource
from otel_claude_stream._core.stream.call import RATE_LIMIT_KINDS
from otel_claude_stream._core.stream.feed import RETRY_STATUSES
from otel_claude_stream._core.vocabulary import (
    AbortReason,
    BodyClass,
    ErrorSource,
    Origin,
    Outcome,
    Phase,
)
from otel_claude_stream._telemetry.spec import Attribute, count, flag, seconds, text, tokens

# --- Names of OpenTelemetry: the GenAI conventions (Development) of semantic-conventions 1.41 and of their own version
# --- 0.1, and the stable `error`, `exception`, `server` and `http` ones. They are written out because the conventions'
# --- package deprecates its constants for the GenAI names.
OPERATION_NAME: Final = text("gen_ai.operation.name", "Always `chat`.", ("chat",))
PROVIDER_NAME: Final = text(
    "gen_ai.provider.name", "`anthropic`, or the platform that serves the model, such as `aws.bedrock`."
)
REQUEST_MODEL: Final = text(
    "gen_ai.request.model",
    "Model named in the request. On metrics, models beyond the first `max_models` (20) are recorded as `other`. "
    "Metrics of tokens that are billed have a fallback model of the policy for the requests to it.",
)
REQUEST_STREAM: Final = flag("gen_ai.request.stream", "Always true.")
REQUEST_MAX_TOKENS: Final = tokens("gen_ai.request.max_tokens", "`max_tokens` of the request.")
REQUEST_TEMPERATURE: Final = Attribute(
    "gen_ai.request.temperature", "double", "`temperature` of the request. Absent if not set."
)
REQUEST_TOP_P: Final = Attribute("gen_ai.request.top_p", "double", "`top_p` of the request. Absent if not set.")
REQUEST_TOP_K: Final = Attribute("gen_ai.request.top_k", "int", "`top_k` of the request. Absent if not set.")
REQUEST_STOP_SEQUENCES: Final = Attribute(
    "gen_ai.request.stop_sequences",
    "string[]",
    "The first 16 of the request's `stop_sequences`. Absent if not set.",
)
REQUEST_REASONING_LEVEL: Final = text(
    "gen_ai.request.reasoning.level", "`output_config.effort` of the request. Absent if not set.", semconv="0.1"
)
OUTPUT_TYPE: Final = text(
    "gen_ai.output.type", "`json` if the request has a schema for the output. Absent otherwise.", ("json",)
)
CONVERSATION_ID: Final = text(
    "gen_ai.conversation.id",
    "`conversation_id` of the client's option `open_telemetry`, otherwise the entry `gen_ai.conversation.id` of "
    "OpenTelemetry's baggage. Absent if neither is set. Metrics never have it.",
)
LABEL_PREFIX: Final = "claude.stream.label."
LABEL: Final = text(
    f"{LABEL_PREFIX}<key>",
    "A label of the caller, from `stream_labels()` or from an entry of the baggage in `baggage_labels`. Absent by "
    "default. On metrics, values beyond the first `max_label_values` (20) are recorded as `other`.",
)
CONVERSATION_COMPACTED: Final = flag(
    "gen_ai.conversation.compacted",
    "True if the server replaced earlier parts of the conversation with a summary. Absent otherwise.",
    semconv="0.1",
)
RESPONSE_ID: Final = text("gen_ai.response.id", "Id of the message. Absent if `message_start` did not arrive.")
RESPONSE_MODEL: Final = text(
    "gen_ai.response.model",
    "Model that wrote the response; after a fallback, the fallback model. Absent if `message_start` did not arrive.",
)
FINISH_REASONS: Final = Attribute(
    "gen_ai.response.finish_reasons",
    "string[]",
    "The stop reason, or `error` if the stream ended before it arrived. Absent if `message_start` did not arrive.",
)
RESPONSE_TIME_TO_FIRST_CHUNK: Final = seconds(
    "gen_ai.response.time_to_first_chunk",
    "Seconds from the start of the call to its first SSE event, without the caller's time. Absent if no event arrived.",
)
INPUT_TOKENS: Final = tokens(
    "gen_ai.usage.input_tokens",
    "Input tokens, including cache reads, cache writes and compactions. Absent if `message_start` did not arrive.",
)
OUTPUT_TOKENS: Final = tokens(
    "gen_ai.usage.output_tokens",
    "Output tokens, including those of compactions. Absent unless `message_delta` reported them.",
)
CACHE_READ_TOKENS: Final = tokens(
    "gen_ai.usage.cache_read.input_tokens",
    "Input tokens read from the prompt cache. Absent unless `message_delta` arrived.",
)
CACHE_CREATION_TOKENS: Final = tokens(
    "gen_ai.usage.cache_creation.input_tokens",
    "Input tokens written to the prompt cache. Absent unless `message_delta` arrived.",
    semconv="1.41",
)
CACHE_WRITE_TOKENS: Final = tokens(
    "gen_ai.usage.cache_write.input_tokens",
    "Input tokens written to the prompt cache. Absent unless `message_delta` arrived.",
    semconv="0.1",
)
REASONING_TOKENS: Final = tokens(
    "gen_ai.usage.reasoning.output_tokens", "Output tokens spent on thinking. Absent if the API does not report them."
)
TOKEN_TYPE: Final = text(
    "gen_ai.token.type", "Whether input or output tokens are counted.", ("input", "output"), semconv="1.41"
)
TOKEN_MODALITY: Final = text("gen_ai.token.modality", "Always `unknown`.", ("unknown",), semconv="0.1")
EXCEPTION_TYPE: Final = text("exception.type", "Class of the exception that was raised to the caller.")
ERROR_TYPE: Final = text(
    "error.type",
    "Error type reported by the API, otherwise the abort reason. Absent unless the stream or the attempt failed. On "
    "metrics, the abort reason also replaces a type that no provider documents.",
)
SERVER_ADDRESS: Final = text("server.address", "Host of the client's base URL.")
SERVER_PORT: Final = Attribute("server.port", "int", "Port of the client's base URL. Absent if unknown.")
STATUS_CODE: Final = Attribute(
    "http.response.status_code",
    "int",
    "HTTP status code of the response; on the span of a stream, of the last response. Absent if no response arrived.",
)
RESEND_COUNT: Final = count(
    "http.request.resend_count", "{request}", "HTTP requests after the first. Absent if there was one request."
)

# --- Names of this package.
OUTCOME: Final = text(
    "claude.stream.outcome",
    "How the stream ended: complete, failed, or closed by the caller.",
    tuple(x.value for x in Outcome),
)
PHASE: Final = text(
    "claude.stream.phase", "How far the stream or attempt had progressed when it ended.", tuple(x.value for x in Phase)
)
REASON: Final = text(
    "claude.stream.abort.reason",
    "Why the stream ended without completing, or why the attempt failed. Absent otherwise.",
    tuple(x.value for x in AbortReason),
)
ORIGIN: Final = text(
    "claude.stream.abort.origin",
    "Party that caused the abort, as far as the evidence allows. Absent without an abort reason.",
    tuple(x.value for x in Origin),
)
LIMIT_MATCH: Final = text(
    "claude.stream.abort.limit_match",
    "Known limit of a proxy or load balancer that fits the timing of the abort, such as `idle:60s` or "
    "`duration:30s`. `ambiguous` if several fit, `none` if none does. Absent on spans unless the stream or the "
    "attempt failed.",
)
ALSO_POSSIBLE: Final = Attribute(
    "claude.stream.abort.also_possible",
    "string[]",
    "Other abort reasons that the evidence does not rule out. Absent if there are none.",
)
SUSPECTS: Final = Attribute(
    "claude.stream.abort.suspects",
    "string[]",
    "Products whose known limit or response headers fit the abort. A match is a hint, not a proof. Absent if "
    "none fits.",
)
ADVICE: Final = text("claude.stream.abort.advice", "Recommended remedy, in one line. Absent if there is none.")
RULE: Final = text(
    "claude.stream.abort.rule",
    "Id of the classifier's rule that determined the abort reason. Absent without one.",
)
ABORT_IDLE: Final = seconds(
    "claude.stream.abort.idle",
    "Seconds that the last read had been blocked without a byte when the stream or attempt ended. Before a response "
    "arrives, seconds since the request was sent. Absent without an abort reason.",
)
ABORT_ELAPSED: Final = seconds(
    "claude.stream.abort.elapsed",
    "Seconds from the start of the call to its end. On the span of an attempt and on the event of a retry, from the "
    "start of the attempt. Absent without an abort reason.",
)
ABORT_ERRNO: Final = Attribute(
    "claude.stream.abort.errno", "int", "First POSIX errno in the exception chain. Absent if there is none."
)
ABORT_EXCEPTION: Final = text(
    "claude.stream.abort.exception",
    "Class of the exception that was raised to the caller, never its message. Absent if none was raised.",
)
ERROR_SOURCE: Final = text(
    "claude.stream.error.source",
    "Where the API reported the error: `sse` for an event in a 200 response, `http` for an HTTP error status. "
    "Absent if it reported none.",
    tuple(x.value for x in ErrorSource),
)
ERROR_BODY: Final = text(
    "claude.stream.error.body",
    "Form of the HTTP error body. Only `api` has the structure of Anthropic's errors. Absent if there was no "
    "error body.",
    tuple(x.value for x in BodyClass),
)
FAULT_AFTER_STOP: Final = flag(
    "claude.stream.fault_after_stop",
    "True if an exception was raised after `message_stop`, when the message was complete. Absent otherwise.",
)
MISSING_MESSAGE_STOP: Final = flag(
    "claude.stream.missing_message_stop",
    "True if the body ended after `message_delta` without `message_stop`; no content is missing. Absent otherwise.",
)
STOP_REASON: Final = text(
    "claude.stream.stop_reason", "`stop_reason` of the message, unchanged. Absent if `message_delta` did not arrive."
)
API: Final = text("claude.stream.api", "Resource of the SDK that the caller used.", ("messages", "beta.messages"))
HELPER: Final = text(
    "claude.stream.helper",
    "Method of the SDK that started the stream.",
    ("create", "stream", "tool_runner", "raw_response", "streaming_response"),
)
READ_MODE: Final = text(
    "claude.stream.read.mode",
    "How the caller read the body: as parsed events, as raw bytes, or not at all.",
    ("events", "bytes", "none"),
)
SPAN_OWNER: Final = text(
    "claude.stream.span_owner",
    "Instrumentation that records the `chat` span of the call: this package (`self`), the SDK's own tracing "
    "(`sdk`), or another one (`other`).",
    ("self", "sdk", "other"),
)
SOURCE: Final = text(
    "claude.stream.source",
    "Where the measurements of a stream come from: this package (`instrumentation`), or the SDK's own span (`sdk`). "
    "Set on the SDK's span of a stream that this package measures, and by the Collector on metrics.",
    ("instrumentation", "sdk"),
)
REQUEST_ID: Final = text(
    "claude.stream.request_id",
    "`request-id` header of the last response. Quote it when you contact Anthropic's support. Absent if no "
    "response has one.",
)
INTERMEDIARY: Final = text(
    "claude.stream.intermediary",
    "`server` header of the last response, otherwise its `via` header, truncated to 64 characters. Absent if "
    "it has neither.",
)
TIME_TO_HEADERS: Final = seconds(
    "claude.stream.time_to_headers",
    "Seconds from the start of the call to the headers of its first streaming response, including SDK "
    "retries. Absent if no stream was opened.",
)
TIME_TO_FIRST_TOKEN: Final = seconds(
    "claude.stream.time_to_first_token",
    "Seconds from the start of the call to the first content delta, including retries, without the caller's "
    "time. Empty thinking and the summary of a compaction are no content. The first streams of a process include the "
    "time in which the SDK builds its models. "
    "Absent if no content arrived.",
)
BLOCK_TYPE: Final = text(
    "claude.stream.block.type",
    "Type of the content block; on the span of a stream and on metrics, of the block with the first delta. "
    "Absent if there was no block.",
    ("text", "thinking", "tool_use", "compaction", "other"),
)
BLOCK_INDEX: Final = Attribute("claude.stream.block.index", "int", "Index of the content block.")
EVENT_COUNT: Final = count(
    "claude.stream.event.count", "{event}", "SSE events of every type, including pings and errors."
)
EVENT_DROPPED: Final = count(
    "claude.stream.event.dropped",
    "{event}",
    "SSE events that were not recorded because the event budget was used up. Absent if none.",
)
DELTA_COUNT: Final = count("claude.stream.delta.count", "{delta}", "Content deltas.")
PING_COUNT: Final = count("claude.stream.ping.count", "{ping}", "Pings.")
BLOCK_COUNT: Final = count("claude.stream.block.count", "{block}", "Content blocks.")
CONTENT_CHARACTERS: Final = count(
    "claude.stream.content.characters", "{character}", "Characters of text, thinking, tool input and summaries."
)
READ_BYTES: Final = count(
    "claude.stream.read.bytes", "By", "Bytes of the body as they arrived over the wire, before decompression."
)
READ_COUNT: Final = count("claude.stream.read.count", "{read}", "Reads of the body that returned bytes.")
READ_EVENTS: Final = Attribute(
    "claude.stream.read.events",
    "double",
    "Average number of events per read. A value far above 1 suggests that a proxy buffers the stream. Absent "
    "if nothing was read.",
    unit="{event}",
)
RECENT_BYTES: Final = count(
    "claude.stream.abort.recent_bytes",
    "By",
    "Bytes that arrived in the last five seconds before the abort. None suggest an idle limit, many a limit "
    "on the total duration. Absent without an abort reason.",
)
LONGEST_SILENCE: Final = seconds(
    "claude.stream.longest_silence", "Longest time, in seconds, that a read blocked without a byte."
)
CHUNK_LONGEST_GAP: Final = seconds(
    "claude.stream.chunk.longest_gap", "Longest wait, in seconds, between two events with content. 0 if there was none."
)
PING_LONGEST_GAP: Final = seconds(
    "claude.stream.ping.longest_gap",
    "Longest time, in seconds, between two pings. Absent if fewer than two pings arrived.",
)
CALLER_TIME: Final = seconds(
    "claude.stream.caller.time",
    "Seconds that the caller and the SDK spent between reads while the stream was open. 0 if nothing was read.",
)
USAGE_COMPLETE: Final = flag(
    "claude.stream.usage.complete", "True if `message_delta` reported the usage. False if the stream ended before it."
)
ATTEMPT_COUNT: Final = count("claude.stream.attempt.count", "{attempt}", "HTTP requests that the call sent.")
ATTEMPT_NUMBER: Final = Attribute(
    "claude.stream.attempt.number", "int", "Number of the HTTP request within the call, starting at 1."
)
RETRY_REASON: Final = text(
    "claude.stream.retry.reason",
    "Why the attempt failed that the retry or the decision is about.",
    tuple(x.value for x in AbortReason),
)
RETRY_DECISION: Final = text(
    "claude.stream.retry.decision",
    "Decision about the failed attempt: retry from the start, fall back to another model, resume the text, or give up.",
    tuple(x.value for x in Action),
)
RETRY_BLOCKED_BY: Final = text(
    "claude.stream.retry.blocked_by",
    "Obstacle to a retry or resume. `none` if one follows.",
    tuple(x.value for x in Blocker),
)
RETRY_DRY_RUN: Final = flag(
    "claude.stream.retry.dry_run",
    "True if the decision was only recorded: mode `resume` would have taken it. False if it was carried out.",
)
RETRY_DELAY_SOURCE: Final = text(
    "claude.stream.retry.delay_source",
    "Where the delay comes from. Absent if nothing follows.",
    tuple(x.value for x in DelaySource),
)
RETRY_BUDGET: Final = Attribute(
    "claude.stream.retry.budget",
    "double",
    "Retries that the budget still allows after this decision. Absent in a dry run.",
    unit="{retry}",
)
RETRY_LAYER: Final = text(
    "claude.stream.retry.layer",
    "Layer that sent the request or retried it: the SDK or the retry policy.",
    ("sdk", "policy"),
)
RETRY_DELAY: Final = seconds(
    "claude.stream.retry.delay", "Back-off before the next attempt, in seconds. Absent if no attempt follows."
)
CONCURRENCY_WAIT: Final = seconds(
    "claude.stream.concurrency.wait",
    "Seconds that the requests of the call waited for permits. Part of the time to the first token, and not due to the "
    "API. Absent in a dry run.",
)
CONCURRENCY_LIMIT: Final = count(
    "claude.stream.concurrency.max_requests", "{request}", "Requests that might be open at once when the call ended."
)
CONCURRENCY_WOULD_WAIT: Final = flag(
    "claude.stream.concurrency.would_wait", "True if the policy only observes, and no permit was free."
)
CONCURRENCY_OUTCOME: Final = text(
    "claude.stream.concurrency.outcome",
    "Outcome of the wait for a permit. `left`: the caller left. `would_wait`: the policy only observes, and none was "
    "free.",
    ("admitted", "expired", "left", "would_wait"),
)
RETRY_AFTER: Final = seconds(
    "claude.stream.retry.retry_after",
    "Seconds requested by the response's `retry-after` header. Absent if it has none.",
)
RATE_LIMITS: Final = {
    kind: (
        count(
            f"claude.stream.rate_limit.remaining_{kind}",
            "{token}" if "tokens" in kind else "{request}",
            f"Rest of the API's limit on {kind.replace('_', ' ')}, by the headers of the response. Absent if "
            "they do not report it.",
        ),
        seconds(
            f"claude.stream.rate_limit.{kind}_reset_after",
            f"Seconds from the `date` of the response until the limit on {kind.replace('_', ' ')} is replenished in "
            "full. Absent if the headers do not report it.",
        ),
    )
    for kind in RATE_LIMIT_KINDS
}
"""The rest of each rate limit, and when it is replenished. The span of a stream has those of its last response."""
RATE_LIMIT_KIND: Final = text(
    "claude.stream.rate_limit.kind", "Requests or tokens that the rate limit counts.", RATE_LIMIT_KINDS
)
RESUMED: Final = flag(
    "claude.stream.resumed",
    "True if a further request continued the text, so that no single generation produced it. Absent otherwise.",
)
RECOVERY_ACTION: Final = text(
    "claude.stream.recovery.action",
    "Action of the retry policy on a stream that broke. Absent if there was none.",
    ("retry", "fallback", "resume"),
)
RECOVERY_OUTCOME: Final = text(
    "claude.stream.recovery.outcome",
    "Outcome of a stream that the policy retried or resumed. `closed` means that the caller ended it.",
    tuple(x.value for x in Outcome),
)
SEAM: Final = text(
    "claude.stream.resume.seam",
    "How the resumed text matched the text before it. Absent if nothing was resumed.",
    ("anchor", "preamble", "overlap", "exact", "restart", "mismatch", "empty"),
)
STRATEGY: Final = text(
    "claude.stream.resume.strategy",
    "Form of the request that asked for the rest of the text.",
    ("prefill", "user_continue"),
)
ATTEMPT_CHARACTERS: Final = Attribute(
    "claude.stream.attempt.characters",
    "int[]",
    "Characters that each attempt produced. Absent unless the policy retried or resumed the stream.",
    unit="{character}",
)
ATTEMPT_INPUT_TOKENS: Final = Attribute(
    "claude.stream.attempt.input_tokens",
    "int[]",
    "Input tokens reported by each attempt, including cache; 0 if it reported none. All attempts are billed. "
    "Absent unless the policy retried or resumed the stream.",
    unit="{token}",
)
ATTEMPT_OUTPUT_TOKENS: Final = Attribute(
    "claude.stream.attempt.output_tokens",
    "int[]",
    "Output tokens reported by each attempt; 0 if it broke before it reported them. Absent unless the policy "
    "retried or resumed the stream.",
    unit="{token}",
)
BILLED_REPORTED: Final = tokens(
    "claude.stream.billed.reported_tokens",
    "Tokens that the API reported for all requests of the call: input, cache reads and writes, output, compactions, "
    "and models that declined. Absent if `gen_ai.usage` has all tokens of the call.",
)
BILLED_ESTIMATED: Final = tokens(
    "claude.stream.billed.estimated_tokens",
    "Output tokens of requests that broke before the API reported them, estimated at four characters per token. Absent "
    "if there are none.",
)
BILLED_WASTED: Final = tokens(
    "claude.stream.billed.wasted_tokens",
    "Those of both that bought nothing. They belong to requests whose content was not delivered, to models that "
    "declined, and to all requests of a call that failed. Absent if there are none.",
)
BILLED_TYPE: Final = text(
    "claude.stream.billed.type",
    "Type of the tokens, as they have different prices.",
    ("input", "cache_read", "cache_write", "output"),
)
BILLED_SOURCE: Final = text(
    "claude.stream.billed.source",
    "Whether the API reported the tokens, or they are estimated at four characters per token.",
    ("reported", "estimated"),
)
BILLED_USE: Final = text(
    "claude.stream.billed.use",
    "`wasted` if the content was not delivered, a model declined, or the call failed.",
    ("delivered", "wasted"),
)
STALL_THRESHOLD: Final = text("claude.stream.stall.threshold", "Threshold that the wait exceeded, such as `30s`.")
STALL_KIND: Final = text(
    "claude.stream.stall.kind",
    "Whether no byte arrived during the wait (`silent`), or only pings (`pings_only`).",
    ("silent", "pings_only"),
)
THINKING_DISPLAY: Final = text(
    "claude.stream.thinking.display",
    "`thinking.display` of the request. `omitted` makes a long silence normal while the model thinks. Absent if not "
    "set.",
    ("summarized", "omitted", "updates", "other"),
)
EFFORT: Final = text(
    "claude.stream.effort",
    "`output_config.effort` of the request. The higher it is, the longer the model may think. Absent if not set.",
    ("low", "medium", "high", "xhigh", "max", "other"),
)
FALLBACK_SERVED: Final = flag(
    "claude.stream.fallback.served",
    "True if a fallback model of the API or of the retry policy served the response. `gen_ai.response.model` names it. "
    "Absent otherwise.",
)
FALLBACK_MODEL: Final = text(
    "claude.stream.fallback.model",
    "Model that the retry policy sent the request to after the requested one had failed. In a dry run, the model that "
    "it would have been sent to. Absent without one.",
)
DECLINED_INPUT_TOKENS: Final = tokens(
    "claude.stream.fallback.declined_input_tokens",
    "Input tokens, including cache, of the models that declined before the fallback model served, as "
    "`usage.iterations` reports them. Absent if there are none.",
)
DECLINED_OUTPUT_TOKENS: Final = tokens(
    "claude.stream.fallback.declined_output_tokens",
    "Output tokens of the models that declined before the fallback model served. Absent if there are none.",
)
COMPACTION_INPUT_TOKENS: Final = tokens(
    "claude.stream.compaction.input_tokens",
    "Input tokens, including cache, of compactions. The API's own totals leave them out; those of "
    "`gen_ai.usage` here do not. Absent if there was no compaction.",
)
COMPACTION_OUTPUT_TOKENS: Final = tokens(
    "claude.stream.compaction.output_tokens", "Output tokens of compactions. Absent if there was no compaction."
)
FEED_KIND: Final = text(
    "claude.stream.feed.kind", "Whether the feed is that of a session or of one thread.", ("session", "thread")
)
FEED_SESSION_ID: Final = text("claude.stream.feed.session.id", "ID of the agent session.")
FEED_THREAD_ID: Final = text(
    "claude.stream.feed.thread.id", "ID of the thread. Absent for the feed of the whole session."
)
FEED_CONNECTION_NUMBER: Final = Attribute(
    "claude.stream.feed.connection.number",
    "int",
    "Number of the connection to this feed in this process, starting at 1. The last 256 feeds are counted.",
)
FEED_RECONNECT_REASON: Final = text(
    "claude.stream.feed.reconnect.reason",
    "Why the connection to the same feed before this one ended: its abort reason, or `completed`. Absent if there was "
    "none, or if it is still open.",
    ("completed", *(x.value for x in AbortReason)),
)
FEED_LONGEST_GAP: Final = seconds(
    "claude.stream.feed.longest_gap",
    "Longest wait, in seconds, before an event of the feed other than a ping. 0 if there was none.",
)
FEED_LONGEST_SILENCE: Final = seconds(
    "claude.stream.feed.longest_silence", "Longest time, in seconds, that a read of the feed blocked without a byte."
)
FEED_ERROR_RETRY: Final = text(
    "claude.stream.feed.error.retry",
    "Reaction of the server to the error: it is `retrying`, its retries are `exhausted`, or the session ends "
    "(`terminal`).",
    RETRY_STATUSES,
)
INTERNAL_COMPONENT: Final = text("claude.stream.internal.component", "Part of this package that failed.")

# --- Attributes of events.
EVENT_COALESCED: Final = count(
    "claude.stream.event.coalesced", "{event}", "Number of SSE events that this event represents. Absent if it is one."
)
EVENT_DURATION: Final = seconds(
    "claude.stream.event.duration",
    "Seconds from the first to the last of the SSE events that this event represents. Absent if it is one.",
)
GAP: Final = seconds(
    "claude.stream.event.gap",
    "Longest wait, in seconds, before one of the SSE events that this event represents. Absent if there was no wait.",
)
EVENT_CHARACTERS: Final = count(
    "claude.stream.event.characters",
    "{character}",
    "Characters in the SSE events that this event represents. Absent if there are none.",
)
