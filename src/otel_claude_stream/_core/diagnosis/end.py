"""How a stream (or an attempt) stopped, as whoever noticed it saw it: what happened, before anybody asks why."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_claude_stream._core.diagnosis.facts import Fault
from otel_claude_stream._core.vocabulary import BodyClass, ErrorSource, Stop


@dataclass(frozen=True, slots=True)
class HttpError:
    """What the body of an HTTP error said, as far as the classifier may know."""

    error_type: str | None = None
    body: BodyClass = BodyClass.NONE
    wording: str = ""


@dataclass(slots=True)
class End:
    """How a stream stopped, as the shell saw it."""

    stop: Stop
    fault: Fault | None = None
    exception: str | None = None
    error_type: str | None = None
    error_source: ErrorSource | None = None
    http: HttpError = field(default_factory=HttpError)
    closed_elsewhere: bool = False
