"""The doctor's test: two streams from the built-in fake API, through the SDK, our hooks and a real export, to us."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from otel_claude_stream._config import StreamConfig, load
from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli import otlp, words
from otel_claude_stream.cli.child import instrumented
from otel_claude_stream.cli.doctor_findings import Finding, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor_packages import others
from otel_claude_stream.cli.doctor_probe import Probe, probe
from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.receiver import Message, Receiver, to_all
from otel_claude_stream.cli.run_env import environment
from otel_claude_stream.cli.telemetry import Snapshot, Telemetry
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

ANSWER: Final = Script.message("All is well.", gap=0.005, input_tokens=5, output_tokens=4)
BROKEN: Final = ANSWER.cut_after(5, CutMidChunk())
OWNERS: Final = {
    "self": "nobody else has the chat span of a call: ours is it",
    "sdk": "the SDK's own tracing has the chat span; ours is a claude.stream around it and repeats no usage",
    "other": "another instrumentation has the chat span; ours is a claude.stream in it and repeats no usage",
}


def test_stream(environ: Mapping[str, str]) -> list[Section]:
    """Sections on the hooks, the owner of the chat span, and the test itself."""
    try:
        check_installed()
    except CommandError as failure:
        return [Section("Test stream", (error(f"it cannot be made: {str(failure).splitlines()[0]}"),))]
    telemetry, metrics = Telemetry(), set[str]()

    def names(message: Message) -> None:
        if message.signal == "metrics":
            metrics.update(_metric_names(message.document))

    started = time.monotonic()
    with (
        Receiver(to_all((telemetry.add, names)), lambda _why: None) as receiver,
        FakeAPI({"answer": ANSWER, "broken": BROKEN}) as api,
    ):
        given = environment(environ, receiver.url, ["doctor"], detail=False).variables
        given.pop("OTEL_TRACES_SAMPLER", None)  # whether these two are sampled is not the question
        given |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        found = probe(given, [api.url_for("answer"), api.url_for("broken")], instrumented([]))
    took = time.monotonic() - started
    config, _ = load(environ)
    snapshot = telemetry.snapshot()
    return [
        Section("Hooks", tuple(_hooks(found))),
        Section("Chat span", (*_owner(snapshot, environ), *others())),
        Section("Test stream", tuple(_chain(found, snapshot, metrics, took, config))),
    ]


def _hooks(found: Probe) -> Iterator[Finding]:
    if found.hooks == len(HOOKS):
        yield ok(f"all {len(HOOKS)} hooks fit this anthropic version")
    elif found.unplaced:
        yield (warning if found.hooks else error)(
            f"{found.hooks} of {len(HOOKS)} hooks are in place; missing: {', '.join(found.unplaced)}",
            "what these tell will be missing; please report it with the version of anthropic",
        )
    else:
        yield error("it is not known whether the hooks fit: the test below failed before")


def _owner(snapshot: Snapshot, environ: Mapping[str, str]) -> Iterator[Finding]:
    if not snapshot.views:
        yield note("who has it is not known: no stream came")
        return
    owner = snapshot.views[0].text(a.SPAN_OWNER)
    yield ok(OWNERS.get(owner, f"it belongs to {owner or 'nobody, says the stream'}"))
    if environ.get("ANTHROPIC_OPEN_TELEMETRY", "").strip().lower() == "false":
        yield note("ANTHROPIC_OPEN_TELEMETRY=false: the SDK's own tracing is off")


def _chain(found: Probe, snapshot: Snapshot, metrics: set[str], took: float, config: StreamConfig) -> Iterator[Finding]:
    """What came of the two streams, at the end of the chain."""
    if found.failure:
        yield error(f"the program that makes it failed: {found.failure}")
    if not found.active:
        yield error(
            "opentelemetry-instrument did not instrument it" + (f"; it said:\n{found.said}" if found.said else ""),
            "see the sections above for what keeps it from that",
        )
        return
    by_outcome = {view.outcome: view for view in snapshot.views}
    whole, broken = by_outcome.get("completed"), by_outcome.get("failed")
    if config.span == "off":
        yield note("no spans, as OTEL_CLAUDE_STREAM_SPAN says")
    elif whole is None or broken is None:
        said = f"; it said:\n{found.said}" if found.said else ""
        yield error(f"{len(snapshot.views)} of 2 streams arrived as they should{said}")
    else:
        first = words.seconds(whole.ttft)
        events = whole.text(a.EVENT_COUNT)
        yield ok(f"an answer arrived as completed: {events} events, first token after {first}, span and all")
        yield ok(f"a connection cut on purpose arrived as {broken.outcome}: {words.words(broken.reason)}")
    missing = {schema.DURATION.name, schema.ABORTS.name} - metrics
    if not missing:
        yield ok(f"its metrics arrived ({len(metrics)} instruments); {words.seconds(took)} in all")
    elif not config.metrics:
        yield note("no metrics, as OTEL_CLAUDE_STREAM_METRICS says")
    else:
        yield error(f"metrics are missing: {', '.join(sorted(missing))}")
    if snapshot.internal_errors:
        yield warning(
            f"the instrumentation counted {snapshot.internal_errors} failures of its own", "please report them"
        )


def _metric_names(document: otlp.Document) -> Iterator[str]:
    for resource_metrics in document.get("resourceMetrics", ()):
        for scope_metrics in resource_metrics.get("scopeMetrics", ()):
            yield from (metric.get("name", "") for metric in scope_metrics.get("metrics", ()))
