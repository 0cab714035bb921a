"""Instrument the SDK with this package and with others, read streams, uninstrument, and print the telemetry as JSON.

The first argument is a list of the other packages, separated by commas. Each further argument, `first` or `last`, is
a round, and gives the position of this package in the order of instrumentation.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable

logging.basicConfig(level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")

import anthropic  # noqa: E402 - after the configuration of logging
from opentelemetry import metrics, trace  # noqa: E402
from opentelemetry.sdk.metrics import Histogram, MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

from otel_claude_stream import ClaudeStreamInstrumentor  # noqa: E402

CALL = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello?"}]}
Undo = Callable[[], object]


def genai() -> Undo:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor

    return instrumented(AnthropicInstrumentor())


def openllmetry() -> Undo:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    return instrumented(AnthropicInstrumentor())


def openinference() -> Undo:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    return instrumented(AnthropicInstrumentor())


def httpx() -> Undo:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    return instrumented(HTTPXClientInstrumentor())


def logfire(**settings: bool) -> Undo:
    import logfire

    context = logfire.instrument_anthropic(**settings)
    context.__enter__()
    return lambda: context.__exit__(None, None, None)


def logfire_open() -> Undo:
    return logfire(suppress_other_instrumentation=False)


def native() -> Undo:
    return lambda: None


def ours() -> Undo:
    return instrumented(ClaudeStreamInstrumentor())


def instrumented(instrumentor) -> Undo:
    instrumentor.instrument()
    return instrumentor.uninstrument


def set_up(names: list[str]) -> tuple[InMemorySpanExporter, InMemoryMetricReader]:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader({Histogram: AggregationTemporality.DELTA})
    if {"logfire", "logfire_open"} & set(names):  # Logfire sets providers
        import logfire

        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[SimpleSpanProcessor(spans)],
            metrics=logfire.MetricsOptions(additional_readers=[reader]),
        )
    else:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


async def read_async() -> str:
    async with anthropic.AsyncAnthropic(max_retries=0) as client, client.messages.stream(**CALL) as stream:
        return await stream.get_final_text()


async def create_async() -> str:
    async with anthropic.AsyncAnthropic(max_retries=0) as client:
        events = [event async for event in await client.messages.create(stream=True, **CALL)]
    return text_of(events)


def text_of(events: list) -> str:
    return "".join(event.delta.text for event in events if event.type == "content_block_delta")


def read() -> list[str]:
    with anthropic.Anthropic(max_retries=0) as client:
        with client.messages.stream(**CALL) as stream:
            texts = ["".join(stream.text_stream)]
        texts.append(text_of(list(client.messages.create(stream=True, **CALL))))
    return [*texts, asyncio.run(read_async()), asyncio.run(create_async())]


def recorded_telemetry(spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> dict:
    finished = spans.get_finished_spans()
    scopes = {span.context.span_id: span.instrumentation_scope.name for span in finished}
    spans.clear()
    data = reader.get_metrics_data()
    points = [
        (scope.scope.name, metric.name, point.count if hasattr(point, "count") else point.value)
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    return {
        "spans": [
            {
                "scope": span.instrumentation_scope.name,
                "name": span.name,
                "kind": span.kind.name,
                "parent": scopes.get(span.parent.span_id, "?") if span.parent is not None else "",
                "events": [event.name for event in span.events],
                "operation": (span.attributes or {}).get("gen_ai.operation.name"),
                "tokens": (span.attributes or {}).get("gen_ai.usage.output_tokens"),
                "outcome": (span.attributes or {}).get("claude.stream.outcome"),
                "owner": (span.attributes or {}).get("claude.stream.span_owner"),
            }
            for span in finished
        ],
        "metrics": points,
    }


def one_round(names: list[str], when: str, spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> dict:
    order = ["ours", *names] if when == "first" else [*names, "ours"]
    undo = {name: globals()[name]() for name in order}
    found = {"texts": read(), "with": recorded_telemetry(spans, reader)}
    position = order.index("ours")  # in the order of instrumentation, as the first one is innermost
    for name in order[: position + 1]:
        undo[name]()
    found |= {"texts without us": read(), "without us": recorded_telemetry(spans, reader)}
    for name in order[position + 1 :]:
        undo[name]()
    undo_again = ours()
    found |= {"texts again": read(), "again": recorded_telemetry(spans, reader)}
    undo_again()
    return found


def main() -> None:
    names = sys.argv[1].split(",")
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "true" if "native" in names else "false"
    spans, reader = set_up(names)
    print(json.dumps({when: one_round(names, when, spans, reader) for when in sys.argv[2:]}))


if __name__ == "__main__":
    main()
