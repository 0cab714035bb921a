"""Content and credentials are removed from every output, whichever instrumentation recorded them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.support.collector import sending
from tests.support.collector.contents import CONTENT_KEYS, CREDENTIALS, KEPT_KEYS, MARKS, SECRET
from tests.support.collector.running import FILES, GATEWAY, PROMETHEUS, QUICK, eventually

from otel_claude_stream._telemetry import schema

pytestmark = pytest.mark.slow

TO_FILE = FILES / "to-file.yaml"
ALSO = (PROMETHEUS, FILES / "metrics-from-spans.yaml", FILES / "sdk-spans.yaml", TO_FILE)


def everything(collector, backend):
    """Everything that left the Collector, and its log, as one text."""
    scraped = "\n".join(collector.scraped()) if PROMETHEUS in collector.configs else ""
    file = Path(collector.settings["OTELCOL_FILE"])
    written = file.read_text() if TO_FILE in collector.configs else ""
    assert bool(written) == (TO_FILE in collector.configs)
    return backend.text() + scraped + written + collector.output()


def test_content_keys_are_deleted_from_spans_events_and_logs(start, backend):
    """The values are texts, lists and maps."""
    collector = start(GATEWAY, *ALSO, **QUICK)
    content = {}
    for index, key in enumerate(CONTENT_KEYS):
        content[key] = (SECRET, [SECRET], {"role": "user", "parts": [{"content": SECRET}]})[index % 3]
    kept = dict.fromkeys(KEPT_KEYS, "kept")
    span = sending.span(events=[sending.event("gen_ai.content.prompt", **content, **kept)], **content, **kept)
    without_events = sending.span(**content, **kept)
    sending.send(collector.url, "traces", sending.traces(span, without_events))
    sending.send(collector.url, "logs", sending.logs(sending.record("a line", **content, **kept)))

    arrived, alone = sorted(backend.wait_for_spans(2), key=lambda found: "events" not in found)
    assert set(sending.plain(alone["attributes"])) == set(KEPT_KEYS)
    eventually(backend.logs)
    (logged,) = backend.logs()
    assert set(sending.plain(arrived["attributes"])) == set(KEPT_KEYS)
    assert set(sending.plain(arrived["events"][0]["attributes"])) == set(KEPT_KEYS)
    assert set(sending.plain(logged["attributes"])) == set(KEPT_KEYS)
    assert "Rumpelstiltskin" not in everything(collector, backend)


def test_bodies_of_genai_events_are_emptied(start, backend):
    """The event is recognised by its name. In the bodies of other logs, fields named like content are deleted."""
    collector = start(GATEWAY, **QUICK)
    records = [
        sending.record({"role": "user", "content": SECRET}, name="gen_ai.user.message"),
        sending.record(SECRET, name="gen_ai.client.inference.operation.details"),
        sending.record({"message": {"content": SECRET}}, event__name="gen_ai.choice"),
        sending.record({"messages": [SECRET], "prompt": SECRET, "status": 200}),
        sending.record("disk is full"),
    ]
    sending.send(collector.url, "logs", sending.logs(*records))
    assert eventually(lambda: len(backend.logs()) == len(records))
    bodies = [record["body"] for record in backend.logs()]
    assert bodies[:3] == [{"stringValue": ""}] * 3
    assert bodies[3:] == [sending.value({"status": 200}), sending.value("disk is full")]
    assert "Rumpelstiltskin" not in everything(collector, backend)


def test_credentials_are_masked_wherever_they_stand(start, backend):
    """They are planted in names, status messages, attributes of every level and type, bodies and data points."""
    collector = start(GATEWAY, *ALSO, **QUICK)
    planted = list(CREDENTIALS.values())
    strings = {
        f"{prefix}.{name}": f"before {credential} after"
        for prefix in ("app", "claude.stream")
        for name, credential in CREDENTIALS.items()
    }
    other = {"list": planted, "map": {"deep": {"deeper": planted}}}
    resource = {"service.name": "sender", "process.command_line": f"app --key {CREDENTIALS['Anthropic']}", **strings}
    key = CREDENTIALS["Anthropic"]
    spans = [
        sending.span(
            f"chat {credential}",
            status=sending.ERROR,
            message=f"refused: {credential}",
            events=[sending.event(f"event {credential}", **strings, **other)],
            **strings,
            **other,
        )
        for credential in planted
    ]
    spans.append(sending.span(f"chat without events {key}", status=sending.ERROR, message=f"refused: {key}"))
    sending.send(collector.url, "traces", sending.traces(*spans, resource=resource))
    sending.send(
        collector.url,
        "logs",
        sending.logs(
            *(sending.record(f"calling with {credential}") for credential in planted),
            sending.record({"headers": {"x-api-key": key}, "list": planted}, **strings, **other),
            resource=resource,
        ),
    )
    named = sending.point(1, gen_ai__request__model=key, gen_ai__response__model=f"x {key}", server__address=key)
    filtered = sending.attributes(strings)
    named["exemplars"] = [{"timeUnixNano": named["timeUnixNano"], "asInt": "1", "filteredAttributes": filtered}]
    sending.send(
        collector.url,
        "metrics",
        sending.metrics(
            sending.counter("claude.stream.aborts", named), sending.gauge("theirs", named), resource=resource
        ),
    )
    backend.wait_for_spans(len(spans))
    assert eventually(lambda: len(backend.logs()) == len(planted) + 1 and len(backend.points()) >= 2)
    output = everything(collector, backend)
    assert [mark for mark in MARKS if mark in output] == []
    assert '"name": "chat ****"' in output


def test_every_attribute_of_the_schema_passes_unchanged(start, backend):
    collector = start(GATEWAY, **QUICK)
    values = {"string": "plain", "int": 7, "double": 1.5, "boolean": True, "string[]": ["one", "two"], "int[]": [1, 2]}
    sent = {a.name: values[a.type] for span in schema.SPANS for a in span.attributes}
    events = [
        sending.event(event.name, **{a.name: values[a.type] for a in event.attributes}) for event in schema.EVENTS
    ]
    sending.send(collector.url, "traces", sending.traces(sending.span(events=events, **sent)))
    (arrived,) = backend.wait_for_spans(1)
    found = {item["key"]: item["value"] for item in arrived["attributes"]}
    assert found.pop("sampling.keep") == {"stringValue": "aborted"}
    assert found == {name: sending.value(value) for name, value in sent.items()}
    assert [event.get("attributes", []) for event in arrived["events"]] == [event["attributes"] for event in events]


def test_content_is_deleted_by_the_same_patterns_from_events_spans_and_logs():
    """OTTL statements name their context in each path, so each pattern is written three times."""
    content = yaml.safe_load(GATEWAY.read_text())["processors"]["transform/content"]
    statements = [
        text for key in ("trace_statements", "log_statements") for group in content[key] for text in group["statements"]
    ]
    patterns = {
        name: [text.split('"')[1] for text in statements if text.startswith(f"delete_matching_keys({name}.attributes,")]
        for name in ("spanevent", "span", "log")
    }
    assert len(patterns["span"]) == 4
    assert patterns["spanevent"] == patterns["span"] == patterns["log"]


def test_both_processors_mask_by_the_same_pattern():
    """YAML cannot share a text between a list and an OTTL statement, so it is written several times."""
    processors = yaml.safe_load(GATEWAY.read_text())["processors"]
    (pattern,) = processors["redaction/secrets"]["blocked_values"]
    statements = [text for group in processors["transform/secrets"]["trace_statements"] for text in group["statements"]]
    assert {statement.split('"')[1].replace("\\\\", "\\") for statement in statements} == {pattern}
