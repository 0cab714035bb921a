"""The state of one call, as one value for the functions that only read it."""

from __future__ import annotations

from dataclasses import dataclass

from otel_claude_stream._core.diagnosis.classify import Diagnosis
from otel_claude_stream._core.diagnosis.limits import Limit
from otel_claude_stream._core.retry.concurrency import is_pushback
from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.stream.hot_path import HotPath
from otel_claude_stream._core.stream.message_state import MessageState
from otel_claude_stream._core.stream.timing import Timing
from otel_claude_stream._core.summary import Attempt
from otel_claude_stream._session.attempts import Attempts, Totals
from otel_claude_stream._session.call_policy import CallPolicy
from otel_claude_stream._telemetry.stream_telemetry import StreamTelemetry


@dataclass(slots=True)
class StreamState:
    """The parts of one call. Each part changes itself; the set of them stays the same."""

    call: Call
    call_policy: CallPolicy
    limits: tuple[Limit, ...]
    """The known limits of middleboxes, for the classifier."""
    telemetry: StreamTelemetry
    hot: HotPath
    timing: Timing
    message: MessageState
    attempts: Attempts

    @property
    def totals(self) -> Totals:
        """Sums over all attempts so far."""
        return Totals(self.hot.bytes, self.message.events, self.message.all_characters)

    def end_attempt(
        self, now: int, layer: str, reply: Reply | None, diagnosis: Diagnosis | None, *, delay: float | None = None
    ) -> Attempt:
        """Record the end of the request under way, and its failure if there is a `diagnosis`."""
        if diagnosis is not None:
            self.telemetry.record_attempt_abort(diagnosis)
            permits = self.call_policy.permits
            if permits is not None and is_pushback(diagnosis):
                permits.rejected()
        return self.attempts.end(now, layer, reply, diagnosis, self.totals, usage=self.message.usage, delay=delay)
