"""Typed use of the public API, for type checkers in strict mode. It is not run.

A line with an intended type error has an ignore comment. If the error disappears, the unused ignore is an error.
"""

from __future__ import annotations

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from otel_claude_stream import (
    AbortReason,
    ClaudeStreamInstrumentor,
    RetryPolicy,
    StreamConfig,
    no_retry,
    retry_policy,
    stream_labels,
)
from otel_claude_stream.policy import Mode, RetryLimits, Rule
from otel_claude_stream.testing import FakeAPI, Request, Script


def turn_on_and_off(traces: TracerProvider, metrics: MeterProvider, logs: LoggerProvider) -> None:
    """Instrument with providers and with a configuration."""
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument()
    instrumentor.instrument(tracer_provider=traces, meter_provider=metrics, logger_provider=logs)
    instrumentor.instrument(config=StreamConfig())
    instrumentor.uninstrument()
    required: list[str] = list(instrumentor.instrumentation_dependencies())
    print(required)


def configure() -> StreamConfig:
    """Create a configuration, whose fields are typed and read-only."""
    config = StreamConfig(span="auto", event_budget=96, stall_thresholds=(10.0, 30.0))
    budget: int = config.event_budget
    thresholds: tuple[float, ...] = config.stall_thresholds
    print(budget, thresholds)
    StreamConfig(event_budget="many")  # type: ignore[arg-type]  # a number, not a text
    StreamConfig(no_such_setting=True)  # type: ignore[call-arg]  # a misspelt setting is a type error
    config.event_budget = 1  # type: ignore[misc]  # frozen
    return config


def retry(instrumentor: ClaudeStreamInstrumentor) -> RetryPolicy:
    """Set a retry policy for the process and for single calls."""
    policy = RetryPolicy(
        mode=Mode.RETRY,
        limits=RetryLimits(max_attempts=2, deadline=60.0),
        rules=(Rule(reasons=frozenset({AbortReason.TRUNCATED}), retry=False),),
    )
    RetryPolicy(mode="often")  # type: ignore[arg-type]  # one of a closed set
    instrumentor.instrument(retry_policy=policy)
    instrumentor.instrument(retry_policy={"mode": "retry"})
    with no_retry(), retry_policy("batch"), retry_policy({"limits": {"deadline": "20s"}}):
        pass
    retry_policy(3)  # type: ignore[arg-type]  # neither a policy nor a name

    @retry_policy(policy)
    def ask(question: str) -> int:
        return len(question)

    with stream_labels(tenant="a", feature=None):
        pass
    stream_labels(tenant=7)  # type: ignore[arg-type]  # a text
    answer: int = ask("How are you?")
    ask(3)  # type: ignore[arg-type]  # the decorator keeps the signature
    print(answer)
    return policy


def page_someone(reason: AbortReason) -> bool:
    """Use an abort reason, which is a member of a closed set of strings."""
    text: str = reason.value
    print(text, AbortReason("silent") is AbortReason.SILENT)
    return reason in {AbortReason.OVERLOADED, AbortReason.TRUNCATED}


def use_the_test_kit() -> list[Request]:
    """Change a script and serve it."""
    whole: Script = Script.message("Hello, world!")
    broken: Script = whole.cut_after(5)
    again: Script = Script.from_json(broken.to_json())
    with FakeAPI({"greeting": [Script.http_error(529), again]}) as api:
        url: str = api.url_for("greeting")
        print(url)
        return api.requests
