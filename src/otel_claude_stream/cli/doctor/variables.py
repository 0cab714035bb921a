"""Find names of environment variables that resemble those of OpenTelemetry.

The names are those that OpenTelemetry documents:
- https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
- https://opentelemetry.io/docs/specs/otel/protocol/exporter/
- https://opentelemetry-python.readthedocs.io/en/stable/sdk/environment_variables.html
- https://opentelemetry.io/docs/zero-code/python/configuration/
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from otel_claude_stream.cli.doctor.findings import Finding, warning

OURS: Final = "OTEL_CLAUDE_STREAM_"
"""Prefix of this package's variables, which the section of settings checks."""
SIMILARITY: Final = 0.88
"""Least ratio of `difflib` for a typo. It allows a swap of two letters even in the shortest names."""

SIGNALS: Final = ("", "TRACES_", "METRICS_", "LOGS_", "PROFILES_")
_OTLP: Final = (
    "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "COMPRESSION", "ENDPOINT", "HEADERS", "INSECURE", "PROTOCOL",
    "TIMEOUT",
)  # fmt: skip
_OTHERS: Final = """
    OTEL_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_BLRP_EXPORT_TIMEOUT
    OTEL_BLRP_MAX_EXPORT_BATCH_SIZE OTEL_BLRP_MAX_QUEUE_SIZE OTEL_BLRP_SCHEDULE_DELAY OTEL_BSP_EXPORT_TIMEOUT
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_SCHEDULE_DELAY OTEL_CONFIG_FILE
    OTEL_ENTITIES OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_EXPERIMENTAL_CONFIG_FILE OTEL_EXPERIMENTAL_RESOURCE_DETECTORS
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE
    OTEL_EXPORTER_OTLP_METRIC_INSECURE OTEL_EXPORTER_OTLP_SPAN_INSECURE
    OTEL_EXPORTER_PROMETHEUS_HOST OTEL_EXPORTER_PROMETHEUS_PORT OTEL_EXPORTER_ZIPKIN_ENDPOINT
    OTEL_EXPORTER_ZIPKIN_TIMEOUT OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT OTEL_LINK_ATTRIBUTE_COUNT_LIMIT
    OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_LOGS_EXPORTER
    OTEL_LOG_LEVEL OTEL_METRICS_EXEMPLAR_FILTER OTEL_METRICS_EXPORTER OTEL_METRIC_EXPORT_INTERVAL
    OTEL_METRIC_EXPORT_TIMEOUT OTEL_PROPAGATORS OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH
    OTEL_PYTHON_CONFIGURATOR OTEL_PYTHON_CONTEXT OTEL_PYTHON_DISABLED_INSTRUMENTATIONS OTEL_PYTHON_DISTRO
    OTEL_PYTHON_EXCLUDED_URLS OTEL_PYTHON_ID_GENERATOR OTEL_PYTHON_LOGGER_CONFIGURATOR OTEL_PYTHON_LOGGER_PROVIDER
    OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED OTEL_PYTHON_LOG_CORRELATION OTEL_PYTHON_LOG_FORMAT
    OTEL_PYTHON_LOG_LEVEL OTEL_PYTHON_METER_CONFIGURATOR OTEL_PYTHON_METER_PROVIDER
    OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED OTEL_PYTHON_TRACER_CONFIGURATOR OTEL_PYTHON_TRACER_PROVIDER
    OTEL_RESOURCE_ATTRIBUTES OTEL_SDK_DISABLED OTEL_SEMCONV_STABILITY_OPT_IN OTEL_SERVICE_NAME
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_SPAN_EVENT_COUNT_LIMIT
    OTEL_SPAN_LINK_COUNT_LIMIT OTEL_TRACES_EXPORTER OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG
"""

KNOWN: Final = frozenset(
    (
        *_OTHERS.split(),
        *(f"OTEL_EXPORTER_OTLP_{signal}{name}" for signal in SIGNALS for name in _OTLP),
    )
)
FAMILIES: Final = ("_EXCLUDED_URLS", "_TRACED_REQUEST_ATTRS", "_CREDENTIAL_PROVIDER")
"""Endings of variables that each instrumentation or exporter of Python defines for itself."""


def misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a warning for each variable that OpenTelemetry does not know and that resembles one that it does."""
    for name in sorted(environ):
        if not name.upper().startswith("OTEL_") or name.startswith(OURS) or name in KNOWN or name.endswith(FAMILIES):
            continue
        if near := difflib.get_close_matches(name.upper(), KNOWN, n=1, cutoff=SIMILARITY):
            yield warning(
                f"{name} is not a variable of OpenTelemetry, so it has no effect; did you mean {near[0]}?",
                f"rename it to {near[0]}",
            )
