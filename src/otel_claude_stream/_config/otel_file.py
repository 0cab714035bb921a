"""The section of this package in a declarative configuration file (`OTEL_CONFIG_FILE`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

_log = logging.getLogger("otel_claude_stream")

VARIABLE: Final = "OTEL_CONFIG_FILE"
SECTION: Final = "claude_stream"
"""Name of the section below `instrumentation/development: python:`, which is the name of the entry point."""


@dataclass(init=False)
class Declared:
    """The section, unchecked, so that one unknown key does not disable all others.

    OpenTelemetry's loader instantiates this class (`ClaudeStreamInstrumentor.configuration`) and passes its field to
    ``instrument()``, which checks each setting.
    """

    declared: dict[str, Any] | None = None

    def __init__(self, **settings: Any) -> None:
        self.declared = settings


def section(path: str) -> dict[str, Any]:
    """Read the section from a file; empty without one, or for a file that OpenTelemetry reports as unreadable.

    OpenTelemetry's loader skips an instrumentation with ``enabled: false``. Another part of it then instruments
    without the section, so the section is read here as well.
    """
    try:
        from opentelemetry.configuration import load_config_file

        instrumentation = load_config_file(path).instrumentation_development
        python = instrumentation.python if instrumentation is not None else None
        return dict((python or {}).get(SECTION) or {})
    except Exception as error:  # noqa: BLE001 - no error of the file or its reader may reach the application
        _log.debug("%s: cannot read the section %s; it is ignored", VARIABLE, SECTION, exc_info=error)
        return {}
