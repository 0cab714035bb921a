"""Rules for reported endings: by the message itself, a watchdog, the caller, the provider or a gateway."""

from __future__ import annotations

from otel_claude_stream._core.diagnosis.evidence import CANCELLATIONS, CLOSED_LOCALLY, ERRNO_CLOSED
from otel_claude_stream._core.diagnosis.rule import LimitCheck, Rule
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import Origin, Stop

REPORTED_RULES: tuple[Rule, ...] = (
    # The message is complete.
    Rule(
        "message_stop",
        "message_stop arrived. The message is complete, whatever is raised or cut afterwards.",
        lambda e: e.facts.message_stop,
        None,
        None,
    ),
    Rule(
        "only_stop_missing",
        "The body ended cleanly after message_delta. Only message_stop is missing, and no part of the answer.",
        lambda e: e.facts.stop is Stop.EXHAUSTED and e.facts.message_delta,
        None,
        None,
    ),
    # The watchdogs of the policy.
    Rule(
        "watchdog_no_progress",
        "The watchdog for content expired while pings kept the stream open.",
        lambda e: e.outermost == "NoProgressTimeout",
        R.NO_PROGRESS,
        Origin.CLIENT,
    ),
    Rule(
        "watchdog_first_event",
        "The watchdog for the first event expired.",
        lambda e: e.outermost == "FirstEventTimeout",
        R.FIRST_EVENT_TIMEOUT,
        Origin.CLIENT,
    ),
    Rule(
        "watchdog_first_content",
        "The watchdog for the first content expired. Pings and blocks that begin empty are no content.",
        lambda e: e.outermost == "FirstContentTimeout",
        R.FIRST_CONTENT_TIMEOUT,
        Origin.CLIENT,
    ),
    Rule(
        "watchdog_silence",
        "The watchdog for bytes expired, and the time-out of the client's own reads did not.",
        lambda e: e.outermost == "SilenceTimeout",
        lambda e: e.timeout_reason,
        Origin.CLIENT,
        (R.CONNECTION_CLOSED,),
    ),
    Rule(
        "watchdog_lifetime",
        "The watchdog for the whole response expired, which nothing that arrives resets.",
        lambda e: e.outermost == "LifetimeTimeout",
        R.LIFETIME_EXCEEDED,
        Origin.CLIENT,
    ),
    Rule(
        "queue_timeout",
        "The policy's limit on open requests granted no permit in time. No request was sent.",
        lambda e: e.outermost == "QueueTimeout",
        R.QUEUE_TIMEOUT,
        Origin.CLIENT,
    ),
    # The caller.
    Rule(
        "interpreter_exit",
        "The interpreter exited with the stream open.",
        lambda e: e.facts.stop is Stop.EXIT,
        R.INTERPRETER_EXIT,
        Origin.CALLER,
    ),
    Rule(
        "cancelled",
        "The outermost exception is a cancellation (task, trio, Ctrl-C, exit). One deeper in the chain does not count.",
        lambda e: not e.outermost_classes.isdisjoint(CANCELLATIONS),
        R.CANCELLED,
        Origin.CALLER,
    ),
    Rule(
        "abandoned",
        "The last reference to the stream was dropped before the end. Nothing closed it.",
        lambda e: e.facts.stop is Stop.DROPPED,
        R.ABANDONED,
        Origin.CALLER,
    ),
    Rule(
        "caller_closed",
        "The caller closed the stream, left its block, or closed a generator in which the block is, before the end.",
        lambda e: "GeneratorExit" in e.outermost_classes or (e.facts.stop is Stop.CLOSED and e.facts.fault is None),
        R.CALLER_CLOSED,
        Origin.CALLER,
    ),
    Rule(
        "caller_error",
        "The caller's code raised while the stream was open. Whatever its class, the exception is no network failure.",
        lambda e: e.facts.stop is Stop.CLOSED,
        R.CALLER_ERROR,
        Origin.CALLER,
    ),
    # An error that the API, a gateway or a proxy reported.
    Rule(
        "sse_error",
        "An error event arrived in a success response. Its type is the reason.",
        lambda e: e.sse_error,
        lambda e: e.provider_reason or R.STREAM_ERROR,
        Origin.ANTHROPIC,
    ),
    Rule(
        "http_error",
        "An HTTP error has the API's structure, or a request-id and no body of another structure. "
        "Its type is the reason, else its status.",
        lambda e: e.status is not None and e.status >= 300 and e.from_api,
        lambda e: e.http_reason,
        Origin.ANTHROPIC,
    ),
    Rule(
        "gateway_5xx",
        "A server error has neither the API's structure nor a request-id without a body, so an intermediary made it. "
        "It may replace an error page of the API.",
        lambda e: e.status is not None and e.status >= 500,
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        (R.OVERLOADED, R.API_ERROR),
        LimitCheck.HEADERS,
    ),
    Rule(
        "gateway_4xx",
        "Any other rejection or redirect has neither the API's structure nor a request-id without a body. "
        "An intermediary made it.",
        lambda e: e.status is not None and e.status >= 300,
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        (R.REQUEST_REJECTED,),
        LimitCheck.HEADERS,
    ),
    Rule(
        "closed_elsewhere",
        "Another thread or task closed the stream or its client during a read.",
        lambda e: (
            e.errno in ERRNO_CLOSED
            or not e.chain_classes.isdisjoint(CLOSED_LOCALLY)
            or (e.raised and "connection closed" in e.messages and "ConnectError" in e.outermost_classes)
        ),
        R.CALLER_CLOSED,
        Origin.CALLER,
    ),
    Rule(
        "wrong_content_type",
        "A success response is no event stream (portal, login page, whole message), so the SDK found no event.",
        lambda e: e.wrong_content_type and e.facts.stop in (Stop.EXHAUSTED, Stop.RAISED),
        R.BAD_RESPONSE,
        Origin.INTERMEDIARY,
    ),
)
"""In the order in which they are tried. ``rules_inferred.INFERRED_RULES`` follow."""
