"""The counts of a simulated incident, by second and by the phase in which a call began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_claude_stream.cli.simulate.incidents import PHASES, Incident

STEP: Final = 10
"""Seconds in a line of the chart."""
WIDTH: Final = 58
"""Characters of the longest bar."""


@dataclass(slots=True)
class Counts:
    """Counts of calls and requests."""

    calls: int = 0
    """Calls of the application that started."""
    requests: int = 0
    completed: int = 0
    """Calls that completed."""
    failed: int = 0
    """Calls that raised."""
    left: int = 0
    """Calls whose user closed the stream."""

    def count(self, name: str) -> None:
        """Add one to a count."""
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class Second(Counts):
    """The counts of one second."""

    budget: float | None = None
    """Retries left in the budget at the end of the second; None without a budget."""

    def close(self, budget: float) -> None:
        """Record the rest of the budget."""
        self.budget = budget


@dataclass(slots=True)
class Totals(Counts):
    """The counts of all calls that began in one phase."""

    first_tokens: list[float] = field(default_factory=list)
    """The time to the first token of each call that got one."""
    waits: list[float] = field(default_factory=list)
    """The wait of each request for its permit, if the policy limits open requests."""
    expired: int = 0
    """Those of them that got none."""
    billed: int = 0
    """Tokens, estimated from what arrived."""
    wasted: int = 0
    """Those of them that are not part of an answer that was served."""

    def bill(self, tokens: int, served: int) -> None:
        """Add the tokens of a call, and those of them that were served."""
        self.billed += tokens
        self.wasted += tokens - served

    def wait(self, seconds: float, *, granted: bool) -> None:
        """Record the wait for a permit."""
        self.waits.append(seconds)
        self.expired += not granted

    def first_token(self, share: float) -> float | None:
        """Return a percentile of the times to the first token."""
        return _percentile(self.first_tokens, share)

    def permit_wait(self, share: float) -> float | None:
        """Return a percentile of the waits for permits."""
        return _percentile(self.waits, share)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "calls": self.calls,
            "requests": self.requests,
            "requests_per_call": _ratio(self.requests, self.calls),
            "served": self.completed,
            "failed": self.failed,
            "left": self.left,
            "served_share": _ratio(self.completed, self.calls),
            "time_to_first_token": {"p50": self.first_token(0.5), "p95": self.first_token(0.95)},
            "permit_wait": {"p50": self.permit_wait(0.5), "p95": self.permit_wait(0.95)},
            "queue_timeouts": self.expired,
            "tokens_billed": self.billed,
            "tokens_wasted": self.wasted,
        }


@dataclass
class Course:
    """The course of an incident under one policy."""

    incident: Incident
    seconds: list[Second] = field(default_factory=list)
    totals: Mapping[str, Totals] = field(default_factory=lambda: {phase: Totals() for phase in PHASES})
    """By the phase in which the call began."""
    counted: Mapping[str, float] = field(default_factory=dict)
    """The metrics of the instrumentation, if there is one."""

    def second(self, at: float) -> Second:
        """Return the counts of the second of a time."""
        number = max(0, int(at + 1e-6))
        while len(self.seconds) <= number:
            self.seconds.append(Second())
        return self.seconds[number]

    def total(self, name: str, phase: str | None = None) -> int:
        """Return the sum of a count over the seconds of a phase, or over all."""
        found = enumerate(self.seconds)
        return sum(getattr(second, name) for at, second in found if phase in (None, self.incident.phase(at)))

    def amplification(self, phase: str | None = None) -> float:
        """Return the number of HTTP requests for each call."""
        return _ratio(self.total("requests", phase), self.total("calls", phase)) or 0.0

    def recovered_after(self) -> int | None:
        """Return the seconds from the end of the incident until calls stop failing; None if they or it do not.

        Calls have stopped failing if none fails within ten seconds.
        """
        start = int(self.incident.ends)
        if self.incident.ends >= self.incident.until:
            return None
        for at in range(start, len(self.seconds) - 10):
            if not any(second.failed for second in self.seconds[at : at + 10]):
                return at - start
        return None

    def steps(self) -> list[list[Second]]:
        """Return the seconds in parts, up to the last call."""
        return [self.seconds[at : at + STEP] for at in range(0, int(self.incident.until), STEP)]


def chart_lines(course: Course) -> list[str]:
    """Return a chart of first requests, retries and the rest of the budget, in steps of ten seconds."""
    parts = course.steps()
    scale = WIDTH / max(1.0, *(max(_rate(part, "requests"), _rate(part, "calls")) for part in parts))
    found = [f"{'t':>5}  {'':10}  calls/s  requests/s  x     failed  budget   first requests █, retries ░ (a second)"]
    for number, part in enumerate(parts):
        at = number * STEP
        calls, requests = _rate(part, "calls"), _rate(part, "requests")
        retries = max(0.0, requests - calls)
        bar = "█" * round(min(calls, requests) * scale) + "░" * round(retries * scale)
        budget = f"{part[-1].budget:6.0f}" if part and part[-1].budget is not None else "     -"
        failed = sum(second.failed for second in part)
        ended = failed + sum(second.completed + second.left for second in part)
        found.append(
            f"{at:4}s  {course.incident.phase(at):10}  {calls:7.1f}  {requests:10.1f}"
            f"  {requests / max(calls, 0.1):4.2f}  {failed / max(1, ended):5.0%}  {budget}   {bar}"
        )
    return found


def _rate(part: Sequence[Second], name: str) -> float:
    return float(sum(getattr(second, name) for second in part)) / max(1, len(part))


def _percentile(values: Sequence[float], share: float) -> float | None:
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
