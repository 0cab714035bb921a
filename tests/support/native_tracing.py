"""The SDK's own OpenTelemetry tracing, which recent releases have."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from otel_claude_stream.testing import Capture

SDK_SCOPE = "com.anthropic.sdk.python"
"""The instrumentation scope of the SDK's spans."""

needs_native_tracing = pytest.mark.skipif(
    not hasattr(anthropic, "_tracing"), reason="this release of the SDK does not trace itself"
)


def tracing_options(capture: Capture, **traces: Any) -> dict[str, Any]:
    """Return the client options that make the SDK trace its calls into `capture`."""
    return {"open_telemetry": {"tracer_provider": capture.tracer_provider, "traces": traces}}
