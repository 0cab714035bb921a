"""Every attribute that this package sets, declared once."""

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

# --- OpenTelemetry's own names: GenAI conventions as released with semantic-conventions 1.41 (Development), and the
# --- stable `error`, `server` and `http` ones. Written out, as the package that holds them marks them deprecated.
OPERATION_NAME: Final = Attribute("gen_ai.operation.name", "string", "Always `chat`.", ("chat",))
PROVIDER_NAME: Final = Attribute(
    "gen_ai.provider.name", "string", "`anthropic`, or the platform that serves the model: `aws.bedrock`, ..."
)
REQUEST_MODEL: Final = Attribute(
    "gen_ai.request.model", "string", "Model asked for. On metrics at most 20 different ones, then `other`."
)
REQUEST_STREAM: Final = Attribute("gen_ai.request.stream", "boolean", "Always true.")
REQUEST_MAX_TOKENS: Final = Attribute(
    "gen_ai.request.max_tokens", "int", "`max_tokens` of the request.", unit="{token}"
)
REQUEST_TEMPERATURE: Final = Attribute("gen_ai.request.temperature", "double", "`temperature` of the request.")
REQUEST_TOP_P: Final = Attribute("gen_ai.request.top_p", "double", "`top_p` of the request.")
REQUEST_TOP_K: Final = Attribute("gen_ai.request.top_k", "int", "`top_k` of the request.")
RESPONSE_ID: Final = Attribute("gen_ai.response.id", "string", "Message id.")
RESPONSE_MODEL: Final = Attribute("gen_ai.response.model", "string", "Model that answered.")
FINISH_REASONS: Final = Attribute(
    "gen_ai.response.finish_reasons",
    "string[]",
    "The stop reason; `error` if the stream ended before there was one.",
)
RESPONSE_TIME_TO_FIRST_CHUNK: Final = Attribute(
    "gen_ai.response.time_to_first_chunk",
    "double",
    "Seconds from the start of the call to its first SSE event.",
    unit="s",
)
INPUT_TOKENS: Final = Attribute(
    "gen_ai.usage.input_tokens", "int", "Input tokens, cache reads and cache writes included.", unit="{token}"
)
OUTPUT_TOKENS: Final = Attribute(
    "gen_ai.usage.output_tokens", "int", "Output tokens; absent unless `message_delta` said them.", unit="{token}"
)
CACHE_READ_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_read.input_tokens", "int", "Input tokens read from the cache.", unit="{token}"
)
CACHE_CREATION_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_creation.input_tokens",
    "int",
    "Input tokens written to the cache (released name).",
    unit="{token}",
)
CACHE_WRITE_TOKENS: Final = Attribute(
    "gen_ai.usage.cache_write.input_tokens", "int", "Input tokens written to the cache (latest name).", unit="{token}"
)
REASONING_TOKENS: Final = Attribute(
    "gen_ai.usage.reasoning.output_tokens",
    "int",
    "Output tokens that were thinking, where the API says so.",
    unit="{token}",
)
TOKEN_TYPE: Final = Attribute("gen_ai.token.type", "string", "Which tokens are counted.", ("input", "output"))
TOKEN_MODALITY: Final = Attribute("gen_ai.token.modality", "string", "Always `unknown`.", ("unknown",))
ERROR_TYPE: Final = Attribute(
    "error.type", "string", "The provider's error type, else the abort reason. Absent unless the outcome is `failed`."
)
SERVER_ADDRESS: Final = Attribute("server.address", "string", "Host of the base URL of the client.")
SERVER_PORT: Final = Attribute("server.port", "int", "Port of the base URL of the client.")
STATUS_CODE: Final = Attribute("http.response.status_code", "int", "HTTP status of the (last) response.")
RESEND_COUNT: Final = Attribute(
    "http.request.resend_count", "int", "HTTP requests after the first; absent if none.", unit="{request}"
)

# --- Names of this package.
OUTCOME: Final = Attribute(
    "claude.stream.outcome", "string", "What became of the stream.", tuple(x.value for x in Outcome)
)
PHASE: Final = Attribute("claude.stream.phase", "string", "How far the stream came.", tuple(x.value for x in Phase))
REASON: Final = Attribute(
    "claude.stream.abort.reason",
    "string",
    "Why the stream ended, if it did not complete.",
    tuple(x.value for x in AbortReason),
)
ORIGIN: Final = Attribute(
    "claude.stream.abort.origin", "string", "Who ended it, as far as the evidence goes.", tuple(x.value for x in Origin)
)
LIMIT_MATCH: Final = Attribute(
    "claude.stream.abort.limit_match",
    "string",
    "Known middlebox limit that the cut is consistent with: `idle:60s`, `duration:30s`, ..., `ambiguous`, `none`.",
)
ALSO_POSSIBLE: Final = Attribute(
    "claude.stream.abort.also_possible", "string[]", "Other reasons that the evidence does not rule out."
)
SUSPECTS: Final = Attribute(
    "claude.stream.abort.suspects", "string[]", "Products whose limit or fingerprint fits. Consistent with, no more."
)
ADVICE: Final = Attribute("claude.stream.abort.advice", "string", "One line of remedy.")
RULE: Final = Attribute("claude.stream.abort.rule", "string", "Id of the classifier's rule that decided.")
ABORT_IDLE: Final = Attribute(
    "claude.stream.abort.idle",
    "double",
    "Seconds without a byte before the end (time blocked in the last read).",
    unit="s",
)
ABORT_ELAPSED: Final = Attribute(
    "claude.stream.abort.elapsed", "double", "Seconds from the start of the call to its end.", unit="s"
)
ABORT_ERRNO: Final = Attribute("claude.stream.abort.errno", "int", "First POSIX errno in the exception chain.")
ABORT_EXCEPTION: Final = Attribute(
    "claude.stream.abort.exception", "string", "Class of the exception that the caller got. Never its message."
)
ERROR_SOURCE: Final = Attribute(
    "claude.stream.error.source",
    "string",
    "Where the provider said its error: SSE event in a 200, or HTTP status.",
    tuple(x.value for x in ErrorSource),
)
ERROR_BODY: Final = Attribute(
    "claude.stream.error.body",
    "string",
    "What the body of the HTTP error looked like; only `api` is Anthropic's form.",
    tuple(x.value for x in BodyClass),
)
FAULT_AFTER_STOP: Final = Attribute(
    "claude.stream.fault_after_stop", "boolean", "Something was raised after `message_stop`; nothing was lost."
)
MISSING_MESSAGE_STOP: Final = Attribute(
    "claude.stream.missing_message_stop", "boolean", "Only `message_stop` was missing; nothing was lost."
)
STOP_REASON: Final = Attribute("claude.stream.stop_reason", "string", "The API's `stop_reason`, as it said it.")
API: Final = Attribute("claude.stream.api", "string", "Part of the SDK that was called.", ("messages", "beta.messages"))
HELPER: Final = Attribute(
    "claude.stream.helper",
    "string",
    "How it was called.",
    ("create", "stream", "tool_runner", "raw_response", "streaming_response"),
)
READ_MODE: Final = Attribute(
    "claude.stream.read.mode",
    "string",
    "How the body was read: as events, as bytes by the caller, or never.",
    ("events", "bytes", "none"),
)
SPAN_OWNER: Final = Attribute(
    "claude.stream.span_owner",
    "string",
    "Who has the `chat` span of this call: this one, the SDK's own tracing, another instrumentation.",
    ("self", "sdk", "other"),
)
REQUEST_ID: Final = Attribute(
    "claude.stream.request_id", "string", "Anthropic's `request-id` of the last response: what support asks for."
)
INTERMEDIARY: Final = Attribute(
    "claude.stream.intermediary", "string", "`server` or `via` header of the last response, at most 64 characters."
)
TIME_TO_HEADERS: Final = Attribute(
    "claude.stream.time_to_headers", "double", "Seconds from the start of the call to the response headers.", unit="s"
)
TIME_TO_FIRST_TOKEN: Final = Attribute(
    "claude.stream.time_to_first_token",
    "double",
    "Seconds from the start of the call to the first content delta, without the caller's own time.",
    unit="s",
)
BLOCK_TYPE: Final = Attribute(
    "claude.stream.block.type",
    "string",
    "Type of the content block (of the first token, on metrics).",
    ("text", "thinking", "tool_use", "other"),
)
BLOCK_INDEX: Final = Attribute("claude.stream.block.index", "int", "Index of the content block.")
EVENT_COUNT: Final = Attribute(
    "claude.stream.event.count", "int", "SSE events of every type, pings and errors included.", unit="{event}"
)
EVENT_DROPPED: Final = Attribute(
    "claude.stream.event.dropped",
    "int",
    "SSE events that the span's event budget left out; absent if none.",
    unit="{event}",
)
DELTA_COUNT: Final = Attribute("claude.stream.delta.count", "int", "Content deltas.", unit="{delta}")
PING_COUNT: Final = Attribute("claude.stream.ping.count", "int", "Pings.", unit="{ping}")
BLOCK_COUNT: Final = Attribute("claude.stream.block.count", "int", "Content blocks.", unit="{block}")
CONTENT_CHARACTERS: Final = Attribute(
    "claude.stream.content.characters", "int", "Characters of text, thinking and tool input.", unit="{character}"
)
READ_BYTES: Final = Attribute(
    "claude.stream.read.bytes", "int", "Bytes of the body as they came over the wire.", unit="By"
)
READ_COUNT: Final = Attribute(
    "claude.stream.read.count", "int", "Reads of the body that returned bytes.", unit="{read}"
)
READ_EVENTS: Final = Attribute(
    "claude.stream.read.events",
    "double",
    "Events for each read. Far above 1 where a hop holds events back and sends them together.",
    unit="{event}",
)
RECENT_BYTES: Final = Attribute(
    "claude.stream.abort.recent_bytes",
    "int",
    "Bytes in the last five seconds: they flowed to the end if a limit on the duration cut, not if an idle limit did.",
    unit="By",
)
LONGEST_SILENCE: Final = Attribute(
    "claude.stream.longest_silence",
    "double",
    "Longest time, in seconds, that a read waited for the next byte.",
    unit="s",
)
CHUNK_LONGEST_GAP: Final = Attribute(
    "claude.stream.chunk.longest_gap", "double", "Longest wait, in seconds, between two events with content.", unit="s"
)
PING_LONGEST_GAP: Final = Attribute(
    "claude.stream.ping.longest_gap", "double", "Longest time, in seconds, between two pings.", unit="s"
)
CALLER_TIME: Final = Attribute(
    "claude.stream.caller.time",
    "double",
    "Seconds that the caller spent in its loop body while the stream was open.",
    unit="s",
)
USAGE_COMPLETE: Final = Attribute(
    "claude.stream.usage.complete", "boolean", "False if the stream broke before `message_delta` said the usage."
)
ATTEMPT_COUNT: Final = Attribute(
    "claude.stream.attempt.count", "int", "HTTP requests that the call needed.", unit="{attempt}"
)
ATTEMPT_NUMBER: Final = Attribute("claude.stream.attempt.number", "int", "Ordinal of the HTTP request, from 1.")
RETRY_REASON: Final = Attribute(
    "claude.stream.retry.reason",
    "string",
    "Why the attempt before failed.",
    tuple(x.value for x in AbortReason),
)
RETRY_DECISION: Final = Attribute(
    "claude.stream.retry.decision",
    "string",
    "What was decided: again from the start, a continuation of the text, or neither.",
    tuple(x.value for x in Action),
)
RETRY_BLOCKED_BY: Final = Attribute(
    "claude.stream.retry.blocked_by",
    "string",
    "What stood in the way of a retry or a continuation; `none` where one follows.",
    tuple(x.value for x in Blocker),
)
RETRY_DRY_RUN: Final = Attribute(
    "claude.stream.retry.dry_run", "boolean", "True: what mode `resume` would have decided; nothing was done."
)
RETRY_DELAY_SOURCE: Final = Attribute(
    "claude.stream.retry.delay_source",
    "string",
    "Where the delay came from.",
    tuple(x.value for x in DelaySource),
)
RETRY_BUDGET: Final = Attribute(
    "claude.stream.retry.budget", "double", "Retries that the budget still allows, this one paid.", unit="{retry}"
)
RETRY_LAYER: Final = Attribute("claude.stream.retry.layer", "string", "Who retried.", ("sdk", "policy"))
RETRY_DELAY: Final = Attribute(
    "claude.stream.retry.delay", "double", "Seconds of back-off before the next attempt.", unit="s"
)
RETRY_AFTER: Final = Attribute(
    "claude.stream.retry.retry_after", "double", "Seconds that `retry-after` asked for.", unit="s"
)
RESUMED: Final = Attribute(
    "claude.stream.resumed",
    "boolean",
    "True: the text was continued by a further request, so no single generation produced it. Absent otherwise.",
)
RECOVERY_ACTION: Final = Attribute(
    "claude.stream.recovery.action", "string", "What the policy did about a stream that broke.", ("retry", "resume")
)
RECOVERY_OUTCOME: Final = Attribute(
    "claude.stream.recovery.outcome",
    "string",
    "What became of it in the end; `closed` is the caller's doing.",
    tuple(x.value for x in Outcome),
)
SEAM: Final = Attribute(
    "claude.stream.resume.seam",
    "string",
    "How the continuation fitted the text before it.",
    ("anchor", "preamble", "overlap", "exact", "restart", "mismatch", "empty"),
)
STRATEGY: Final = Attribute(
    "claude.stream.resume.strategy", "string", "How the continuation was asked for.", ("prefill", "user_continue")
)
ATTEMPT_CHARACTERS: Final = Attribute(
    "claude.stream.attempt.characters",
    "int[]",
    "Characters that each attempt of the policy wrote; absent if there was one.",
    unit="{character}",
)
ATTEMPT_INPUT_TOKENS: Final = Attribute(
    "claude.stream.attempt.input_tokens",
    "int[]",
    "Input tokens that each attempt of the policy said, cache included; 0 where it said none. All are billed.",
    unit="{token}",
)
ATTEMPT_OUTPUT_TOKENS: Final = Attribute(
    "claude.stream.attempt.output_tokens",
    "int[]",
    "Output tokens that each attempt of the policy said; 0 where it broke before it said them.",
    unit="{token}",
)
STALL_THRESHOLD: Final = Attribute("claude.stream.stall.threshold", "string", "The threshold that was passed: `30s`.")
STALL_KIND: Final = Attribute(
    "claude.stream.stall.kind", "string", "No byte at all, or pings only.", ("silent", "pings_only")
)
INTERNAL_COMPONENT: Final = Attribute("claude.stream.internal.component", "string", "Part of this package that failed.")

# --- Of single events.
EVENT_COALESCED: Final = Attribute(
    "claude.stream.event.coalesced",
    "int",
    "SSE events that this event stands for; absent if it is one.",
    unit="{event}",
)
EVENT_DURATION: Final = Attribute(
    "claude.stream.event.duration",
    "double",
    "Seconds from the first to the last of the events it stands for.",
    unit="s",
)
GAP: Final = Attribute("claude.stream.event.gap", "double", "Longest wait, in seconds, before one of them.", unit="s")
EVENT_CHARACTERS: Final = Attribute(
    "claude.stream.event.characters", "int", "Characters in the events it stands for.", unit="{character}"
)
