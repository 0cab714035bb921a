"""Scenarios of several hours of streams, each a separate job, with known answers for the dashboards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dashboards.generator.limit_bands import DURATION, IDLE
from tests.support.dashboards.exposition import PROTOCOLS, Protocol
from tests.support.dashboards.simulation import HOUR, MINUTE, Call
from tests.support.scenes import STORY, paced_script, resuming_script
from tests.support.scenes import after as first_events

from otel_claude_stream._core.retry.policy import Concurrency, Mode, RetryPolicy, SdkRetries
from otel_claude_stream.testing import CutMidChunk, End, Error, Event, Pause, Ping, Reset, Script

START = 1_700_006_400
"""The start of every scenario in seconds since the epoch, a full hour in November 2023."""
STEP = 60.0

WORDS = " ".join(["word"] * 20)
ANSWER = Script.message(WORDS, gap=0.05, first_token_delay=0.6, output_tokens=60)
"""An answer with twenty deltas. It has 0.6 s to the first token, 19 gaps of 50 ms, and 60 / 0.95 tokens per second."""
DELTA = next(n for n, step in enumerate(ANSWER.steps) if isinstance(step, Event) and step.type == "content_block_delta")
OVERLOADED = Script.http_error(529)
RATE_LIMITED = Script.http_error(
    429,
    headers=[
        ("date", "Sat, 28 Nov 2026 13:00:00 GMT"),
        ("retry-after", "2"),
        *(
            (f"anthropic-ratelimit-{kind}-{part}", value)
            for kind, remaining, limit in (("requests", "0", "50"), ("output-tokens", "20000", "80000"))
            for part, value in (("remaining", remaining), ("limit", limit), ("reset", "2026-11-28T13:04:00Z"))
        ),
    ],
)
"""A refusal that reports two rate limits, which are replenished after four minutes."""


def after(events: int, *steps: Any) -> Script:
    """Send the first events of an answer, then other steps."""
    return replace(ANSWER, steps=(*ANSWER.cut_after(events, End()).steps[:-1], *steps))


def cut(seconds: float, how: Any, *, age: int = 0) -> Script:
    """Cut an answer after a silence of `seconds`, with `age` deltas at intervals of 3 s before it."""
    writing = [part for _ in range(age) for part in (Pause(3.0), ANSWER.steps[DELTA])]
    return after(13, *writing, Pause(seconds), how)


CUT_AT_60 = cut(60.05, CutMidChunk())
FAILS_AFTER_FIRST_TOKEN = after(13, Error())
FAILS_BEFORE_FIRST_TOKEN = after(1, Error())


def silent(seconds: float) -> Script:
    """Send a complete answer with a silence of `seconds` in it."""
    return replace(ANSWER, steps=(*after(13).steps, Pause(seconds), *ANSWER.steps[len(after(13).steps) :]))


SILENT_FOR_40 = silent(40.0)
PINGS_ONLY = replace(
    ANSWER, steps=(*after(13).steps, *(Pause(10), Ping()) * 4, Pause(1), *ANSWER.steps[len(after(13).steps) :])
)


def every(minutes: float, begin: float, end: float, *scripts: Script, **more: Any) -> list[Call]:
    """Return a call every `minutes`, from the minute `begin` to the minute `end` (exclusive)."""
    number = round((end - begin) / minutes)
    return [Call((begin + n * minutes) * MINUTE, scripts or (ANSWER,), **more) for n in range(number)]


def alb() -> list[Call]:
    """A load balancer cuts eleven streams at 60 s, one every ten minutes from minute 70 on."""
    cuts = [Call((70 + 10 * n) * MINUTE, (cut(60.05, CutMidChunk(), age=n),)) for n in range(11)]
    return [*every(1, 0, 180), *cuts]


CUT_STORY = first_events(paced_script(STORY), 11, Pause(60.05), CutMidChunk())
RESUMED_STORY = resuming_script(STORY[:83])


def recovered() -> list[Call]:
    """A load balancer cuts eleven streams at 60 s, of which a resume saves each."""
    return [*every(1, 0, 180), *every(10, 70, 180, CUT_STORY, RESUMED_STORY)]


def nat() -> list[Call]:
    """A NAT drops idle connections after 350 s. It cuts seven streams of one of two servers."""
    out = [Call(s.at, s.scripts, server="api.anthropic.com") for s in every(1, 0, 180)]
    cuts = [
        Call((70 + 15 * n) * MINUTE, (cut(350.1, Reset(), age=2 * n),), server="api.anthropic.com") for n in range(7)
    ]
    return [*out, *cuts, *every(1, 0, 180)]


def incident() -> list[Call]:
    """Overload for ten minutes, with the SDK's two retries. Two calls a minute get a 529, two break off."""
    refused = every(0.5, 120, 130, OVERLOADED, OVERLOADED, OVERLOADED)
    return [
        *every(0.5, 0, 120),
        *refused,
        *every(1, 120.25, 130.25, FAILS_AFTER_FIRST_TOKEN),
        *every(1, 120.75, 130.75, FAILS_BEFORE_FIRST_TOKEN),
        *every(0.5, 131, 180),
        *every(10, 5, 105, RATE_LIMITED, ANSWER),
    ]


POLICY = RetryPolicy(mode=Mode.RETRY, sdk_retries=SdkRetries.REPLACE)
"""The default policy in mode `retry`, also before the headers. Its budget is a fifth of the calls, and six a minute."""


def guarded() -> list[Call]:
    """Overload at twelve calls a minute, with a retry policy and its budget."""
    return [
        *every(1 / 12, 115, 120),
        *every(1 / 12, 120, 130, OVERLOADED),
        *every(1 / 12, 130, 140, FAILS_BEFORE_FIRST_TOKEN, ANSWER),
        *every(1 / 12, 150, 160),
    ]


LIMITED = RetryPolicy(mode=Mode.RETRY, concurrency=Concurrency(max=1, queue=10.0))


def crowded() -> list[Call]:
    """A stream that is left open at minute 60 keeps the only permit, so that no later request gets one."""
    return [*every(1, 0, 60), Call(60 * MINUTE, (ANSWER,), left_open=True), *every(1, 61, 120)]


def buffering() -> list[Call]:
    """One of two gateways buffers each answer until it is complete."""
    buffered = ANSWER.buffered()
    return [
        *every(1, 0, 180, server="straight.example.com"),
        *every(1, 0, 180, buffered, server="buffering.example.com"),
    ]


def healthy() -> list[Call]:
    """A healthy week. Each fifth stream is silent for 40 s, and one a day is closed by its caller."""
    day = 24 * 60
    return [
        *every(15, 0, 7 * day),
        *every(60, 4, 7 * day, SILENT_FOR_40),
        *every(day, 30, 7 * day, closed_early=True),
    ]


def limits() -> list[Call]:
    """Each known idle limit cuts streams, the first one, the second two, and so on. Duration limits do the same.

    Streams cut by an idle limit send content for 12 s before, so that their age matches no duration limit.
    """
    found = [*every(1, 0, 60)]
    for number, band in enumerate(IDLE, 1):
        found += every(1, 62, 62 + number, cut(band.seconds[-1] + 0.05, CutMidChunk(), age=4))
    for number, band in enumerate(DURATION, 1):
        age = int((band.seconds[-1] - 1.05) / 3)
        rest = band.seconds[-1] + 0.05 - 1.05 - 3 * age
        found += every(1, 100, 100 + number, cut(rest, CutMidChunk(), age=age))
    return found


def headroom() -> list[Call]:
    """For each idle limit, one of a hundred healthy streams is silent for a little longer."""
    silences = [Call((30 + number) * MINUTE, (silent(band.high + 1),)) for number, band in enumerate(IDLE)]
    return [*every(1, 0, 5), *every(0.5, 20, 20 + (100 - len(silences)) / 2), *silences]


def hourly() -> list[Call]:
    """One stream an hour, of which the third fails."""
    return [Call(n * HOUR + 5 * MINUTE, (CUT_AT_60 if n == 2 else ANSWER,)) for n in range(6)]


SPECIAL_NAMES = ('anthropic/claude "test"', "claude\\sonnet", "claude.sonnet+5 (preview)", "a|b")


def special_names() -> list[Call]:
    """Models whose names contain characters that are special in queries."""
    return [one for model in SPECIAL_NAMES for one in every(2, 0, 180, model=model)]


def many() -> list[Call]:
    """Calls to two hundred models."""
    return [one for n in range(200) for one in every(15, n / 20, 40, model=f"claude-{n:03}")]


def hanging() -> list[Call]:
    """A stream left open from minute 100 on, streams with only pings for 41 s, and an internal error."""
    return [
        *every(1, 0, 180),
        Call(100 * MINUTE, (ANSWER,), server="stuck.example.com", left_open=True),
        *every(1, 140, 150, PINGS_ONLY),
        Call(146 * MINUTE, (ANSWER,), internal_error=True),
    ]


@dataclass(frozen=True)
class Scenario:
    """The calls of one job. At the minutes `restarts` its process restarts with counters at zero."""

    job: str
    calls: Callable[[], list[Call]]
    hours: float = 3.0
    step: float = STEP
    protocols: tuple[Protocol, ...] = PROTOCOLS
    settings: dict[str, Any] = field(default_factory=dict)
    restarts: tuple[float, ...] = ()

    def name(self, protocol: Protocol) -> str:
        """Return the name of the job in Prometheus."""
        return f"{self.job}-{protocol}"


SCENARIOS = (
    Scenario("alb", alb),
    Scenario("recovered", recovered, settings={"retry_policy": RetryPolicy(mode=Mode.RESUME)}),
    Scenario("nat", nat, protocols=("scrape",)),
    Scenario("incident", incident),
    Scenario("guarded", guarded, protocols=("otlp",), settings={"retry_policy": POLICY}),
    Scenario("crowded", crowded, 2.0, protocols=("otlp",), settings={"retry_policy": LIMITED}),
    Scenario("buffering", buffering),
    Scenario("healthy", healthy, 7 * 24.0, 240.0, ("otlp",)),
    Scenario("limits", limits, protocols=("otlp",)),
    Scenario("headroom", headroom, protocols=("scrape",)),
    Scenario("hourly", hourly, 6.0, protocols=("scrape",)),
    Scenario("special", special_names, protocols=("otlp",)),
    Scenario("many", many, 2 / 3, 300.0, ("otlp",), {"max_models": 300}),
    Scenario("hanging", hanging),
    Scenario("restarting", alb, protocols=("otlp",), restarts=(100.0, 101.5, 140.0)),
    Scenario("new", lambda: every(1, 0, 180), protocols=("otlp",), settings={"semconv": "0.1"}),
    Scenario("both", lambda: every(1, 0, 180), protocols=("otlp",), settings={"semconv": "both"}),
)
