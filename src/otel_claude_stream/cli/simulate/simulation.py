"""Users who call an API during an incident, in simulated time.

The policy of each call, its decisions, its budget and its limit on open requests are those of production: `CallPolicy`,
`sdk_retry_blocker`, `RetryBudgets` and `Limiter`. The requests, the SDK's retry loop and the texts are simulated.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from otel_claude_stream._core.diagnosis.classify import Diagnosis, Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.retry.budget import RetryBudgets
from otel_claude_stream._core.retry.concurrency import Limiter, Permit, is_pushback
from otel_claude_stream._core.retry.context import Action, Blocker, Decision
from otel_claude_stream._core.retry.decide import sdk_retry_blocker
from otel_claude_stream._core.retry.policy import RetryPolicy, SdkRetries, Watchdog
from otel_claude_stream._core.stream.call import Reply, RequestCapabilities
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.vocabulary import AbortReason, Outcome, Phase, Stop
from otel_claude_stream._session.call_policy import BudgetTokens, CallPolicy
from otel_claude_stream.cli.simulate.course import Course, Second, Totals
from otel_claude_stream.cli.simulate.incidents import Api, Incident, Question
from otel_claude_stream.cli.simulate.responses import Ending, Reader, Reading, Response

MAX_RETRIES: Final = 2
"""The default of the SDK's clients."""
SEAMS: Final = 0.95
"""The share of continuations that meet the text before them."""
INPUT_TOKENS: Final = 1000
DELTA_TOKENS: Final = 10
DELTA_CHARACTERS: Final = 40

Waits = Generator[float, None, None]
"""A process of the simulation, which yields the seconds that it waits."""


def simulate(
    incident: Incident,
    policy: RetryPolicy,
    *,
    model: str = "",
    seed: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Course:
    """Simulate an incident under a policy.

    Args:
        incident: The incident, with its users, who all belong to one process.
        policy: The policy of the model that they call.
        model: That model. The first of its fallback models takes every request, and has capacity for all of them.
        seed: Equal seeds give equal results.
        progress: Called in each simulated second with the part that is over, from 0 to 1.
    """
    return _Simulation(incident, policy, model, seed, progress).run()


@dataclass(slots=True)
class _Call:
    """One call and what it has had so far."""

    policy: CallPolicy
    question: Question
    started: float
    totals: Totals
    requests: int = 0
    delivered: Delivered = field(default_factory=Delivered)
    deltas: int = 0
    first_token: float | None = None
    billed: int = 0
    other_model: bool = False
    """A fallback model has taken over."""
    permit: Permit | None = None
    """That of the request under way; None without a limit."""

    def ask(self) -> Permit:
        """Return the permit of the next request, which is not granted yet."""
        self.permit = Permit()
        return self.permit

    def switch(self) -> None:
        """Send all further requests to the fallback model."""
        self.other_model = True

    def send(self) -> None:
        """Count a request."""
        self.requests += 1
        self.totals.count("requests")

    def receive(self, reading: Reading, now: float, *, fits: bool) -> None:
        """Record what came of a response that has just ended; `fits` unless it continues a text without a seam."""
        self.billed += INPUT_TOKENS + DELTA_TOKENS * reading.deltas
        if reading.first_content is None or not fits:
            return
        if self.first_token is None:
            self.first_token = now - reading.seconds + reading.first_content - self.started
            self.totals.first_tokens.append(self.first_token)
        self.deltas += reading.deltas
        self.delivered.message_start(None)
        self.delivered.count_text(reading.deltas * DELTA_CHARACTERS)


class _Simulation:
    def __init__(
        self, incident: Incident, policy: RetryPolicy, model: str, seed: int, progress: Callable[[float], None]
    ) -> None:
        self._incident = incident
        self._policy = policy
        fallbacks = policy.fallbacks_for(model)
        self._find_fallback = (lambda: fallbacks[0]) if fallbacks else None
        self._progress = progress
        self._course = Course(incident)
        self._api = Api(incident, seed)
        self._users = random.Random(seed)  # noqa: S311 - a simulation
        self._jitter = random.Random(seed + 2)  # noqa: S311 - a simulation
        self._now = 0.0
        self._second = Second()
        self._tokens = BudgetTokens(
            RetryBudgets(threading.RLock), ("", "", ()), policy.budget, lambda: round(self._now * 1e9)
        )
        self._acts = not self._call_policy().dry_run
        limited = self._acts and policy.concurrency.max is not None
        self._limiter = Limiter(policy.concurrency) if limited else None
        self._running: list[tuple[float, int, Waits]] = []
        self._woken: list[tuple[float, int, Waits]] = []
        """Processes that got a permit, and the time until which they would have waited."""
        self._reader = Reader(policy.watchdog if self._acts else Watchdog())

    def run(self) -> Course:
        """Run all users until the end of their last calls."""
        running = self._running = [(0.0, -1, self._seconds())]
        running += [(0.0, number, self._user()) for number in range(self._incident.users)]
        given_up: set[tuple[float, int]] = set()
        while len(running) > 1:
            if running[0][:2] in given_up:
                given_up.remove(heapq.heappop(running)[:2])
                continue
            self._now, number, process = running[0]
            wait = next(process, None)
            if wait is None:
                heapq.heappop(running)
            else:
                heapq.heapreplace(running, (self._now + wait, number, process))
            for until, other, woken in self._woken:
                given_up.add((until, other))
                heapq.heappush(running, (self._now, other, woken))
            self._woken.clear()
        return self._course

    # --- Processes -----------------------------------------------------------------------------------------------
    def _seconds(self) -> Waits:
        """Begin each second, record the rest of the budget, and report the progress, until the users have ended."""
        while True:
            if self._acts and 1.0 <= self._now < self._incident.until:
                self._second.close(self._tokens.left())
            self._second = self._course.second(self._now)
            self._progress(min(1.0, self._now / self._incident.until))
            yield 1.0

    def _user(self) -> Waits:
        incident = self._incident
        yield self._users.uniform(0.0, incident.cycle)
        while self._now < incident.until:
            yield from self._call()
            yield self._users.uniform(0.5, 1.5) * incident.pause

    def _call(self) -> Waits:
        totals = self._course.totals[self._incident.phase(self._now)]
        call = _Call(self._call_policy(), self._api.question(), self._now, totals)
        if self._acts:
            self._tokens.first()
        for counts in (totals, self._second):
            counts.count("calls")
        while self._now - call.started < self._incident.patience:
            if not (yield from self._admitted(call)):
                self._end(call, _NO_PERMIT)
                return
            response = yield from self._request(call)
            fits = not call.deltas or not response.stretches or self._jitter.random() < SEAMS
            if not fits:
                response = response.cut(call.question.first + call.question.every, _NO_SEAM)
            reading = self._reader.read(response)
            left = max(0.0, call.started + self._incident.patience - self._now)
            if reading.seconds > left:
                reading = self._reader.read(response.cut(left, _LEFT))
            yield reading.seconds
            if response.stretches:
                call.receive(reading, self._now, fits=fits)
            self._answered(call, reading.ending if response.stretches else None)
            self._leave(call)
            decision = self._decision(call, reading, before_response=not response.stretches) if fits else None
            if decision is None or decision.action is Action.GIVE_UP:
                self._end(call, reading.ending)
                return
            if decision.action is Action.FALLBACK:
                call.switch()
            yield decision.delay
        self._end(call, _LEFT)

    def _request(self, call: _Call) -> Generator[float, None, Response]:
        """Send a request, and repeat it as the SDK does, within the limits of the policy."""
        policy, retries, allowed = call.policy.policy, 0, MAX_RETRIES
        if self._acts:
            left = max(0, policy.limits.max_requests - call.requests - 1)
            allowed = 0 if policy.sdk_retries is SdkRetries.REPLACE else min(MAX_RETRIES, left)
        while True:
            call.send()
            self._second.count("requests")
            response = self._api.answer(self._now, call.question, call.deltas, other_model=call.other_model)
            yield response.headers
            ending = response.ending
            self._answered(call, None if response.stretches else ending, accepted=bool(response.stretches))
            if response.stretches or ending is None or retries >= allowed or not _sdk_retries(ending):
                return response
            delay = self._sdk_delay(call, ending, retries)
            if delay is None:
                return response
            yield delay
            retries += 1

    def _admitted(self, call: _Call) -> Generator[float, None, bool]:
        """Wait for the permit of the next request. Returns whether there is one."""
        limiter, concurrency = self._limiter, call.policy.policy.concurrency
        if limiter is None:
            return True
        permit, asked, running = call.ask(), self._now, self._running[0]
        deadline = call.policy.policy.limits.deadline
        left = concurrency.queue if deadline is None else max(0.0, call.started + deadline - asked)
        until = asked + min(concurrency.queue, left)
        permit.wake_by(lambda: self._woken.append((until, *running[1:])) if self._now < until else None)
        limiter.enter(permit, self._ns)
        if permit.granted:
            self._woken.clear()
        else:
            yield until - asked
        call.totals.wait(self._now - asked, granted=permit.granted)
        if not permit.granted:
            limiter.leave(permit, self._ns)
        return permit.granted

    @property
    def _ns(self) -> int:
        return round(self._now * 1e9)

    # --- Steps of a call -----------------------------------------------------------------------------------------
    def _call_policy(self) -> CallPolicy:
        return CallPolicy(self._policy, self._tokens, self._jitter.random, find_fallback=self._find_fallback)

    def _sdk_delay(self, call: _Call, ending: Ending, retries: int) -> float | None:
        """Return the SDK's delay before its next retry; None if the policy stops it."""
        requested = ending.retry_after
        delay = min(0.5 * 2.0**retries, 8.0) * (1.0 - 0.25 * self._jitter.random())
        if not self._acts:
            return requested or delay
        longest = call.policy.policy.retry_after.max
        blocker = sdk_retry_blocker(
            call.policy.policy,
            requested=requested,
            delay=min(requested or 0.0, longest) if ending.status is not None else delay,
            elapsed=self._now - call.started,
            take_token=call.policy.take,
        )
        if blocker is not Blocker.NONE:
            return None
        return min(requested, longest) if requested else delay

    def _decision(self, call: _Call, reading: Reading, *, before_response: bool) -> Decision | None:
        """Return what the policy decides about a failure; None if it does not act, or if nothing failed."""
        ending = reading.ending
        if not self._acts or ending is None:
            return None
        elapsed = self._now - call.started
        return call.policy.decide(
            Facts(Stop.RAISED, Phase.AWAITING_RESPONSE if before_response else reading.phase, elapsed=elapsed),
            Verdict(Outcome.FAILED, ending.reason, None, limit_match=ending.limit_match),
            Reply(ending.status or 200, retry_after=ending.retry_after),
            call.delivered,
            _CAPABILITIES,
            requests=call.requests,
            before_response=before_response,
        )

    def _answered(self, call: _Call, ending: Ending | None, *, accepted: bool = False) -> None:
        """Adapt the limit on open requests to an answer."""
        if self._limiter is None or call.permit is None:
            return
        if accepted:
            self._limiter.accepted(call.permit, self._ns)
        elif ending is not None:
            facts = Facts(Stop.RAISED, Phase.AWAITING_RESPONSE, retry_after=ending.retry_after)
            if is_pushback(Diagnosis(facts, Verdict(Outcome.FAILED, ending.reason, None))):
                self._limiter.rejected(call.permit, self._ns)

    def _leave(self, call: _Call) -> None:
        if self._limiter is not None and call.permit is not None:
            self._limiter.leave(call.permit, self._ns)

    def _end(self, call: _Call, ending: Ending | None) -> None:
        how = "completed" if ending is None else "left" if ending.reason is AbortReason.CALLER_CLOSED else "failed"
        call.totals.bill(call.billed, INPUT_TOKENS + DELTA_TOKENS * call.deltas if ending is None else 0)
        for counts in (call.totals, self._second):
            counts.count(how)


_CAPABILITIES: Final = RequestCapabilities()
_LEFT: Final = Ending(AbortReason.CALLER_CLOSED)
_NO_PERMIT: Final = Ending(AbortReason.QUEUE_TIMEOUT)
_NO_SEAM: Final = Ending(AbortReason.STREAM_ERROR)
"""A continuation that does not meet the text before it. The call then fails, and no decision is taken."""


def _sdk_retries(ending: Ending) -> bool:
    """Whether the SDK retries after this failure, which came before a stream."""
    status = ending.status
    return status is None or status in (408, 409, 429) or status >= 500
