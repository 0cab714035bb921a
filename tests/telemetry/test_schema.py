"""The package emits exactly what the schema declares."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import pytest
from opentelemetry import baggage, context
from tests.support.feeds import SESSION, THREAD, error, feed, read_feed, thread_ended
from tests.support.rig import API, REQUEST, WAYS, instrumented, play, read
from tests.support.scenes import BUSY, MESSAGE, SCENES

from otel_claude_stream import _guard, stream_labels
from otel_claude_stream._core.retry.policy import Budget, Concurrency, Mode, RetryPolicy, Scope
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry import schema
from otel_claude_stream.testing import Error, Event, Pause, Reset, Script

TYPES = {
    "string": str,
    "int": int,
    "double": float,
    "boolean": bool,
}
SPANS = {spec.name.partition("{")[0]: spec for spec in schema.SPANS}
EVENTS = {name: spec for spec in schema.EVENTS for name in (spec.name, spec.name_0_1) if name}
METRICS = {name: spec for spec in schema.METRICS for name in (spec.name, spec.name_0_1) if name}
IN_CONVERSATION = baggage.set_baggage("gen_ai.conversation.id", "conv_1")
LABELLED = stream_labels(tenant="a")
KINDS = {
    "counter": ("sum", True),
    "histogram": ("histogram", None),
    "observable_updowncounter": ("sum", False),
    "observable_gauge": ("gauge", None),
}


@dataclass
class Emitted:
    """Everything that was emitted, with all values of each pair of owner and attribute."""

    values: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    kinds: set = field(default_factory=set)

    def add(self, owner, attributes):
        self.kinds.add(owner)
        for name, value in attributes.items():
            declared = a.LABEL.name if name.startswith(a.LABEL_PREFIX) else name
            self.values.setdefault((owner, declared), []).append(value)

    def add_capture(self, capture):
        for span in capture.spans():
            name = next(prefix for prefix in SPANS if span["name"].startswith(prefix) and prefix)
            assert span["kind"] == SPANS[name].kind
            self.add(SPANS[name].name, span["attributes"])
            for event in span["events"]:
                self.add(event_name(event["name"]), event["attributes"])
        for log in capture.logs():
            self.add(event_name(log["event_name"]), log["attributes"])
        for name, metric in capture.metrics().items():
            self.metrics[name] = metric
            for point in metric["points"]:
                self.add(name, point["attributes"])


def event_name(name):
    return name if name in EVENTS else schema.UNKNOWN.name


@pytest.fixture(scope="module")
def emitted():
    """Everything that the scenes emit, with all settings that change names."""
    found = Emitted()
    monkeypatch = pytest.MonkeyPatch()
    with LABELLED:
        add_all(monkeypatch, found)
    return found


def add_all(monkeypatch, found):
    """Add what each scene emits."""
    for name, scene in SCENES.items():
        for way in WAYS if name == "text" else [scene.way]:
            found.add_capture(play(monkeypatch, scene, way, events="both"))
    found.add_capture(play(monkeypatch, SCENES["text"], semconv="both", gaps="both", events="log"))
    found.add_capture(play(monkeypatch, SCENES["sse error"], semconv="both", events="log"))
    for scene in ("parameters", "reasoning", "compacted"):
        found.add_capture(play(monkeypatch, SCENES[scene], semconv="both"))
    by_label = RetryPolicy(mode=Mode.RETRY, budget=Budget(scope=Scope.HOST_MODEL_LABEL))
    found.add_capture(play(monkeypatch, SCENES["text"], retry_policy=by_label))
    add_other_owner(monkeypatch, found)
    add_limited(monkeypatch, found)
    add_feeds(monkeypatch, found)
    add_open_streams_and_internal_errors(monkeypatch, found)


def add_other_owner(monkeypatch, found):
    """Add streams whose `chat` span is recorded by another instrumentation."""
    for name in (
        "text",
        "sse error",
        "retried",
        "rate limited",
        "cut after silence",
        "resumed",
        "sent to a fallback model",
        "fallback",
        "compacted",
        "long thought",
    ):
        scene = SCENES[name]
        api = API(scene.scripts)
        with instrumented(monkeypatch, api.clock, **scene.settings) as capture:
            token = context.attach(context.set_value("suppress_language_model_instrumentation", True, IN_CONVERSATION))
            read(api, **scene.request)
            context.detach(token)
            found.add_capture(capture)


def add_limited(monkeypatch, found):
    """Add streams under a limit on open requests, one of which gets no permit or would wait, with each kind of span."""
    for mode in (Mode.RETRY, Mode.OBSERVE):
        for other_owner in (False, True):
            api = API(MESSAGE)
            policy = RetryPolicy(mode=mode, concurrency=Concurrency(max=1, scope=Scope.HOST_MODEL_LABEL))
            with instrumented(monkeypatch, api.clock, retry_policy=policy) as capture:
                key = "suppress_language_model_instrumentation"
                token = context.attach(context.set_value(key, other_owner, IN_CONVERSATION))
                with api.client().messages.create(stream=True, **REQUEST):
                    read(api)
                context.detach(token)
                found.add_capture(capture)


def add_feeds(monkeypatch, found):
    """Add connections to feeds with every kind of end."""
    api = API(
        (
            replace(feed(Pause(1), error()), headers=(("server", "nginx"),)),
            feed(*(Event(f"x{number}", {}) for number in range(99)), Error()),
            feed(thread_ended(), Reset()),
            BUSY,
            feed(Reset()),
            Script.nginx_error(504),
            Script.http_error(429, headers=[("retry-after", "2")]),
        )
    )
    with instrumented(monkeypatch, api.clock, feeds=True) as capture:
        token = context.attach(IN_CONVERSATION)
        for path in (SESSION, SESSION, THREAD, SESSION, SESSION, SESSION):
            with contextlib.suppress(Exception):
                read_feed(api.client(max_retries=int(api.requests == 3)), path)
        context.detach(token)
        found.add_capture(capture)


def add_open_streams_and_internal_errors(monkeypatch, found):
    """Add the metrics of an open stream, and an internal error."""
    api = API(MESSAGE)
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    with instrumented(monkeypatch, api.clock) as capture:
        token = context.attach(IN_CONVERSATION)
        read(api, each=lambda _: capture.metrics())
        context.detach(token)
        _guard.report("test", ValueError())
        found.add_capture(capture)


def has_declared_type(value, spec):
    if spec.type == "string[]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if spec.type == "int[]":
        return isinstance(value, list) and all(type(item) is int for item in value)
    if spec.type == "double" and isinstance(value, int) and not isinstance(value, bool):
        return False
    return type(value) is TYPES[spec.type]


def test_everything_emitted_is_declared(emitted):
    """Attributes are compared by name, type and closed set of values."""
    declared = {
        **{spec.name: spec for spec in schema.SPANS},
        **EVENTS,
        **METRICS,
    }
    wrong = []
    for (owner, name), values in emitted.values.items():
        found = [spec for spec in declared[owner].attributes if spec.name == name]
        if not found:
            wrong.append(f"{owner}: {name} is not declared")
            continue
        (spec,) = found
        wrong += [f"{owner}: {name}={value!r}" for value in values if not has_declared_type(value, spec)]
        wrong += [f"{owner}: {name}={value!r}" for value in values if spec.values and value not in spec.values]
    assert sorted(set(wrong)) == []


def test_metrics_have_the_declared_kind_unit_and_description(emitted):
    for name, metric in emitted.metrics.items():
        spec = METRICS[name]
        assert (metric["kind"], metric.get("monotonic")) == KINDS[spec.kind], name
        assert (metric["unit"], metric["scope"]) == (spec.unit, "otel_claude_stream"), name
        assert metric["description"] == spec.doc


def test_every_declared_span_event_and_metric_is_emitted(emitted):
    declared = {spec.name for spec in (*schema.SPANS, *schema.EVENTS)} | set(METRICS)
    assert declared - emitted.kinds == set()


NOT_EMITTED = {
    # A span `claude.stream {model}` has these only if its stream ends in the right way. The scenes for such ends are
    # played with a `chat` span, which has them.
    *(
        (schema.STREAM_SPAN.name, spec.name)
        for spec in (
            a.ALSO_POSSIBLE, a.ABORT_ERRNO, a.ERROR_BODY, a.FAULT_AFTER_STOP, a.MISSING_MESSAGE_STOP, a.INTERMEDIARY,
            a.EVENT_DROPPED,
        )
    ),
}  # fmt: skip
"""Declared attributes that no scene causes, and why."""


def test_every_declared_attribute_is_emitted(emitted):
    declared = {
        (owner, spec.name)
        for owner, attributes in (
            *((spec.name, spec.attributes) for spec in (*schema.SPANS, *schema.EVENTS)),
            *((name, spec.attributes) for name, spec in METRICS.items()),
        )
        for spec in attributes
    }
    assert declared - set(emitted.values) == NOT_EMITTED


def test_names_begin_with_a_prefix_of_this_package_or_of_opentelemetry():
    """OpenTelemetry has `gen_ai.`, `error.`, `server.` and `http.`. The prefix `anthropic.` belongs to the vendor."""
    names = {spec.name for owner in (*schema.SPANS, *schema.EVENTS, *schema.METRICS) for spec in owner.attributes}
    names |= set(METRICS) | set(EVENTS)
    others = {name for name in names if not name.startswith(("claude.stream.", "gen_ai.", "server.", "http."))}
    assert others == {"error.type", "exception.type"}


def test_no_metric_has_an_id_or_an_index(emitted):
    """The cardinality of metrics is bounded."""
    for name, spec in METRICS.items():
        assert not [x.name for x in spec.attributes if x.name.endswith(("id", "index"))], name
