"""Make two test streams, from a fake API through the SDK, the hooks and an exporter to a receiver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from otel_claude_stream._config import StreamConfig, load
from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.doctor.findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor.packages import others
from otel_claude_stream.cli.doctor.probe import Probe, probe
from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.otlp.decode import Document
from otel_claude_stream.cli.otlp.environment import environment
from otel_claude_stream.cli.otlp.receive import Message, Receiver, fan_out
from otel_claude_stream.cli.process import auto_instrumented, discard_line
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.cli.view.telemetry import Snapshot, Telemetry
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

ANSWER: Final = Script.message("All is well.", gap=0.005, input_tokens=5, output_tokens=4)
BROKEN: Final = ANSWER.cut_after(5, CutMidChunk())
OWNERS: Final = {
    "self": "the chat span of a call is the stream's span",
    "sdk": "the SDK's tracing owns the chat span; the claude.stream span is its parent and has no usage",
    "other": "another instrumentation owns the chat span; the claude.stream span is its child and has no usage",
}


def test_stream(environ: Mapping[str, str]) -> list[Section]:
    """Report on the hooks, the owner of the chat span, and the test streams."""
    try:
        check_installed()
    except CommandError as failure:
        return [Section("Test stream", (error(f"the test stream is not possible: {str(failure).splitlines()[0]}"),))]
    telemetry, metrics = Telemetry(), set[str]()

    def names(message: Message) -> None:
        if message.signal == "metrics":
            metrics.update(_metric_names(message.document))

    started = time.monotonic()
    with (
        Receiver(fan_out((telemetry.add_message, names)), discard_line) as receiver,
        FakeAPI({"answer": ANSWER, "broken": BROKEN}) as api,
    ):
        env = environment(environ, receiver.url, ["doctor"], detail=False).variables
        env.pop("OTEL_TRACES_SAMPLER", None)  # these two streams must be sampled
        env |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        found = probe(env, [api.url_for("answer"), api.url_for("broken")], auto_instrumented([]))
    took = time.monotonic() - started
    config, _ = load(environ)
    snapshot = telemetry.snapshot()
    return [
        Section("Hooks", tuple(_hooks(found))),
        Section("Chat span", (*_owner(snapshot, environ), *others())),
        Section("Test stream", tuple(_streams(found, snapshot, metrics, took, config))),
    ]


def _hooks(found: Probe) -> Iterator[Finding]:
    if found.hooks == len(HOOKS):
        yield ok(f"all {len(HOOKS)} hooks fit this anthropic version")
    elif found.missing_hooks:
        yield (warning if found.hooks else error)(
            f"{found.hooks} of {len(HOOKS)} hooks are installed; missing: {', '.join(found.missing_hooks)}",
            "their telemetry will be missing; please report this with the version of anthropic",
        )
    else:
        yield error("the hooks could not be checked, since the test stream below failed")


def _owner(snapshot: Snapshot, environ: Mapping[str, str]) -> Iterator[Finding]:
    if not snapshot.views:
        yield note("its owner is not known, since no stream arrived")
        return
    owner = snapshot.views[0].text(a.SPAN_OWNER)
    yield ok(OWNERS.get(owner, f"its owner is {owner or 'not recorded'}"))
    if environ.get("ANTHROPIC_OPEN_TELEMETRY", "").strip().lower() == "false":
        yield note("ANTHROPIC_OPEN_TELEMETRY=false: the SDK's tracing is off")


def _streams(
    found: Probe, snapshot: Snapshot, metrics: set[str], took: float, config: StreamConfig
) -> Iterator[Finding]:
    """Yield findings about the telemetry of the two streams."""
    if found.failure:
        yield error(f"the program of the test stream failed: {found.failure}")
    if not found.active:
        yield error(
            "opentelemetry-instrument did not instrument the program"
            + (f"; its last lines:\n{found.stderr}" if found.stderr else ""),
            "see the sections above for the cause",
        )
        return
    by_outcome = {view.outcome: view for view in snapshot.views}
    whole, broken = by_outcome.get("completed"), by_outcome.get("failed")
    if config.span == "off":
        yield note("OTEL_CLAUDE_STREAM_SPAN=off: no spans")
    elif whole is None or broken is None:
        stderr = f"; the last lines of the program:\n{found.stderr}" if found.stderr else ""
        yield error(f"{len(snapshot.views)} of 2 streams arrived, or with another outcome{stderr}")
    else:
        first = formatting.seconds(whole.ttft)
        events = whole.text(a.EVENT_COUNT)
        yield ok(f"a complete answer arrived as completed: {events} events, first token after {first}")
        yield ok(f"a connection cut on purpose arrived as {broken.outcome}: {formatting.readable(broken.reason)}")
    missing = {schema.DURATION.name, schema.ABORTS.name} - metrics
    if not missing:
        yield ok(f"their metrics arrived ({len(metrics)} instruments); the test took {formatting.seconds(took)}")
    elif not config.metrics:
        yield note("OTEL_CLAUDE_STREAM_METRICS=false: no metrics")
    else:
        yield error(f"metrics are missing: {', '.join(sorted(missing))}")
    if snapshot.internal_errors:
        yield warning(f"the instrumentation counted {snapshot.internal_errors} internal errors", "please report them")


def _metric_names(document: Document) -> Iterator[str]:
    for resource_metrics in document.get("resourceMetrics", ()):
        for scope_metrics in resource_metrics.get("scopeMetrics", ()):
            yield from (metric.get("name", "") for metric in scope_metrics.get("metrics", ()))
