"""The policy of one call, with the counts that it limits and its decisions about failed attempts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace

from otel_claude_stream._core.diagnosis.classify import Verdict
from otel_claude_stream._core.diagnosis.facts import Facts
from otel_claude_stream._core.retry.budget import BudgetKey, RetryBudgets
from otel_claude_stream._core.retry.context import Action, Decision, RetryContext
from otel_claude_stream._core.retry.decide import decide
from otel_claude_stream._core.retry.policy import Budget, Mode, RetryPolicy
from otel_claude_stream._core.stream.call import Reply, RequestCapabilities
from otel_claude_stream._core.stream.delivered import Delivered
from otel_claude_stream._core.vocabulary import AbortReason
from otel_claude_stream._session.permits import CallPermits

_CERTIFICATE = "SSLCertVerificationError"


@dataclass(frozen=True, slots=True)
class BudgetTokens:
    """The retry budget of one call."""

    budgets: RetryBudgets
    key: BudgetKey
    budget: Budget
    clock: Callable[[], int]

    def first(self) -> None:
        """Count the first request of the call."""
        self.budgets.count_call(self.key, self.budget, self.clock())

    def take(self) -> bool:
        """Take one retry; False if there is none left."""
        return self.budgets.take(self.key, self.budget, self.clock())

    def left(self) -> float:
        """Return how many there are."""
        return self.budgets.remaining(self.key, self.budget, self.clock())


@dataclass(slots=True, eq=False)
class CallPolicy:
    """The policy of one call, and the counts that it limits. With `killed`, the kill switch is on."""

    policy: RetryPolicy
    """The one of the call's model."""
    tokens: BudgetTokens | None
    """The budget; None where nothing is drawn on any."""
    random: Callable[[], float]
    """Returns a number from 0 up to 1, for the jitter."""
    killed: InitVar[bool] = False
    find_fallback: InitVar[Callable[[], str] | None] = None
    """Returns the fallback model that takes the request, empty if none does. None if none may."""
    _fallback: Callable[[], str] | str | None = field(init=False)
    permits: CallPermits | None = None
    """Those of its requests; None if the policy limits no open requests."""
    dry_run: bool = field(init=False)
    """Nothing is done about a failure; the decision is only reported."""
    attempt: int = 1
    resumes: int = 0
    delay: float | None = None

    def __post_init__(self, killed: bool, find_fallback: Callable[[], str] | None) -> None:
        self._fallback = find_fallback
        self.dry_run = killed or self.policy.mode is Mode.OBSERVE or self.policy.kill_switch

    @property
    def fallback(self) -> str | None:
        """The fallback model that takes the request. Empty if none does, None if none may any more.

        It is looked for at the first failure, as that takes milliseconds for a long request.
        """
        if callable(self._fallback):
            self._fallback = self._fallback()
        return self._fallback

    @property
    def keeps_text(self) -> bool:
        """Whether the text that is delivered has to be kept, for a continuation."""
        return not self.dry_run and self.policy.mode is Mode.RESUME

    @property
    def layer(self) -> str:
        """`sdk` or `policy`: which layer sent the current request."""
        return "policy" if self.attempt > 1 else "sdk"

    def left(self) -> float | None:
        """Return the retries that the budget still allows; None for a dry run."""
        return self.tokens.left() if self.tokens is not None and not self.dry_run else None

    def take(self) -> bool:
        """Take one retry out of the budget; False if there is none left. A dry run takes nothing."""
        return self.dry_run or self.tokens is None or self.tokens.take()

    def decide(
        self,
        facts: Facts,
        verdict: Verdict,
        reply: Reply | None,
        delivered: Delivered,
        capabilities: RequestCapabilities,
        *,
        requests: int,
        before_response: bool,
    ) -> Decision:
        """Decide what is done about a failed attempt, and count it if another one follows."""
        policy = self.policy
        if self.dry_run:  # as its mode would decide, or as `resume` would if it only observes
            mode = Mode.RESUME if policy.mode is Mode.OBSERVE else policy.mode
            policy = replace(policy, mode=mode, kill_switch=False)
            delivered = replace(delivered, started=delivered.thinking)  # the gate would have buffered it
        decision = decide(
            policy,
            RetryContext(
                reason=verdict.reason or AbortReason.STREAM_ERROR,
                phase=facts.phase,
                delivered=delivered,
                capabilities=capabilities,
                fallback=self.fallback,
                limit_match=verdict.limit_match,
                certificate_rejected=facts.fault is not None and facts.fault.has(_CERTIFICATE),
                retry_after=reply.retry_after if reply is not None else None,
                should_retry=reply.should_retry if reply is not None else None,
                before_response=before_response,
                attempt=self.attempt,
                resumes=self.resumes,
                requests=requests,
                elapsed=facts.elapsed,
                previous_delay=self.delay,
            ),
            take_token=self.take,
            random=self.random(),
        )
        if decision.action is not Action.GIVE_UP and not self.dry_run:
            self.attempt += 1
            self.resumes += decision.action is Action.RESUME
            self.delay = decision.delay
            if decision.action is Action.FALLBACK:
                self._fallback = None  # one step a call
        return decision
