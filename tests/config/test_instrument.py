"""`instrument()` with settings. An invalid one is one error log and has no further effect."""

from __future__ import annotations

import logging

import pytest
from tests.support.rig import API, instrumented, read, shown
from tests.support.scenes import MESSAGE

from otel_claude_stream import ClaudeStreamInstrumentor, StreamConfig, _guard, _instrumentor


@pytest.fixture
def errors(caplog):
    """Return a function that returns the levels and messages of logged errors and warnings."""
    caplog.set_level(logging.WARNING, logger="otel_claude_stream")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def spans(monkeypatch, **settings):
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock, **settings) as capture:
        seen = read(api)
        assert (len(seen.events), seen.error) == (9, [])
        return [shown(span) for span in capture.spans()]


def test_valid_settings_log_nothing(monkeypatch, errors):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_DELTAS", "none")
    (span,) = spans(monkeypatch, events="both")
    assert ".content_block_delta" not in [name for _, name, _ in span["events"]]
    assert errors() == []


def test_an_invalid_setting_is_one_error_and_keeps_its_default(monkeypatch, errors):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_EVENTS", "spn")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_DELTA", "all")
    (span,) = spans(monkeypatch, max_models=0, colour="red", known_limits="soon")
    assert len(span["events"]) == 7
    expected = [
        (
            "environment: OTEL_CLAUDE_STREAM_DELTA='all' is not valid: no such setting; "
            "did you mean OTEL_CLAUDE_STREAM_DELTAS?"
        ),
        "instrument(): colour='red' is not valid: no such setting",
        (
            "environment: OTEL_CLAUDE_STREAM_EVENTS='spn' is not valid: allowed is span, log, both or none; "
            "did you mean span?"
        ),
        "instrument(): max_models='0' is not valid: allowed is a whole number from 1 to 1000",
        (
            "instrument(): known_limits='soon' is not valid: allowed is empty, a factor such as x0.5, or a list such "
            "as idle:2s=nginx,duration:3s=gateway"
        ),
    ]
    assert errors() == [("ERROR", f"otel-claude-stream: {line}") for line in expected]


def test_a_config_replaces_the_environment_and_an_argument_overrides_it(monkeypatch, errors):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_SPAN", "off")
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_NONSENSE", "1")
    (span,) = spans(monkeypatch, config=StreamConfig(events="none", deltas="all"), events="span")
    assert len(span["events"]) == 6 + 4
    assert errors() == []


OPTED_IN = ("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental")
DURATION, NEW_DURATION = "gen_ai.client.operation.duration", "gen_ai.client.inference.duration"


@pytest.mark.parametrize(
    ("variables", "arguments", "names"),
    [
        ({}, {}, {NEW_DURATION}),
        ({"OTEL_CLAUDE_STREAM_SEMCONV": "both"}, {}, {DURATION, NEW_DURATION}),
        ({"OTEL_CLAUDE_STREAM_SEMCONV": "1.41"}, {}, {DURATION}),
        ({}, {"semconv": "1.41"}, {DURATION}),
        ({}, {"declared": {"semconv": "1.41"}}, {DURATION}),
        ({}, {"declared": {"semconv": 1.41}}, {DURATION}),
        ({}, {"declared": {"events": "none"}}, {NEW_DURATION}),
        ({}, {"declared": {"semconv": "0.1"}, "semconv": "both"}, {DURATION, NEW_DURATION}),
        ({}, {"config": StreamConfig(semconv="1.41")}, {DURATION}),
        ({}, {"config": StreamConfig(), "semconv": "0.1"}, {NEW_DURATION}),
    ],
)
def test_the_opt_in_applies_if_no_source_sets_semconv(monkeypatch, errors, variables, arguments, names):
    for name, value in (OPTED_IN, *variables.items()):
        monkeypatch.setenv(name, value)
    api = API(MESSAGE)
    with instrumented(monkeypatch, api.clock, **arguments) as capture:
        read(api)
        assert {DURATION, NEW_DURATION} & set(capture.metrics()) == names
    assert errors() == []


def test_a_provider_of_the_wrong_type_does_not_affect_the_caller(monkeypatch, errors):
    """The stream is read, and the failure is logged once."""
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_STRICT", "")
    monkeypatch.setattr(_guard, "_counts", {})  # no failure was logged in this process
    api = API(MESSAGE)
    instrumentor = ClaudeStreamInstrumentor()
    instrumentor.instrument(tracer_provider="no provider", meter_provider=3)
    try:
        assert len(read(api).events) == 9
    finally:
        instrumentor.uninstrument()
    ((level, message),) = errors()
    assert level == "WARNING"
    assert message.startswith("otel-claude-stream failed in instrument; the application is not affected")


def test_disabled_by_the_environment_no_hooks_are_installed(monkeypatch, errors):
    monkeypatch.setenv("OTEL_CLAUDE_STREAM_ENABLED", "false")
    assert spans(monkeypatch) == []
    assert _instrumentor._hooks._installed == {}
    assert errors() == []
