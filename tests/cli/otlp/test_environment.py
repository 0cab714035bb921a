from __future__ import annotations

import pytest

from otel_claude_stream.cli.otlp.environment import DETAIL, environment, forward_target, service_name

URL = "http://127.0.0.1:1"
APP = ["python", "app.py"]


def made(*, detail: bool = False, **given: str) -> dict[str, str]:
    return environment(given, URL, APP, detail=detail).variables


def test_of_a_user_who_has_set_nothing() -> None:
    assert made(PATH="/bin", ANTHROPIC_API_KEY="sk-real") == {
        "PATH": "/bin",
        "ANTHROPIC_API_KEY": "sk-real",
        "OTEL_SERVICE_NAME": "app",
        "OTEL_PYTHON_DISTRO": "distro",
        "OTEL_PYTHON_CONFIGURATOR": "configurator",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": URL,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def test_what_the_user_has_set_holds() -> None:
    own = {
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_BSP_SCHEDULE_DELAY": "5000",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "OTEL_PYTHON_DISTRO": "other",
        "OTEL_CLAUDE_STREAM_DELTAS": "none",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }
    found = made(detail=True, **own)
    assert own.items() <= found.items()
    assert "OTEL_CLAUDE_STREAM_EVENT_BUDGET" not in found


def test_the_way_to_the_users_collector_is_ours_to_go() -> None:
    theirs = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate",
    }
    found = made(**theirs)
    assert {name: value for name, value in found.items() if "OTLP" in name} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": URL,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", "otlp"), ("none", "otlp"), ("console", "console,otlp"), ("otlp_proto_grpc, console", "console,otlp")],
)
def test_exporters(given: str, expected: str) -> None:
    assert made(OTEL_TRACES_EXPORTER=given)["OTEL_TRACES_EXPORTER"] == expected


def test_logs_come_if_the_events_are_there() -> None:
    assert made(OTEL_CLAUDE_STREAM_EVENTS="log")["OTEL_LOGS_EXPORTER"] == "otlp"
    assert made(OTEL_LOGS_EXPORTER="console")["OTEL_LOGS_EXPORTER"] == "console,otlp"


def test_a_picture_needs_each_delta() -> None:
    assert DETAIL.items() <= made(detail=True).items()
    assert not DETAIL.keys() & made().keys()


def test_proxies_are_not_asked_for_us() -> None:
    found = made(https_proxy="x", HTTP_PROXY="http://proxy", NO_PROXY="intern,localhost")
    assert (found["NO_PROXY"], found["no_proxy"]) == ("intern,localhost,127.0.0.1", "127.0.0.1,localhost")


@pytest.mark.parametrize(
    ("name", "value", "left", "said"),
    [
        ("OTEL_SDK_DISABLED", "true", None, "is set aside"),
        ("OTEL_SDK_DISABLED", "false", "false", ""),
        ("OTEL_CLAUDE_STREAM_ENABLED", "no", None, "is set aside"),
        ("OTEL_CONFIG_FILE", "otel.yaml", None, "is set aside"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "a, claude_stream", "a", "is set aside"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*", "*", "nothing will be seen"),
        ("OTEL_TRACES_SAMPLER", "traceidratio", "traceidratio", "not seen here either"),
        ("OTEL_TRACES_SAMPLER", "always_on", "always_on", ""),
    ],
)
def test_conflicts_are_told(name: str, value: str, left: str | None, said: str) -> None:
    found = environment({name: value}, URL, APP, detail=False)
    assert found.variables.get(name) == left
    assert said in "".join(found.notices)
    assert bool(found.notices) == bool(said)


@pytest.mark.parametrize(
    ("given", "environ", "target", "said"),
    [
        (None, {}, None, ""),
        ("http://a:4318/", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, "http://a:4318", ""),
        ("none", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, None, ""),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, "http://b:4318", ""),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4317"}, None, "which is for gRPC"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None, "gRPC"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "b:4318"}, None, "not sent on"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"}, None, "only OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ],
)
def test_where_it_goes_as_well(given: str | None, environ: dict[str, str], target: str | None, said: str) -> None:
    found, notice = forward_target(environ, given)
    assert found == target
    assert said in notice
    assert bool(notice) == bool(said)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python app.py --x", "app"),
        ("/usr/bin/python3.12 -u -W error chat/worker.py", "worker"),
        ("python -m uvicorn app:app", "uvicorn"),
        ("python -c pass", "python"),
        ("python", "python"),
        ("gunicorn app:app", "gunicorn"),
        ("./start.sh", "start"),
    ],
)
def test_names_of_services(command: str, name: str) -> None:
    assert service_name(command.split()) == name
