"""Make two test streams, from a fake API through the SDK, the hooks and the user's providers to a receiver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from otel_claude_stream._config import StreamConfig, load
from otel_claude_stream._sdk.attach.hooks import HOOKS
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.cli.doctor.arrived import Arrived
from otel_claude_stream.cli.doctor.export import default_exporter_is_missing
from otel_claude_stream.cli.doctor.findings import Finding, Level, Section, error, note, ok, warning
from otel_claude_stream.cli.doctor.packages import anthropic, others, version_of
from otel_claude_stream.cli.doctor.probe import Probe, probe
from otel_claude_stream.cli.doctor.settings import POLICY
from otel_claude_stream.cli.doctor.targets import CONFIG_FILES, HTTP, PREFIX
from otel_claude_stream.cli.errors import CommandError, check_installed
from otel_claude_stream.cli.otlp.receive import Receiver
from otel_claude_stream.cli.process import auto_instrumented, discard_line
from otel_claude_stream.cli.view import formatting
from otel_claude_stream.testing import CutMidChunk, FakeAPI, Script

ANSWER: Final = Script.message("All is well.", gap=0.005, input_tokens=5, output_tokens=4)
BROKEN: Final = ANSWER.cut_after(5, CutMidChunk())
OWNERS: Final = {
    "self": "the chat span of a call is the stream's span",
    "sdk": "the SDK's tracing owns the chat span; the claude.stream span is its parent and has no usage",
    "other": "another instrumentation owns the chat span; the claude.stream span is its child and has no usage",
}


ALL_SAMPLED: Final = ("AlwaysOn", "ParentBased{root:AlwaysOn")
"""Beginnings of the descriptions of samplers that record each trace."""
UNKNOWN_SERVICE: Final = "unknown_service"


def test_stream(environ: Mapping[str, str], declared: Mapping[str, object]) -> list[Section]:
    """Report on the hooks, the owner of the chat span, and the test streams.

    ``declared`` is the section of a declarative configuration file.
    """
    section = {name: value for name, value in declared.items() if name != POLICY}
    config, _ = load(environ, section)
    if reason := _impossible(environ, config):
        return [Section("Test stream", (reason,))]
    env = {**environ, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    env.pop("OTEL_TRACES_SAMPLER", None)  # these two streams must be sampled
    notes = []
    if default_exporter_is_missing(environ):
        env[f"{PREFIX}PROTOCOL"] = HTTP
        notes.append(note(f"made with {PREFIX}PROTOCOL={HTTP}, since the exporter for grpc is not installed"))
    arrived = Arrived()
    started = time.monotonic()
    with (
        Receiver(arrived.add_message, discard_line) as receiver,
        FakeAPI({"answer": ANSWER, "broken": BROKEN}) as api,
    ):
        urls = [receiver.url, api.url_for("answer"), api.url_for("broken")]
        found = probe(env, urls, auto_instrumented([]))
    took = formatting.seconds(time.monotonic() - started)
    streams = _streams(found, arrived, config, environ)
    return [
        Section("Hooks", tuple(_hooks(found))),
        Section("Chat span", (*_owner(arrived, environ), *others())),
        Section("Test stream", (*notes, *streams, note(f"the test took {took}"))),
    ]


def _impossible(environ: Mapping[str, str], config: StreamConfig) -> Finding | None:
    """Return why no test stream is made, None if it can be."""
    version = version_of("anthropic")
    if version is not None and anthropic(version).level is Level.ERROR:
        return note(f"not made, since anthropic {version} is not supported")
    try:
        check_installed()
    except CommandError as failure:
        return error(f"the test stream is not possible: {str(failure).splitlines()[0]}")
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return note("not made, since OTEL_SDK_DISABLED=true")
    if not config.enabled:
        return note("not made, since the instrumentation is not enabled")
    return None


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


def _owner(arrived: Arrived, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Report which scopes recorded chat spans with tokens."""
    views = arrived.streams.snapshot().views
    scopes = sorted(arrived.chat_scopes)
    if not views:
        yield note("its owner is not known, since no stream arrived")
    elif len(scopes) > 1:
        yield warning(
            f"each call has {len(scopes)} chat spans with tokens, by {' and '.join(scopes)}: tokens are counted twice",
            "OTEL_CLAUDE_STREAM_SPAN=auto, or switch the other instrumentation off (that of the SDK with "
            "ANTHROPIC_OPEN_TELEMETRY=false)",
        )
    elif not scopes:
        yield warning("no chat span with tokens arrived: tokens are not counted", "OTEL_CLAUDE_STREAM_SPAN=always")
    else:
        owner = views[0].text(a.SPAN_OWNER)
        yield ok(f"{OWNERS.get(owner, owner or 'its owner is not recorded')} (recorded by {scopes[0]})")
    if environ.get("ANTHROPIC_OPEN_TELEMETRY", "").strip().lower() == "false":
        yield note("ANTHROPIC_OPEN_TELEMETRY=false: the SDK's tracing is off")


def _streams(found: Probe, arrived: Arrived, config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
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
    yield from _spans(found, arrived, config, environ)
    yield from _events(arrived, config, environ)
    yield from _metrics(arrived, config, environ)
    yield from _service(found)
    if owners := ", ".join(found.unreleased_locks):
        yield note(
            f"a child that is forked while a thread holds a lock of {owners} records nothing",
            "fork before streams are read, or create the providers in the child",
        )
    if errors := arrived.streams.snapshot().internal_errors:
        yield warning(f"the instrumentation counted {errors} internal errors", "please report them")


def _spans(found: Probe, arrived: Arrived, config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    views = arrived.streams.snapshot().views
    by_outcome = {view.outcome: view for view in views}
    whole, broken = by_outcome.get("completed"), by_outcome.get("failed")
    if whole is not None and broken is not None:
        first = formatting.seconds(whole.ttft)
        yield ok(
            f"a complete answer arrived as completed: {whole.text(a.EVENT_COUNT)} events, first token after {first}"
        )
        yield ok(f"a connection cut on purpose arrived as {broken.outcome}: {formatting.readable(broken.reason)}")
    elif config.span == "off":
        yield note("OTEL_CLAUDE_STREAM_SPAN=off: no spans")
    elif _not_exported("TRACES", environ):
        yield note("no span reached an exporter, since OTEL_TRACES_EXPORTER=none")
    elif found.sampler and not found.sampler.startswith(ALL_SAMPLED):
        yield warning(f"{len(views)} of 2 streams have a span, by the sampler {found.sampler}; metrics count them all")
    else:
        stderr = f"; the last lines of the program:\n{found.stderr}" if found.stderr else ""
        yield error(
            f"{len(views)} of 2 streams reached an exporter of spans, or with another outcome{stderr}",
            _remedy("tracer_provider", "OTEL_TRACES_EXPORTER=otlp", environ),
        )


def _events(arrived: Arrived, config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Report whether the events reached the signals that the setting ``events`` names."""
    if config.events in ("span", "both") and arrived.streams.snapshot().views:
        if arrived.span_events:
            yield ok("their events arrived on the spans")
        else:
            yield error(
                f"events={config.events}, but the spans arrived without events", "raise OTEL_SPAN_EVENT_COUNT_LIMIT"
            )
    if config.events in ("log", "both"):
        if arrived.log_events:
            yield ok("their events arrived as log records")
        else:
            yield error(
                f"events={config.events}, but no log record of the streams reached an exporter: "
                + ("every event is lost" if config.events == "log" else "the events are on the spans only"),
                _remedy("logger_provider", "OTEL_LOGS_EXPORTER=otlp", environ) + ", or set events to span",
            )


def _metrics(arrived: Arrived, config: StreamConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    missing = {schema.DURATION.name, schema.ABORTS.name} - arrived.metrics
    if not missing:
        yield ok(f"their metrics arrived ({len(arrived.metrics)} instruments)")
    elif not config.metrics:
        yield note("OTEL_CLAUDE_STREAM_METRICS=false: no metrics")
    elif _not_exported("METRICS", environ):
        yield note("no metric reached an exporter, since OTEL_METRICS_EXPORTER=none")
    else:
        yield error(
            f"metrics reached no exporter: {', '.join(sorted(missing))}",
            _remedy("meter_provider", "OTEL_METRICS_EXPORTER=otlp", environ),
        )


def _service(found: Probe) -> Iterator[Finding]:
    if found.service_name.startswith(UNKNOWN_SERVICE):
        yield warning(
            f"service.name is not set: telemetry is recorded as {found.service_name}, like that of other services",
            "OTEL_SERVICE_NAME=your-service",
        )


def _config_file(environ: Mapping[str, str]) -> str:
    return next((path for name in CONFIG_FILES if (path := environ.get(name, "").strip())), "")


def _not_exported(signal: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable switches the exporters of a signal off, which the section of exporters reports."""
    return not _config_file(environ) and environ.get(f"OTEL_{signal}_EXPORTER", "").strip() == "none"


def _remedy(provider: str, variable: str, environ: Mapping[str, str]) -> str:
    """Return how to configure an exporter for a signal."""
    path = _config_file(environ)
    return f"add a {provider} with an exporter to {path}" if path else variable
