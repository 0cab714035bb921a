"""Our section of a declarative configuration file (`OTEL_CONFIG_FILE`), as it was written."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

_log = logging.getLogger("otel_claude_stream")

VARIABLE: Final = "OTEL_CONFIG_FILE"
SECTION: Final = "claude_stream"
"""Below `instrumentation/development: python:`; the name of the entry point."""


@dataclass(init=False)
class Declared:
    """Takes whatever stands in the section, so that one unknown key does not switch off all others.

    OpenTelemetry's loader builds one of these (`ClaudeStreamInstrumentor.configuration`) and hands its field to
    ``instrument()``, where each setting is checked.
    """

    declared: dict[str, Any] | None = None

    def __init__(self, **said: Any) -> None:
        self.declared = said


def section(path: str) -> dict[str, Any]:
    """Our section of the file; empty if there is none, or if the file cannot be read, which OpenTelemetry tells.

    The loader of OpenTelemetry leaves out an instrumentation that says ``enabled: false``, and then another part of it
    instruments nevertheless, without the section: so it is read here too.
    """
    try:
        from opentelemetry.configuration import load_config_file

        instrumentation = load_config_file(path).instrumentation_development
        python = instrumentation.python if instrumentation is not None else None
        return dict((python or {}).get(SECTION) or {})
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the file or its reader, it is no reason to fail
        _log.debug("%s: the section %s could not be read", VARIABLE, SECTION, exc_info=error)
        return {}
