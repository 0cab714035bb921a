from __future__ import annotations

import pytest

from otel_claude_stream.cli.otlp.environment import DETAIL, environment, forward_target, service_name

URL = "http://127.0.0.1:1"
APP = ["python", "app.py"]


def variables(*, detail: bool = False, **environ: str) -> dict[str, str]:
    return environment(environ, URL, APP, detail=detail).variables


def test_a_user_without_settings() -> None:
    assert variables(PATH="/bin", ANTHROPIC_API_KEY="sk-real") == {
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


def test_the_settings_of_the_user_apply() -> None:
    settings = {
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_BSP_SCHEDULE_DELAY": "5000",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "OTEL_PYTHON_DISTRO": "other",
        "OTEL_CLAUDE_STREAM_DELTAS": "none",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }
    found = variables(detail=True, **settings)
    assert settings.items() <= found.items()
    assert "OTEL_CLAUDE_STREAM_EVENT_BUDGET" not in found


def test_the_users_endpoint_is_not_that_of_the_application() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate",
    }
    found = variables(**environ)
    assert {name: value for name, value in found.items() if "OTLP" in name} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": URL,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


@pytest.mark.parametrize(
    ("exporters", "expected"),
    [("", "otlp"), ("none", "otlp"), ("console", "console,otlp"), ("otlp_proto_grpc, console", "console,otlp")],
)
def test_exporters(exporters: str, expected: str) -> None:
    assert variables(OTEL_TRACES_EXPORTER=exporters)["OTEL_TRACES_EXPORTER"] == expected


def test_logs_are_exported_if_events_are_logs() -> None:
    assert variables(OTEL_CLAUDE_STREAM_EVENTS="log")["OTEL_LOGS_EXPORTER"] == "otlp"
    assert variables(OTEL_LOGS_EXPORTER="console")["OTEL_LOGS_EXPORTER"] == "console,otlp"


def test_a_report_needs_each_delta() -> None:
    assert DETAIL.items() <= variables(detail=True).items()
    assert not DETAIL.keys() & variables().keys()


def test_the_receiver_is_exempt_from_proxies() -> None:
    found = variables(https_proxy="x", HTTP_PROXY="http://proxy", NO_PROXY="intern,localhost")
    assert (found["NO_PROXY"], found["no_proxy"]) == ("intern,localhost,127.0.0.1", "127.0.0.1,localhost")


@pytest.mark.parametrize(
    ("name", "value", "left", "notice"),
    [
        ("OTEL_SDK_DISABLED", "true", None, "is ignored"),
        ("OTEL_SDK_DISABLED", "false", "false", ""),
        ("OTEL_CLAUDE_STREAM_ENABLED", "no", None, "is ignored"),
        ("OTEL_CONFIG_FILE", "otel.yaml", None, "is ignored"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "a, claude_stream", "a", "is ignored"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*", "*", "no stream will be recorded"),
        ("OTEL_TRACES_SAMPLER", "traceidratio", "traceidratio", "are not shown"),
        ("OTEL_TRACES_SAMPLER", "always_on", "always_on", ""),
    ],
)
def test_notices_about_conflicting_settings(name: str, value: str, left: str | None, notice: str) -> None:
    found = environment({name: value}, URL, APP, detail=False)
    assert found.variables.get(name) == left
    assert notice in "".join(found.notices)
    assert bool(found.notices) == bool(notice)


@pytest.mark.parametrize(
    ("option", "environ", "target", "expected"),
    [
        (None, {}, None, ""),
        ("http://a:4318/", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, "http://a:4318", ""),
        ("none", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, None, ""),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}, "http://b:4318", ""),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4317"}, None, "a gRPC endpoint"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None, "gRPC"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:pw@b:4317"}, None, "to http://u:***@b:4317, a gRPC endpoint"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "b:4318"}, None, "not forwarded"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "u:pw@b:4318"}, None, "'***@b:4318' is not the URL"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:pw/x@b"}, None, "the port of the URL is not a number"),
        (
            None,
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"},
            None,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is for one signal only",
        ),
    ],
)
def test_the_endpoint_to_forward_to(
    option: str | None, environ: dict[str, str], target: str | None, expected: str
) -> None:
    found, notice = forward_target(environ, option)
    assert found == target
    assert expected in notice
    assert bool(notice) == bool(expected)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python app.py --x", "app"),
        ("/usr/bin/python3.12 -u -W error chat/worker.py", "worker"),
        ("python -m uvicorn app:app", "uvicorn"),
        ("python -c pass", "python"),
        ("python -Ic pass SECRET", "python"),
        ("python -cpass SECRET", "python"),
        ("python - SECRET", "python"),
        ("python -muvicorn SECRET", "uvicorn"),
        ("python -um uvicorn SECRET", "uvicorn"),
        ("python -Xdev -Werror -X utf8 app.py SECRET", "app"),
        ("python --check-hash-based-pycs always app.py SECRET", "app"),
        ("python", "python"),
        ("gunicorn app:app", "gunicorn"),
        ("./start.sh", "start"),
    ],
)
def test_service_names(command: str, name: str) -> None:
    assert service_name(command.split()) == name
