from __future__ import annotations

import pytest
from tests.support.doctor_findings import HTTP, problems

from otel_claude_stream.cli.doctor.export import exporters
from otel_claude_stream.cli.doctor.findings import Level
from otel_claude_stream.cli.doctor.variables import KNOWN, misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OLTP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        ("OTEL_EXPORTER_OTLP_METRIC_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_SERVICE_NAMES", "OTEL_SERVICE_NAME"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("OTEL_TRACES_EXPORTERS", "OTEL_TRACES_EXPORTER"),
        ("OTEL_RESOURCE_ATTRIBUTE", "OTEL_RESOURCE_ATTRIBUTES"),
        ("OTEL_SDK_DISABLE", "OTEL_SDK_DISABLED"),
        ("otel_service_name", "OTEL_SERVICE_NAME"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_one(name: str, meant: str) -> None:
    (found,) = misspelt({name: "x"})
    assert found.level is Level.WARNING
    assert found.text == f"{name} is not a variable of OpenTelemetry, so it has no effect; did you mean {meant}?"
    assert meant in found.hint


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_CLAUDE_STREAM_EVENT",
        "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS",
        "OTEL_PYTHON_DJANGO_TRACED_REQUEST_ATTRS",
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
        "OTEL_JAVAAGENT_ENABLED",
        "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_SPAN_INSECURE",
        "OTEL_EXPORTER_JAEGER_ENDPOINT",
        "OTEL_SERVICE_VERSION",
        "OTEL_COLLECTOR_URL",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
        "MY_OTEL_SERVICE_NAM",
    ],
)
def test_other_variables_are_left_alone(name: str) -> None:
    assert list(misspelt({name: "x"})) == []


def test_the_names_of_the_installed_packages_are_known() -> None:
    """The list has each name that the installed packages declare, so no valid name is a typo."""
    from opentelemetry import environment_variables as api
    from opentelemetry.instrumentation import environment_variables as instrumentation
    from opentelemetry.sdk import environment_variables as sdk

    names = {name for module in (api, sdk, instrumentation) for name in vars(module) if name.startswith("OTEL_")}
    assert list(misspelt(dict.fromkeys(names, "x"))) == []
    assert len(names & KNOWN) > 60


def test_the_section_of_exporters_has_them() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPIONT": "http://a:4318", **HTTP}
    assert any(
        "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?" in found.text
        for found in problems(exporters(environ, offline=True))
    )
