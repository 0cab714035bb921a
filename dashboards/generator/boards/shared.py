"""What several dashboards have in common: variables, conditions, and the ratios that are defined once."""

from __future__ import annotations

from typing import Final

from dashboards.generator.model import Variable
from dashboards.generator.names import label, metric
from dashboards.generator.promql import MODEL, SERVER, Scope, increase, other, rate, share, total

from otel_claude_stream._core.vocabulary import Origin, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

HEALTH: Final = "claude-stream-health"
TIMEOUTS: Final = "claude-stream-timeouts"
OVERLOAD: Final = "claude-stream-overload"
TRACES: Final = "claude-stream-traces"
PIPELINE: Final = "claude-stream-pipeline"

JOB: Final = 'job=~"$job"'
CALLS: Final = Scope((JOB, f'{MODEL}=~"$model"', f'{SERVER}=~"$server"'))
"""The streams that the variables choose."""
JOBS: Final = Scope((JOB,))
"""Everything of the chosen jobs, for metrics without model and server."""

_ANY: Final = metric(schema.REQUESTS)
VARIABLES: Final = (
    Variable(
        "job",
        "Job",
        "The application: the scrape job, or `service.namespace/service.name` where telemetry came by OTLP.",
        f"{_ANY}, job",
        all_value=".+",
    ),
    Variable("model", "Model", "The model asked for.", f"{_ANY}{{{JOB}}}, {MODEL}"),
    Variable("server", "Server", "The host of the client's base URL.", f"{_ANY}{{{JOB}}}, {SERVER}"),
)
SERVICE: Final = Variable(
    "service",
    "Service",
    "The service names behind the chosen jobs, as traces have them.",
    f"{_ANY}{{{JOB}}}, job",
    all_value="",
    regex="/([^/]+)$/",
    hidden=True,
)

COMPLETED: Final = f'{label(a.OUTCOME)}="{Outcome.COMPLETED.value}"'
NOT_CALLER: Final = other(a.ORIGIN, Origin.CALLER.value)
BEFORE_HEADERS: Final = (Phase.CONNECTING.value, Phase.AWAITING_RESPONSE.value)
BEFORE_TOKEN: Final = (Phase.AWAITING_FIRST_EVENT.value, Phase.AWAITING_FIRST_TOKEN.value)
AFTER_TOKEN: Final = (Phase.STREAMING.value, Phase.FINISHING.value)


def failed(scope: Scope, window: str, *by: str) -> str:
    """Streams per second that failed. Those that their caller ended are nobody's fault."""
    return rate(scope.series(schema.ABORTS, NOT_CALLER), window, *by)


def completed(scope: Scope, window: str, *by: str) -> str:
    """Streams per second that completed."""
    return rate(scope.series(schema.DURATION, COMPLETED, suffix="_count"), window, *by)


def judged(scope: Scope, window: str, *by: str) -> str:
    """Streams per second whose end says something: completed or failed, not ended by the caller."""
    good, bad = completed(scope, window, *by), failed(scope, window, *by)
    return f"(({good} or 0 * {bad}) + ({bad} or 0 * {good}))"


def failures(scope: Scope, window: str, *by: str) -> str:
    """Streams that failed in a window, the first of their kind included."""
    return total(scope.grown(schema.ABORTS, window, NOT_CALLER), *by)


def ends(scope: Scope, window: str, *by: str) -> str:
    """Streams that completed or failed in a window."""
    good = increase(scope.series(schema.DURATION, COMPLETED, suffix="_count"), window, *by)
    bad = failures(scope, window, *by)
    return f"(({good} or 0 * {bad}) + ({bad} or 0 * {good}))"


def completed_share(scope: Scope, window: str, *by: str) -> str:
    """The share of streams that completed."""
    return share(completed(scope, window, *by), judged(scope, window, *by))


def failed_share(scope: Scope, window: str, *by: str) -> str:
    """The share of streams that failed."""
    return share(failed(scope, window, *by), judged(scope, window, *by))


def sent(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second."""
    return rate(scope.series(schema.REQUESTS), window, *by)


def sent_again(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second that repeat or continue another: every retry that was made."""
    return rate(scope.series(schema.RETRIES), window, *by)


def amplification(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests for each call that the application made: 1 without retries."""
    every, again = sent(scope, window, *by), sent_again(scope, window, *by)
    return f"{every} / ({every} - ({again} or 0 * {every}) > 0)"
