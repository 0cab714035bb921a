"""Rules for what was said: by the message itself, by our own clocks, by the caller, by the provider or a gateway."""

from __future__ import annotations

from otel_claude_stream._core.diagnosis.evidence import CANCELS, CLOSED_HERE, ERRNO_CLOSED
from otel_claude_stream._core.diagnosis.rule import Clock, Rule
from otel_claude_stream._core.vocabulary import AbortReason as R
from otel_claude_stream._core.vocabulary import Origin, Stop

SAID: tuple[Rule, ...] = (
    # The message is complete.
    Rule(
        "message_stop",
        "message_stop came: completed, whatever is raised or cut afterwards.",
        lambda e: e.facts.message_stop,
        None,
        None,
    ),
    Rule(
        "only_stop_missing",
        "The body ended cleanly after message_delta: only message_stop is missing, nothing of the answer.",
        lambda e: e.facts.stop is Stop.EXHAUSTED and e.facts.message_delta,
        None,
        None,
    ),
    # Clocks of our own.
    Rule(
        "watchdog_no_progress",
        "Our own clock of content ran out while pings kept the stream open.",
        lambda e: e.kind == "NoProgressTimeout",
        R.NO_PROGRESS,
        Origin.CLIENT,
    ),
    Rule(
        "watchdog_first_event",
        "Our own clock for the first event ran out.",
        lambda e: e.kind == "FirstEventTimeout",
        R.FIRST_EVENT_TIMEOUT,
        Origin.CLIENT,
    ),
    Rule(
        "watchdog_silence",
        "Our own clock of bytes ran out.",
        lambda e: e.kind == "SilenceTimeout",
        lambda e: e.quiet_reason,
        Origin.CLIENT,
        (R.CONNECTION_CLOSED,),
    ),
    # The caller.
    Rule(
        "interpreter_exit",
        "The interpreter went down with the stream open.",
        lambda e: e.facts.stop is Stop.EXIT,
        R.INTERPRETER_EXIT,
        Origin.CALLER,
    ),
    Rule(
        "cancelled",
        "The outermost exception is a cancellation (task, trio, Ctrl-C, exit); one deeper in the chain is no evidence.",
        lambda e: not e.outer.isdisjoint(CANCELS),
        R.CANCELLED,
        Origin.CALLER,
    ),
    Rule(
        "abandoned",
        "The last reference went away, or a generator around the stream was closed, before the end.",
        lambda e: e.facts.stop is Stop.DROPPED or "GeneratorExit" in e.outer,
        R.ABANDONED,
        Origin.CALLER,
    ),
    Rule(
        "caller_error",
        "The caller's own code raised while the stream was open: never a fault of the network, whatever its class.",
        lambda e: e.facts.stop is Stop.CLOSED and e.facts.fault is not None,
        R.CALLER_ERROR,
        Origin.CALLER,
    ),
    Rule(
        "caller_closed",
        "The caller closed the stream, or left its block, before the end.",
        lambda e: e.facts.stop is Stop.CLOSED,
        R.CALLER_CLOSED,
        Origin.CALLER,
    ),
    # Somebody said what is wrong.
    Rule(
        "sse_error",
        "An error event inside a success response: its type is the reason.",
        lambda e: e.sse_error,
        lambda e: e.provider_reason or R.STREAM_ERROR,
        Origin.ANTHROPIC,
    ),
    Rule(
        "http_error",
        "An HTTP error in the API's own form or with its request-id: type, then status, is the reason.",
        lambda e: e.status is not None and e.status >= 300 and e.api_spoke,
        lambda e: e.http_reason,
        Origin.ANTHROPIC,
    ),
    Rule(
        "gateway_5xx",
        "A server error without the API's form and without request-id: something in between made it. "
        "It may stand in place of the API's own error page.",
        lambda e: e.status is not None and e.status >= 500,
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        (R.OVERLOADED, R.API_ERROR),
        Clock.HEAD,
    ),
    Rule(
        "gateway_4xx",
        "Any other refusal or redirection that is not the API's: something in between made it.",
        lambda e: e.status is not None and e.status >= 300,
        R.GATEWAY_ERROR,
        Origin.INTERMEDIARY,
        (R.REQUEST_REJECTED,),
        Clock.HEAD,
    ),
    Rule(
        "closed_elsewhere",
        "Another thread or task closed the stream or its client while it was being read.",
        lambda e: (
            e.facts.closed_elsewhere
            or e.errno in ERRNO_CLOSED
            or not e.any.isdisjoint(CLOSED_HERE)
            or (e.raised and "connection closed" in e.said and "ConnectError" in e.outer)
        ),
        R.CALLER_CLOSED,
        Origin.CALLER,
    ),
    Rule(
        "wrong_content_type",
        "A success that is no event stream (portal, login page, whole message): the SDK saw no event.",
        lambda e: e.wrong_type and e.facts.stop in (Stop.EXHAUSTED, Stop.RAISED),
        R.BAD_RESPONSE,
        Origin.INTERMEDIARY,
    ),
)
"""In order; ``rules_wire.WIRE`` follows."""
