"""Other instrumentations of the SDK or of a framework, each set up as its documentation shows, without a backend.

Each function gets the probe. Those marked with `_sets_providers` make the global providers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from probe import Probe

SetUp = Callable[[Probe], None]


def _sets_providers(set_up: SetUp) -> SetUp:
    set_up.sets_providers = True  # type: ignore[attr-defined]
    return set_up


def genai(probe: Probe) -> None:
    """OpenTelemetry's own instrumentation."""
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()


def openllmetry(probe: Probe) -> None:
    """Traceloop's."""
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()


def openinference(probe: Probe) -> None:
    """Arize Phoenix's."""
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()


@_sets_providers
def phoenix(probe: Probe) -> None:
    """Arize Phoenix with its own set-up of OpenTelemetry."""
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from phoenix.otel import TracerProvider, register

    provider: TracerProvider = register(endpoint="http://127.0.0.1:9/v1/traces", verbose=False)
    provider.add_span_processor(probe.span_processor, replace_default_processor=True)
    metrics.set_meter_provider(MeterProvider([probe.metric_reader], shutdown_on_exit=False))
    AnthropicInstrumentor().instrument(tracer_provider=provider)


def _configure_logfire(probe: Probe) -> Any:
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[probe.span_processor],
        metrics=logfire.MetricsOptions(additional_readers=[probe.metric_reader]),
    )
    return logfire


@_sets_providers
def logfire(probe: Probe) -> None:
    """Logfire's instrumentation of the SDK, which suppresses others by default."""
    _configure_logfire(probe).instrument_anthropic()


@_sets_providers
def logfire_open(probe: Probe) -> None:
    """Logfire's, asked not to suppress others."""
    _configure_logfire(probe).instrument_anthropic(suppress_other_instrumentation=False)


@_sets_providers
def logfire_pydantic_ai(probe: Probe) -> None:
    """Logfire's instrumentation of Pydantic AI."""
    _configure_logfire(probe).instrument_pydantic_ai()


def pydantic_ai_instrumented(probe: Probe) -> None:
    """Pydantic AI's own."""
    from pydantic_ai import Agent

    Agent.instrument_all()


def langfuse(probe: Probe) -> None:
    """Langfuse, around the SDK with OpenTelemetry's own instrumentation."""
    from langfuse import Langfuse
    from opentelemetry import trace

    langfuse = Langfuse(
        public_key="none",
        secret_key="none",
        base_url="http://127.0.0.1:9",
        tracer_provider=trace.get_tracer_provider(),
    )
    probe.around = partial(langfuse.start_as_current_observation, name="application")
    openinference(probe)


def sentry(probe: Probe) -> None:
    """Sentry with its integration of the SDK."""
    import sentry_sdk
    from sentry_sdk.integrations.anthropic import AnthropicIntegration

    def keep(transaction: Any, hint: Any) -> None:
        probe.other_spans.extend(span["op"] for span in transaction["spans"])

    sentry_sdk.init(
        dsn="http://none@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        integrations=[AnthropicIntegration()],
        # Otherwise Sentry imports every framework of this environment.
        auto_enabling_integrations=False,
        before_send_transaction=keep,
        before_send=lambda event, hint: None,
    )
    probe.around = partial(sentry_sdk.start_transaction, op="application", name="application")


def datadog(probe: Probe) -> None:
    """Datadog's tracer."""
    import ddtrace
    from ddtrace.trace import TraceFilter, tracer

    class Keep(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            probe.other_spans.extend(span.name for span in trace)

    tracer.configure(trace_processors=[Keep()])
    ddtrace.patch(anthropic=True)
