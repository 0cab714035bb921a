"""Labels for the telemetry of the calls that begin within a block."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

from otel_claude_stream._config.block import Block

_log = logging.getLogger("otel_claude_stream")

KEY = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
"""The keys of labels. With their prefix they are valid names of attributes."""

_MAX_LOGGED = 20
_logged: set[str] = set()
"""Problems that were logged, since many calls may enter the same block."""


class StreamLabels(Block):
    """Labels for some calls."""

    __slots__ = ("labels",)

    current: ClassVar[ContextVar[tuple[StreamLabels, Any] | None]] = ContextVar(
        "otel_claude_stream_labels", default=None
    )

    def __init__(self, labels: Mapping[str, str | None]) -> None:
        self.labels: Mapping[str, str | None] = labels


def current_labels() -> dict[str, str | None]:
    """Return the labels of all blocks around the current code. The innermost block wins. Never raises."""
    found: dict[str, str | None] = {}
    current = StreamLabels.current.get()
    while current is not None:
        block, current = current
        found = {**block.labels, **found}
    return found


def stream_labels(**labels: str | None) -> StreamLabels:
    """Return labels for the metrics and spans of the calls that begin within a block, such as ``tenant="a"``.

    Blocks may be nested. None removes the label of an outer block, or that of OpenTelemetry's baggage. A label that is
    not valid is left out and logged once; nothing is raised. A metric has at most `max_label_values` values of a label,
    and ``other`` for further ones.
    """
    valid: dict[str, str | None] = {}
    given: Mapping[str, object] = labels  # values of other types may come from untyped code
    for key, value in given.items():
        if KEY.fullmatch(key) is None:
            _log_left_out(f"the key {key[:64]!r} is not valid. Use letters, digits and _.- inside, with a letter first")
        elif value is None or isinstance(value, str):
            valid[key] = value
        else:
            _log_left_out(f"the value of {key} is of the type {type(value).__name__}. Pass a text or None")
    return StreamLabels(valid)


def log_cut(key: str, most: int) -> None:
    """Log once that values of a label are cut. The value itself may be personal, and is not logged."""
    _log_once(
        f"the label {key} has values of more than {most} characters. The rest is cut off on spans and metrics. "
        "Use shorter values",
        logging.WARNING,
    )


def log_too_many(most: int) -> None:
    """Log once that a call has more labels than its span may have."""
    _log_once(
        f"a call has more than {most} labels. Neither its span nor its metrics have the others. Use fewer keys in "
        "stream_labels()",
        logging.WARNING,
    )


def _log_left_out(problem: str) -> None:
    _log_once(f"stream_labels(): {problem}. The label is left out", logging.ERROR)


def _log_once(problem: str, level: int) -> None:
    if problem not in _logged and len(_logged) < _MAX_LOGGED:
        _logged.add(problem)
        _log.log(level, "otel-claude-stream: %s", problem)
