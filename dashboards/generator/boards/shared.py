"""Variables, matchers and ratios that several dashboards share."""

from __future__ import annotations

from typing import Final

from dashboards.generator.model import Variable
from dashboards.generator.names import label, metric
from dashboards.generator.promql import MODEL, SERVER, SOURCE, Scope, increase, not_equal, rate, share, total

from otel_claude_stream._core.vocabulary import Origin, Outcome, Phase
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema

OVERVIEW: Final = "claude-stream-overview"
HEALTH: Final = "claude-stream-health"
TIMEOUTS: Final = "claude-stream-timeouts"
OVERLOAD: Final = "claude-stream-overload"
TRACES: Final = "claude-stream-traces"
PIPELINE: Final = "claude-stream-pipeline"

JOB: Final = 'job=~"$job"'
GENAI_CALLS: Final = Scope((JOB, f'{MODEL}=~"$model"', f'{SERVER}=~"$server"'))
"""Calls selected by the variables job, model and server, for metrics of the GenAI conventions."""
CALLS: Final = Scope((*GENAI_CALLS.matchers, f'{SOURCE}=~"$source"'))
"""Streams selected by the variables job, model, server and source."""
JOBS: Final = Scope((JOB,))
"""Series of the selected jobs, for metrics without model and server."""

_ANY: Final = metric(schema.REQUESTS)
VARIABLES: Final = (
    Variable(
        "job",
        "Job",
        "The application: the scrape job, or `service.namespace/service.name` if telemetry arrives by OTLP.",
        f"{_ANY}, job",
        all_value=".+",
    ),
    Variable("model", "Model", "The requested model.", f"{_ANY}{{{JOB}}}, {MODEL}"),
    Variable("server", "Server", "The host in the base URL of the client.", f"{_ANY}{{{JOB}}}, {SERVER}"),
    Variable(
        "source",
        "Source",
        "Where the measurements come from: this package (`instrumentation`), or spans of the Anthropic SDKs (`sdk`). "
        "The Collector sets it. Metrics that do not pass the Collector have none, and are shown under *All*.",
        f"{_ANY}{{{JOB}}}, {SOURCE}",
    ),
)
SERVICE: Final = Variable(
    "service",
    "Service",
    "The service names of the selected jobs, as traces have them.",
    f"{_ANY}{{{JOB}}}, job",
    all_value="",
    regex="/([^/]+)$/",
    hidden=True,
)

COMPLETED: Final = f'{label(a.OUTCOME)}="{Outcome.COMPLETED.value}"'
NOT_CALLER: Final = not_equal(a.ORIGIN, Origin.CALLER.value)
BEFORE_HEADERS: Final = (Phase.CONNECTING.value, Phase.AWAITING_RESPONSE.value)
BEFORE_TOKEN: Final = (Phase.AWAITING_FIRST_EVENT.value, Phase.AWAITING_FIRST_TOKEN.value)
AFTER_TOKEN: Final = (Phase.STREAMING.value, Phase.FINISHING.value)


def failed_rate(scope: Scope, window: str, *by: str) -> str:
    """Streams per second that failed. Streams closed by their caller are not failures."""
    return rate(scope.series(schema.ABORTS, NOT_CALLER), window, *by)


def completed_rate(scope: Scope, window: str, *by: str) -> str:
    """Streams per second that completed."""
    return rate(scope.series(schema.DURATION, COMPLETED, suffix="_count"), window, *by)


def judged_rate(scope: Scope, window: str, *by: str) -> str:
    """Streams per second that completed or failed, without those closed by their caller."""
    good, bad = completed_rate(scope, window, *by), failed_rate(scope, window, *by)
    return f"(({good} or 0 * {bad}) + ({bad} or 0 * {good}))"


def failed_count(scope: Scope, window: str, *by: str) -> str:
    """Number of streams that failed in a window, including the event that created a series."""
    return total(scope.growth(schema.ABORTS, window, NOT_CALLER), *by)


def judged_count(scope: Scope, window: str, *by: str) -> str:
    """Number of streams that completed or failed in a window."""
    good = increase(scope.series(schema.DURATION, COMPLETED, suffix="_count"), window, *by)
    bad = failed_count(scope, window, *by)
    return f"(({good} or 0 * {bad}) + ({bad} or 0 * {good}))"


def completed_share(scope: Scope, window: str, *by: str) -> str:
    """The share of streams that completed."""
    return share(completed_rate(scope, window, *by), judged_rate(scope, window, *by))


def failed_share(scope: Scope, window: str, *by: str) -> str:
    """The share of streams that failed."""
    return share(failed_rate(scope, window, *by), judged_rate(scope, window, *by))


def request_rate(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second."""
    return rate(scope.series(schema.REQUESTS), window, *by)


def retry_rate(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests per second that retry or resume an earlier one, by the SDK or the policy."""
    return rate(scope.series(schema.RETRIES), window, *by)


def amplification(scope: Scope, window: str, *by: str) -> str:
    """HTTP requests for each call of the application. Without retries it is 1."""
    every, again = request_rate(scope, window, *by), retry_rate(scope, window, *by)
    return f"{every} / ({every} - ({again} or 0 * {every}) > 0)"
