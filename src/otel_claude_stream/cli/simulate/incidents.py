"""The incidents that `simulate` replays, and the API that answers during them. Times are in seconds.

The benchmark with the real SDK answers its requests by the same API.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream.cli.simulate.responses import Arriving, Ending, Response, Stretch
from otel_claude_stream.cli.view import formatting

PING_EVERY: Final = 15.0
ENDLESS: Final = 86_400.0
"""Longer than any user waits."""
MOST_ANSWERS: Final = 10_000
PHASES: Final = ("healthy", "incident", "recovered")

Fault = Callable[[Response, random.Random], Response]
"""Returns the response that takes the place of a whole one during an incident."""


class Question(NamedTuple):
    """The times of the answer to a call. Each request of the call gets the same answer."""

    first: float
    """The wait for the first event."""
    deltas: int
    every: float
    thought: float = 0.0
    """Thinking before the text, during which only pings arrive."""
    silence: float = 0.0
    """The longest wait between two deltas."""


@dataclass(frozen=True)
class Incident:
    """An incident, the API before and after it, and the users."""

    name: str
    about: str
    users: int = 1000
    begins: float = 60.0
    ends: float = 180.0
    until: float = 300.0
    """The time after which no call begins."""
    headers: float = 0.3
    first: float = 1.5
    deltas: int = 50
    every: float = 0.2
    spread: float = 0.0
    """The standard deviation of the logarithm of the number of deltas."""
    thoughts: float = 0.0
    """The share of answers that begin with a minute and a half of thinking."""
    pause: float = 8.0
    """The mean pause of a user after a call."""
    patience: float = 600.0
    """The time after which a user closes a stream."""
    capacity: float | None = None
    """Requests that the API serves, in a second and for each user; None for all."""
    reduced: float | None = None
    """The same during the incident."""
    in_stream: float = 0.3
    """The share of rejections that are an `error` event in a stream, half of them before the first token."""
    fault: Fault | None = None
    questions: Callable[[random.Random], Question] | None = None
    """The questions of users; None for those of the values above."""

    def phase(self, at: float) -> str:
        """Return the phase at a time, one of `PHASES`."""
        return PHASES[0] if at < self.begins else PHASES[1] if at < self.ends else PHASES[2]

    @property
    def cycle(self) -> float:
        """The time from one call of a user to the next, if both are answered."""
        return self.headers + self.first + self.deltas * self.every + self.pause

    @property
    def times(self) -> str:
        """The times of the incident, as a part of a sentence."""
        if self.begins <= 0 and self.ends >= self.until:
            return f"for {formatting.seconds(self.until)}"
        begins, ends = formatting.seconds(self.begins), formatting.seconds(self.ends)
        return f"from {begins} to {ends} of {formatting.seconds(self.until)}"


class Api:
    """The API during an incident. Answers depend on the seed and on the requests, and on nothing else."""

    def __init__(self, incident: Incident, seed: int) -> None:
        self._incident = incident
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._questions = random.Random(seed + 1)  # noqa: S311 - apart, so that all policies meet the same questions
        self._served: deque[float] = deque()

    def question(self) -> Question:
        """Return the next question of a user."""
        incident, chance = self._incident, self._questions
        if incident.questions is not None:
            return incident.questions(chance)
        deltas = incident.deltas
        if incident.spread:
            deltas = max(1, round(deltas * math.exp(chance.gauss(0.0, incident.spread))))
        thought = 90.0 if incident.thoughts and chance.random() < incident.thoughts else 0.0
        return Question(incident.first, deltas, incident.every, thought)

    def answer(self, now: float, question: Question, delivered: int = 0, *, other_model: bool = False) -> Response:
        """Return the response to a request, which continues an answer if deltas were `delivered`.

        The capacity is that of one model. `other_model` has enough of it.
        """
        incident = self._incident
        if not other_model and not self._serves(now):
            return self._rejection(question)
        response = whole_answer(question, incident.headers, delivered)
        if incident.fault is not None and incident.begins <= now < incident.ends:
            return incident.fault(response, self._random)
        return response

    def _serves(self, now: float) -> bool:
        """Whether the API has capacity for another request in this second."""
        incident, served = self._incident, self._served
        during = incident.begins <= now < incident.ends
        capacity = incident.reduced if during else incident.capacity
        if capacity is None:
            return True
        while served and served[0] <= now - 1.0:
            served.popleft()
        if len(served) >= capacity * incident.users:
            return False
        served.append(now)
        return True

    def _rejection(self, question: Question) -> Response:
        incident, share = self._incident, self._random.random()
        if share >= incident.in_stream:
            return Response(incident.headers, ending=Ending(AbortReason.OVERLOADED, status=529))
        text = () if share < incident.in_stream / 2 else (Stretch(Arriving.TEXT, question.every, question.deltas // 4),)
        start = Stretch(Arriving.START, question.first)
        return Response(incident.headers, (start, *text), Ending(AbortReason.OVERLOADED))


@lru_cache(MOST_ANSWERS)
def whole_answer(question: Question, headers: float, delivered: int = 0) -> Response:
    """Return the response with the whole answer, or with the deltas that were not `delivered`."""
    stretches = [Stretch(Arriving.START, question.first)]
    if question.thought and not delivered:
        pings = max(1, round(question.thought / PING_EVERY))
        stretches += [Stretch(Arriving.THOUGHT, 0.0), Stretch(Arriving.PING, question.thought / pings, pings)]
    left = max(1, question.deltas - delivered)
    if question.silence > question.every and left > 1:
        stretches += [Stretch(Arriving.TEXT, question.every, left - 1), Stretch(Arriving.TEXT, question.silence)]
    else:
        stretches.append(Stretch(Arriving.TEXT, question.every, left))
    return Response(headers, tuple(stretches))


def _cut_after_60_s(response: Response, _: random.Random) -> Response:
    return response.cut(60.0, Ending(AbortReason.CONNECTION_CLOSED, limit_match="duration:60s"))


def _drip(response: Response, chance: random.Random) -> Response:
    share = chance.random()
    if share >= 0.2:
        return response
    begun = response.stretches[:1] if share < 0.05 else response.cut(response.seconds / 2, _DEAD).stretches[:-1]
    if share < 0.1:
        tail = Stretch(Arriving.PING, PING_EVERY, round(ENDLESS / PING_EVERY))
    elif share < 0.15:
        tail = Stretch(Arriving.TEXT, 20.0, round(ENDLESS / 20.0))
    else:
        tail = Stretch(Arriving.NOTHING, ENDLESS)
    return Response(response.headers, (*begun, tail), _DEAD)


_DEAD: Final = Ending(AbortReason.CONNECTION_RESET)


def _flaky(response: Response, chance: random.Random) -> Response:
    share, at = chance.random(), chance.random()
    if share < 0.05:
        return Response(0.1, ending=Ending(AbortReason.CONNECT_FAILED))
    if share < 0.08:
        return Response(response.headers, ending=Ending(AbortReason.GATEWAY_ERROR, status=502))
    if share < 0.13:
        return response.cut(at * response.stretches[0].every, Ending(AbortReason.CONNECTION_RESET))
    if share < 0.2:
        reason = AbortReason.CONNECTION_CLOSED if share < 0.165 else AbortReason.TRUNCATED
        return response.cut(at * response.seconds, Ending(reason))
    return response


OVERLOAD: Final = Incident(
    "overload",
    "the API serves one request a second for 200 users; 529 or overloaded_error for all others",
    capacity=0.3,
    reduced=0.005,
)

_INCIDENTS: Final = (
    OVERLOAD,
    Incident(
        "proxy-60s",
        "a proxy closes each response after 60 s; answers take half a minute, a fifth of them longer than 60 s",
        begins=60.0,
        ends=660.0,
        until=900.0,
        deltas=160,
        spread=0.6,
        thoughts=0.03,
        fault=_cut_after_60_s,
    ),
    Incident(
        "drip",
        "a fifth of the responses hang: only pings from the start or within the text, a delta each 20 s, or nothing",
        begins=60.0,
        ends=660.0,
        until=900.0,
        spread=0.4,
        thoughts=0.03,
        patience=900.0,
        fault=_drip,
    ),
    Incident(
        "flaky",
        "a fifth of the requests fail: 5 % do not connect, 3 % get a 502, 5 % break before the first token, "
        "7 % within the text",
        spread=0.4,
        thoughts=0.03,
        fault=_flaky,
    ),
)
INCIDENTS: Final[Mapping[str, Incident]] = {incident.name: incident for incident in _INCIDENTS}
