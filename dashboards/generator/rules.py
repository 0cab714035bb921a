"""The recording and alert rules, as data and as the text of the rule files of Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import yaml
from dashboards.generator import names, objectives
from dashboards.generator.boards.overload import OVERLOADED
from dashboards.generator.boards.shared import (
    BEFORE_HEADERS,
    HEALTH,
    NOT_CALLER,
    OVERLOAD,
    PIPELINE,
    TIMEOUTS,
    amplification,
    failed_share,
    judged_rate,
    request_rate,
)
from dashboards.generator.grafana_json import COMPONENT
from dashboards.generator.names import label
from dashboards.generator.objectives import BURNS, STALL_BURN, WINDOWS, Burn
from dashboards.generator.promql import (
    MODEL,
    SERVER,
    Scope,
    by_signal,
    equal,
    increase,
    le,
    none_of,
    rate,
    share,
    total,
)

from otel_claude_stream._core.diagnosis.limits import AMBIGUOUS, NO_MATCH
from otel_claude_stream._core.retry.context import Blocker
from otel_claude_stream._core.stream.timing import label as threshold
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

RUNBOOK: Final = "dashboards/RUNBOOK.md"
ALL: Final = Scope()
LIMIT: Final = label(a.LIMIT_MATCH)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule. Its name follows the convention ``level:metric:operation``."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. The runbook has a section with its name; ``board`` is the uid of the dashboard to open."""

    name: str
    severity: str
    expr: str
    pending: str
    keep_firing: str
    summary: str
    description: str
    board: str
    filters: tuple[tuple[str, str], ...] = (("job", "job"),)
    """Pairs of a variable of the dashboard and the label of the alert that sets it."""


def failed_ratio(window: str) -> str:
    """Name of the recorded share of failed streams, by job."""
    return f"job:claude_stream_failed:ratio_rate{window}"


def slow_ratio(window: str) -> str:
    """Name of the recorded share of slow first tokens, by job."""
    return f"job:claude_stream_slow_first_token:ratio_rate{window}"


LIMIT_CUTS: Final = f"job_server_limit:claude_stream_cuts:grown{objectives.TIMEOUT_WINDOW}"
OVERLOADED_RATIO: Final = f"job_model:claude_stream_overloaded:ratio_rate{objectives.OVERLOADED_WINDOW}"
AMPLIFICATION: Final = f"job_server:claude_stream_amplification:ratio_rate{objectives.AMPLIFICATION_WINDOW}"

FIRST_TOKENS: Final = ALL.series(schema.TIME_TO_FIRST_TOKEN, suffix="_count")
FAST_FIRST_TOKENS: Final = ALL.series(schema.TIME_TO_FIRST_TOKEN, le(objectives.FIRST_TOKEN_SECONDS), suffix="_bucket")
_MID_STREAM: Final = (OVERLOADED, none_of(a.PHASE, *BEFORE_HEADERS))
_CUT: Final = none_of(a.LIMIT_MATCH, NO_MATCH, AMBIGUOUS)


def _slow_share(window: str) -> str:
    return f"1 - {rate(FAST_FIRST_TOKENS, window, 'job')} / ({rate(FIRST_TOKENS, window, 'job')} > 0)"


def recordings() -> tuple[Recording, ...]:
    """Return the recording rules for the ratios of the alerts, so that a burn rate over six hours is cheap."""
    return (
        *(Recording(failed_ratio(window), failed_share(ALL, window, "job")) for window in WINDOWS),
        *(Recording(slow_ratio(window), _slow_share(window)) for window in WINDOWS),
        Recording(
            LIMIT_CUTS, total(ALL.growth(schema.ATTEMPT_ABORTS, objectives.TIMEOUT_WINDOW, _CUT), "job", SERVER, LIMIT)
        ),
        Recording(
            OVERLOADED_RATIO,
            share(
                rate(ALL.series(schema.ABORTS, *_MID_STREAM), objectives.OVERLOADED_WINDOW, "job", MODEL),
                judged_rate(ALL, objectives.OVERLOADED_WINDOW, "job", MODEL),
            ),
        ),
        Recording(AMPLIFICATION, amplification(ALL, objectives.AMPLIFICATION_WINDOW, "job", SERVER)),
    )


def _failed_burn(burn: Burn) -> Alert:
    allowed = f"{burn.factor:g} * {1 - objectives.COMPLETED_SHARE:.4g}"
    events = increase(ALL.series(schema.ABORTS, NOT_CALLER), burn.long, "job")
    return Alert(
        "AbortBudgetBurn",
        burn.severity,
        f"{failed_ratio(burn.long)} > {allowed}\nand {failed_ratio(burn.short)} > {allowed}\n"
        f"and {events} >= {objectives.MIN_FAILURES}",
        burn.pending,
        burn.keep_firing,
        "{{ $labels.job }}: {{ $value | humanizePercentage }} of the Claude streams fail",
        f"Over {burn.long} and over {burn.short} more than {burn.factor:g} times as many streams failed as the "
        f"objective allows ({objectives.COMPLETED_SHARE * 100:g} % completed). Streams closed by their caller do not "
        "count. The panel 'Failed streams, by reason' shows the causes.",
        HEALTH,
    )


def _first_token_burn(burn: Burn) -> Alert:
    allowed = f"{burn.factor:g} * {1 - objectives.FIRST_TOKEN_SHARE:.4g}"
    events = f"{increase(FIRST_TOKENS, burn.long, 'job')} - {increase(FAST_FIRST_TOKENS, burn.long, 'job')}"
    return Alert(
        "FirstTokenObjectiveBurn",
        burn.severity,
        f"{slow_ratio(burn.long)} > {allowed}\nand {slow_ratio(burn.short)} > {allowed}\n"
        f"and {events} >= {objectives.MIN_FAILURES}",
        burn.pending,
        burn.keep_firing,
        "{{ $labels.job }}: {{ $value | humanizePercentage }} of the first tokens of Claude streams are late",
        f"Over {burn.long} and over {burn.short} more than {burn.factor:g} times as many first tokens were late as the "
        f"objective allows ({objectives.FIRST_TOKEN_SHARE:.0%} within {objectives.FIRST_TOKEN_SECONDS:g} s). "
        "Check for retries, a buffering hop, or a slow model.",
        HEALTH,
    )


def stall_count(window: str, *by: str) -> str:
    """Number of waits for content in a window that passed the threshold of the objective."""
    stalled = equal(a.STALL_THRESHOLD, threshold(objectives.STALL_SECONDS))
    return total(ALL.growth(schema.STALLS, window, stalled), *by)


def ended_count(window: str, *by: str) -> str:
    """Number of streams that ended in a window."""
    return increase(ALL.series(schema.DURATION, suffix="_count"), window, *by)


def _stalled_condition() -> str:
    window = objectives.STALL_WINDOW
    stalls, ended = stall_count(window, "job", SERVER), ended_count(window, "job", SERVER)
    chunks = rate(ALL.series(schema.CHUNK_GAP, suffix="_count"), objectives.STUCK_WINDOW, "job", SERVER)
    oldest = f"max by (job, {SERVER}) ({ALL.series(schema.OLDEST_AGE)})"
    return (
        f"({stalls} >= {objectives.STALLS} and {stalls} > {objectives.STALL_SHARE:g} * {ended})\n"
        f"or ({oldest} > {objectives.STUCK_SECONDS:g} unless {chunks} > 0)"
    )


def _dropping_condition() -> str:
    dropped = {
        what: f"{total(by_signal('rate', pattern, _COLLECTORS, '5m'), 'job', 'signal')} > 0"
        for what, pattern in (
            ("refused", names.COLLECTOR_REFUSED),
            ("not taken", names.COLLECTOR_FAILED),
            ("not queued", names.COLLECTOR_ENQUEUE_FAILED),
            ("not delivered", names.COLLECTOR_SEND_FAILED),
        )
    }
    dropped["unauthorized"] = f'label_replace({_unauthorized()}, "signal", "spans", "", "")'
    return "\nor ".join(f'label_replace({vector}, "what", "{what}", "", "")' for what, vector in dropped.items())


def _unauthorized() -> str:
    """Rate of requests with a wrong token, unless spans of the API arrive. Strangers send single requests anywhere."""
    answers = f'{{__name__=~"{names.COLLECTOR_ANSWERS}",{names.UNAUTHORIZED},{_COLLECTORS}}}'
    accepted = f'{{__name__=~"{names.COLLECTOR_ACCEPTED.format("spans")}",receiver="otlp/api",{_COLLECTORS}}}'
    return f"{rate(answers, '5m', 'job')} > 0 unless {rate(accepted, '5m', 'job')} > 0"


_BUDGET_SPENT: Final = (equal(a.RETRY_BLOCKED_BY, Blocker.BUDGET.value), equal(a.RETRY_DRY_RUN, "false"))
_COLLECTORS: Final = 'job!=""'


def alerts() -> tuple[Alert, ...]:
    """Return the alerts, starting with those about the error budgets."""
    budget, window = ALL.series(schema.RETRY_BUDGET), objectives.BUDGET_WINDOW
    refused = total(ALL.growth(schema.RETRY_DECISIONS, window, *_BUDGET_SPENT), "job", SERVER, MODEL)
    amplified = objectives.AMPLIFICATION_WINDOW
    requests = f"{request_rate(ALL, amplified, 'job', SERVER)} * {_seconds(amplified)}"
    return (
        *(_failed_burn(burn) for burn in BURNS),
        *(_first_token_burn(burn) for burn in BURNS),
        Alert(
            "ProxyTimeoutSignature",
            "ticket",
            f"{LIMIT_CUTS} >= {objectives.TIMEOUT_CUTS}",
            "1m",
            "15m",
            f"{{{{ $labels.job }}}}: streams from {{{{ $labels.{SERVER} }}}} are cut at {{{{ $labels.{LIMIT} }}}}",
            f'{{{{ $value | printf "%.0f" }}}} HTTP requests within {objectives.TIMEOUT_WINDOW} ended at a known time '
            "limit, also if a retry or resume saved the stream. A hop on the path cuts them. The dashboard lists the "
            "products with that limit, and the remedy.",
            TIMEOUTS,
            (("job", "job"), ("server", SERVER)),
        ),
        Alert(
            "OverloadedMidStream",
            "page",
            f"{OVERLOADED_RATIO} > {objectives.OVERLOADED_SHARE:g}\nand "
            f"{total(ALL.growth(schema.ABORTS, objectives.OVERLOADED_WINDOW, *_MID_STREAM), 'job', MODEL)} >= 3",
            "3m",
            "10m",
            f"{{{{ $labels.job }}}}: {{{{ $value | humanizePercentage }}}} of the streams of {{{{ $labels.{MODEL} }}}} "
            "end with overloaded_error",
            "Claude ends streams with overloaded_error inside a 200 response. The SDK does not retry those. "
            "Fail over to another model, or enable a retry policy.",
            OVERLOAD,
            (("job", "job"), ("model", MODEL)),
        ),
        Alert(
            "RetryAmplificationHigh",
            "ticket",
            f"{AMPLIFICATION} > {objectives.AMPLIFICATION:g}\nand {requests} >= {objectives.AMPLIFICATION_REQUESTS}",
            "5m",
            "10m",
            f'{{{{ $labels.job }}}}: {{{{ $value | printf "%.2f" }}}} HTTP requests to {{{{ $labels.{SERVER} }}}} for '
            "each stream",
            f"Retries turn each call into more than {objectives.AMPLIFICATION:g} requests on average, which prolongs "
            "an incident. Lower max_retries of the SDK, or let a policy with a budget retry.",
            OVERLOAD,
            (("job", "job"), ("server", SERVER)),
        ),
        Alert(
            "RetryBudgetExhausted",
            "ticket",
            f"min by (job, {SERVER}, {MODEL}) (avg_over_time({budget}[5m])) < 1\nor {refused} >= "
            f"{objectives.BUDGET_REFUSALS}",
            "2m",
            "10m",
            f"{{{{ $labels.job }}}}: no retries left for {{{{ $labels.{MODEL} }}}} at {{{{ $labels.{SERVER} }}}}",
            "The retry budget is spent, so streams that break now fail at once. This is by design. "
            "Find out why streams fail before you raise the budget.",
            OVERLOAD,
            (("job", "job"), ("server", SERVER), ("model", MODEL)),
        ),
        Alert(
            "StreamStalled",
            "ticket",
            _stalled_condition(),
            STALL_BURN.pending,
            STALL_BURN.keep_firing,
            f"{{{{ $labels.job }}}}: streams from {{{{ $labels.{SERVER} }}}} stall",
            f"Many streams waited longer than {objectives.STALL_SECONDS:g} s for content, or one is older than "
            f"{objectives.STUCK_SECONDS:g} s on a server that sends nothing. "
            "The panel 'Stalls' shows whether pings arrive.",
            HEALTH,
            (("job", "job"), ("server", SERVER)),
        ),
        Alert(
            "TelemetryPipelineDropping",
            "ticket",
            _dropping_condition(),
            "5m",
            "10m",
            "{{ $labels.job }}: {{ $labels.signal }} {{ $labels.what }} by the Collector",
            "{{ $value | humanize }} items per second are {{ $labels.what }}, so the other dashboards are incomplete. "
            "Check the queues, the memory and the log of the Collector. If requests are unauthorized, check the token.",
            PIPELINE,
            (("collector", "job"),),
        ),
    )  # fmt: skip


def _seconds(window: str) -> int:
    return int(window[:-1]) * {"m": 60, "h": 3600}[window[-1]]


class RuleDumper(yaml.SafeDumper):
    """Writes strings with several lines as blocks, and all other strings on one line."""


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


RuleDumper.add_representer(str, _represent_str)


def _alert(alert: Alert, runbook: str) -> dict[str, Any]:
    chosen = "&".join(f"var-{variable}={{{{ $labels.{name} | urlquery }}}}" for variable, name in alert.filters)
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.pending,
        "keep_firing_for": alert.keep_firing,
        "labels": {"severity": alert.severity, "component": COMPONENT},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "dashboard_url": f"/d/{alert.board}?{chosen}",
            "runbook_url": f"{runbook}#{alert.name.lower()}",
        },
    }


HEAD: Final = "# Generated by `make dashboards` from dashboards/generator. Do not edit this file.\n"


def render(runbook: str = RUNBOOK) -> dict[str, str]:
    """Return the text of each rule file by file name."""
    parts = {
        "claude-stream-recordings": [{"record": rule.record, "expr": rule.expr} for rule in recordings()],
        "claude-stream-alerts": [_alert(alert, runbook) for alert in alerts()],
    }
    return {
        f"{name}.yaml": HEAD
        + yaml.dump({"groups": [{"name": name, "rules": rules}]}, Dumper=RuleDumper, sort_keys=False, width=100_000)
        for name, rules in parts.items()
    }
