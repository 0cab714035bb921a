"""The declarations of all attributes."""

from __future__ import annotations

from typing import Final

from otel_claude_stream._core.retry.context import Action, Blocker, DelaySource
from otel_claude_stream._core.vocabulary import (
    AbortReason,
    BodyClass,
    ErrorSource,
    Origin,
    Outcome,
    Phase,
)
from otel_claude_stream._telemetry.spec import Attribute

# --- Names of OpenTelemetry: the GenAI conventions released with semantic-conventions 1.41 (Development), and the
# --- stable `error`, `server` and `http` ones. They are written out because the conventions' package deprecates its
# --- constants for the GenAI names.
OPERATION_NAME: Final = Attribute("gen_ai.operation.name", "string", "Always `chat`.", ("chat",))
PROVIDER_NAME: Final = Attribute(
    "gen_ai.provider.name", "string", "`anthropic`, or the platform that serves the model, such as `aws.bedrock`."
)
REQUEST_MODEL: Final = Attribute(
    "gen_ai.request.model",
    "string",
    "Model named in the request. On metrics, models beyond the first `max_models` (20) are recorded as `other`.",
)
REQUEST_STREAM: Final = Attribute("gen_ai.request.stream", "boolean", "Always true.")
REQUEST_MAX_TOKENS: Final = Attribute(
    "gen_ai.request.max_tokens", "int", "`max_tokens` of the request.", unit="{token}"
)
REQUEST_TEMPERATURE: Final = Attribute(
    "gen_ai.request.temperature", "double", "`temperature` of the request. Absent if not set."
)
REQUEST_TOP_P: Final = Attribute("gen_ai.request.top_p", "double", "`top_p` of the request. Absent if not set.")
REQUEST_TOP_K: Final = Attribute("gen_ai.request.top_k", "int", "`top_k` of the request. Absent if not set.")
RESPONSE_ID: Final = Attribute(
    "gen_ai.response.id", "string", "Id of the message. Absent if `message_start` did not arrive."
)
RESPONSE_MODEL: Final = Attribute(
    "gen_ai.response.model", "string", "Model named in the response. Absent if `message_start` did not arrive."
)
FINISH_REASONS: Final = Attribute(
    "gen_ai.response.finish_reasons",
    "string[]",
    "The stop reason, or `error` if the stream ended before it arrived. Absent if `message_start` did not arrive.",
)
RESPONSE_TIME_TO_FIRST_CHUNK: Final = Attribute(
    "gen_ai.response.time_to_first_chunk",
    "double",
    "Seconds from the start of the call to its first SSE event, without the caller's time. Absent if no event arrived.",
    unit="s",
)
INPUT_TOKENS: Final = Attribute(
    "gen_ai.usage.input_tokens",
    "int",
    "Input tokens, including cache reads and cache writes. Absent if `message_start` did not arrive.",
    unit="{token}",
)
OUTPUT_TOKENS: Final = Attribute(
    "gen_ai.usage.output_tokens", "int", "Output tokens. Absent unless `message_delta` reported them.", unit="{token}"
)
CACHE_READ_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_read.input_tokens",
    "int",
    "Input tokens read from the prompt cache. Absent unless `message_delta` arrived.",
    unit="{token}",
)
CACHE_CREATION_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_creation.input_tokens",
    "int",
    "Input tokens written to the prompt cache (name of the released conventions). Absent unless "
    "`message_delta` arrived.",
    unit="{token}",
)
CACHE_WRITE_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_write.input_tokens",
    "int",
    "Input tokens written to the prompt cache (name of the latest conventions). Absent unless `message_delta` arrived.",
    unit="{token}",
)
REASONING_TOKENS: Final = Attribute(
    "gen_ai.usage.reasoning.output_tokens",
    "int",
    "Output tokens spent on thinking. Absent if the API does not report them.",
    unit="{token}",
)
TOKEN_TYPE: Final = Attribute(
    "gen_ai.token.type", "string", "Whether input or output tokens are counted.", ("input", "output")
)
TOKEN_MODALITY: Final = Attribute("gen_ai.token.modality", "string", "Always `unknown`.", ("unknown",))
ERROR_TYPE: Final = Attribute(
    "error.type",
    "string",
    "Error type reported by the API, otherwise the abort reason. Absent unless the stream or the attempt failed. On "
    "metrics, the abort reason also replaces a type that no provider documents.",
)
SERVER_ADDRESS: Final = Attribute("server.address", "string", "Host of the client's base URL.")
SERVER_PORT: Final = Attribute("server.port", "int", "Port of the client's base URL. Absent if unknown.")
STATUS_CODE: Final = Attribute(
    "http.response.status_code",
    "int",
    "HTTP status code of the response; on the span of a stream, of the last response. Absent if no response arrived.",
)
RESEND_COUNT: Final = Attribute(
    "http.request.resend_count",
    "int",
    "HTTP requests after the first. Absent if there was one request.",
    unit="{request}",
)

# --- Names of this package.
OUTCOME: Final = Attribute(
    "claude.stream.outcome",
    "string",
    "How the stream ended: complete, failed, or closed by the caller.",
    tuple(x.value for x in Outcome),
)
PHASE: Final = Attribute(
    "claude.stream.phase",
    "string",
    "How far the stream or attempt had progressed when it ended.",
    tuple(x.value for x in Phase),
)
REASON: Final = Attribute(
    "claude.stream.abort.reason",
    "string",
    "Why the stream ended without completing, or why the attempt failed. Absent otherwise.",
    tuple(x.value for x in AbortReason),
)
ORIGIN: Final = Attribute(
    "claude.stream.abort.origin",
    "string",
    "Party that caused the abort, as far as the evidence allows. Absent without an abort reason.",
    tuple(x.value for x in Origin),
)
LIMIT_MATCH: Final = Attribute(
    "claude.stream.abort.limit_match",
    "string",
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
ADVICE: Final = Attribute(
    "claude.stream.abort.advice", "string", "Recommended remedy, in one line. Absent if there is none."
)
RULE: Final = Attribute(
    "claude.stream.abort.rule",
    "string",
    "Id of the classifier's rule that determined the abort reason. Absent without one.",
)
ABORT_IDLE: Final = Attribute(
    "claude.stream.abort.idle",
    "double",
    "Seconds that the last read had been blocked without a byte when the stream or attempt ended. Before a response "
    "arrives, seconds since the request was sent. Absent without an abort reason.",
    unit="s",
)
ABORT_ELAPSED: Final = Attribute(
    "claude.stream.abort.elapsed",
    "double",
    "Seconds from the start of the call to its end. On the span of an attempt and on the event of a retry, from the "
    "start of the attempt. Absent without an abort reason.",
    unit="s",
)
ABORT_ERRNO: Final = Attribute(
    "claude.stream.abort.errno", "int", "First POSIX errno in the exception chain. Absent if there is none."
)
ABORT_EXCEPTION: Final = Attribute(
    "claude.stream.abort.exception",
    "string",
    "Class of the exception that was raised to the caller, never its message. Absent if none was raised.",
)
ERROR_SOURCE: Final = Attribute(
    "claude.stream.error.source",
    "string",
    "Where the API reported the error: `sse` for an event in a 200 response, `http` for an HTTP error status. "
    "Absent if it reported none.",
    tuple(x.value for x in ErrorSource),
)
ERROR_BODY: Final = Attribute(
    "claude.stream.error.body",
    "string",
    "Form of the HTTP error body. Only `api` has the structure of Anthropic's errors. Absent if there was no "
    "error body.",
    tuple(x.value for x in BodyClass),
)
FAULT_AFTER_STOP: Final = Attribute(
    "claude.stream.fault_after_stop",
    "boolean",
    "True if an exception was raised after `message_stop`, when the message was complete. Absent otherwise.",
)
MISSING_MESSAGE_STOP: Final = Attribute(
    "claude.stream.missing_message_stop",
    "boolean",
    "True if the body ended after `message_delta` without `message_stop`; no content is missing. Absent otherwise.",
)
STOP_REASON: Final = Attribute(
    "claude.stream.stop_reason",
    "string",
    "`stop_reason` of the message, unchanged. Absent if `message_delta` did not arrive.",
)
API: Final = Attribute(
    "claude.stream.api", "string", "Resource of the SDK that the caller used.", ("messages", "beta.messages")
)
HELPER: Final = Attribute(
    "claude.stream.helper",
    "string",
    "Method of the SDK that started the stream.",
    ("create", "stream", "tool_runner", "raw_response", "streaming_response"),
)
READ_MODE: Final = Attribute(
    "claude.stream.read.mode",
    "string",
    "How the caller read the body: as parsed events, as raw bytes, or not at all.",
    ("events", "bytes", "none"),
)
SPAN_OWNER: Final = Attribute(
    "claude.stream.span_owner",
    "string",
    "Instrumentation that records the `chat` span of the call: this package (`self`), the SDK's own tracing "
    "(`sdk`), or another one (`other`).",
    ("self", "sdk", "other"),
)
REQUEST_ID: Final = Attribute(
    "claude.stream.request_id",
    "string",
    "`request-id` header of the last response. Quote it when you contact Anthropic's support. Absent if no "
    "response has one.",
)
INTERMEDIARY: Final = Attribute(
    "claude.stream.intermediary",
    "string",
    "`server` header of the last response, otherwise its `via` header, truncated to 64 characters. Absent if "
    "it has neither.",
)
TIME_TO_HEADERS: Final = Attribute(
    "claude.stream.time_to_headers",
    "double",
    "Seconds from the start of the call to the headers of its first streaming response, including SDK "
    "retries. Absent if no stream was opened.",
    unit="s",
)
TIME_TO_FIRST_TOKEN: Final = Attribute(
    "claude.stream.time_to_first_token",
    "double",
    "Seconds from the start of the call to the first content delta, including retries, without the caller's "
    "time. Absent if no content arrived.",
    unit="s",
)
BLOCK_TYPE: Final = Attribute(
    "claude.stream.block.type",
    "string",
    "Type of the content block; on the span of a stream and on metrics, of the block with the first delta. "
    "Absent if there was no block.",
    ("text", "thinking", "tool_use", "other"),
)
BLOCK_INDEX: Final = Attribute("claude.stream.block.index", "int", "Index of the content block.")
EVENT_COUNT: Final = Attribute(
    "claude.stream.event.count", "int", "SSE events of every type, including pings and errors.", unit="{event}"
)
EVENT_DROPPED: Final = Attribute(
    "claude.stream.event.dropped",
    "int",
    "SSE events that were not recorded because the event budget was used up. Absent if none.",
    unit="{event}",
)
DELTA_COUNT: Final = Attribute("claude.stream.delta.count", "int", "Content deltas.", unit="{delta}")
PING_COUNT: Final = Attribute("claude.stream.ping.count", "int", "Pings.", unit="{ping}")
BLOCK_COUNT: Final = Attribute("claude.stream.block.count", "int", "Content blocks.", unit="{block}")
CONTENT_CHARACTERS: Final = Attribute(
    "claude.stream.content.characters", "int", "Characters of text, thinking and tool input.", unit="{character}"
)
READ_BYTES: Final = Attribute(
    "claude.stream.read.bytes",
    "int",
    "Bytes of the body as they arrived over the wire, before decompression.",
    unit="By",
)
READ_COUNT: Final = Attribute(
    "claude.stream.read.count", "int", "Reads of the body that returned bytes.", unit="{read}"
)
READ_EVENTS: Final = Attribute(
    "claude.stream.read.events",
    "double",
    "Average number of events per read. A value far above 1 suggests that a proxy buffers the stream. Absent "
    "if nothing was read.",
    unit="{event}",
)
RECENT_BYTES: Final = Attribute(
    "claude.stream.abort.recent_bytes",
    "int",
    "Bytes that arrived in the last five seconds before the abort. None suggest an idle limit, many a limit "
    "on the total duration. Absent without an abort reason.",
    unit="By",
)
LONGEST_SILENCE: Final = Attribute(
    "claude.stream.longest_silence",
    "double",
    "Longest time, in seconds, that a read blocked without a byte.",
    unit="s",
)
CHUNK_LONGEST_GAP: Final = Attribute(
    "claude.stream.chunk.longest_gap",
    "double",
    "Longest wait, in seconds, between two events with content. 0 if there was none.",
    unit="s",
)
PING_LONGEST_GAP: Final = Attribute(
    "claude.stream.ping.longest_gap",
    "double",
    "Longest time, in seconds, between two pings. Absent if fewer than two pings arrived.",
    unit="s",
)
CALLER_TIME: Final = Attribute(
    "claude.stream.caller.time",
    "double",
    "Seconds that the caller and the SDK spent between reads while the stream was open. 0 if nothing was read.",
    unit="s",
)
USAGE_COMPLETE: Final = Attribute(
    "claude.stream.usage.complete",
    "boolean",
    "True if `message_delta` reported the usage. False if the stream ended before it.",
)
ATTEMPT_COUNT: Final = Attribute(
    "claude.stream.attempt.count", "int", "HTTP requests that the call sent.", unit="{attempt}"
)
ATTEMPT_NUMBER: Final = Attribute(
    "claude.stream.attempt.number", "int", "Number of the HTTP request within the call, starting at 1."
)
RETRY_REASON: Final = Attribute(
    "claude.stream.retry.reason",
    "string",
    "Why the attempt failed that the retry or the decision is about.",
    tuple(x.value for x in AbortReason),
)
RETRY_DECISION: Final = Attribute(
    "claude.stream.retry.decision",
    "string",
    "Decision about the failed attempt: retry from the start, resume the text, or give up.",
    tuple(x.value for x in Action),
)
RETRY_BLOCKED_BY: Final = Attribute(
    "claude.stream.retry.blocked_by",
    "string",
    "Obstacle to a retry or resume. `none` if one follows.",
    tuple(x.value for x in Blocker),
)
RETRY_DRY_RUN: Final = Attribute(
    "claude.stream.retry.dry_run",
    "boolean",
    "True if the decision was only recorded: mode `resume` would have taken it. False if it was carried out.",
)
RETRY_DELAY_SOURCE: Final = Attribute(
    "claude.stream.retry.delay_source",
    "string",
    "Where the delay comes from. Absent if nothing follows.",
    tuple(x.value for x in DelaySource),
)
RETRY_BUDGET: Final = Attribute(
    "claude.stream.retry.budget",
    "double",
    "Retries that the budget still allows after this decision. Absent in a dry run.",
    unit="{retry}",
)
RETRY_LAYER: Final = Attribute(
    "claude.stream.retry.layer",
    "string",
    "Layer that sent the request or retried it: the SDK or the retry policy.",
    ("sdk", "policy"),
)
RETRY_DELAY: Final = Attribute(
    "claude.stream.retry.delay",
    "double",
    "Back-off before the next attempt, in seconds. Absent if no attempt follows.",
    unit="s",
)
RETRY_AFTER: Final = Attribute(
    "claude.stream.retry.retry_after",
    "double",
    "Seconds requested by the response's `retry-after` header. Absent if it has none.",
    unit="s",
)
RESUMED: Final = Attribute(
    "claude.stream.resumed",
    "boolean",
    "True if a further request continued the text, so that no single generation produced it. Absent otherwise.",
)
RECOVERY_ACTION: Final = Attribute(
    "claude.stream.recovery.action",
    "string",
    "Action of the retry policy on a stream that broke. Absent if there was none.",
    ("retry", "resume"),
)
RECOVERY_OUTCOME: Final = Attribute(
    "claude.stream.recovery.outcome",
    "string",
    "Outcome of a stream that the policy retried or resumed. `closed` means that the caller ended it.",
    tuple(x.value for x in Outcome),
)
SEAM: Final = Attribute(
    "claude.stream.resume.seam",
    "string",
    "How the resumed text matched the text before it. Absent if nothing was resumed.",
    ("anchor", "preamble", "overlap", "exact", "restart", "mismatch", "empty"),
)
STRATEGY: Final = Attribute(
    "claude.stream.resume.strategy",
    "string",
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
STALL_THRESHOLD: Final = Attribute(
    "claude.stream.stall.threshold", "string", "Threshold that the wait exceeded, such as `30s`."
)
STALL_KIND: Final = Attribute(
    "claude.stream.stall.kind",
    "string",
    "Whether no byte arrived during the wait (`silent`), or only pings (`pings_only`).",
    ("silent", "pings_only"),
)
INTERNAL_COMPONENT: Final = Attribute("claude.stream.internal.component", "string", "Part of this package that failed.")

# --- Attributes of events.
EVENT_COALESCED: Final = Attribute(
    "claude.stream.event.coalesced",
    "int",
    "Number of SSE events that this event represents. Absent if it is one.",
    unit="{event}",
)
EVENT_DURATION: Final = Attribute(
    "claude.stream.event.duration",
    "double",
    "Seconds from the first to the last of the SSE events that this event represents. Absent if it is one.",
    unit="s",
)
GAP: Final = Attribute(
    "claude.stream.event.gap",
    "double",
    "Longest wait, in seconds, before one of the SSE events that this event represents. Absent if there was no wait.",
    unit="s",
)
EVENT_CHARACTERS: Final = Attribute(
    "claude.stream.event.characters",
    "int",
    "Characters in the SSE events that this event represents. Absent if there are none.",
    unit="{character}",
)
