"""Puts the watch of one instrumentation together: policy, emitter, limits, clocks.

Imported with the SDK, not before: a process that never imports that pays for the hooks alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from opentelemetry._logs import get_logger
from opentelemetry.metrics import get_meter
from opentelemetry.trace import get_tracer

from otel_claude_stream import _guard
from otel_claude_stream._config import Severity, StreamConfig
from otel_claude_stream._config.policy import PolicySource, kill_switched, override, without_kill_switch
from otel_claude_stream._core.diagnosis.limits import KNOWN_LIMITS, parse_limits
from otel_claude_stream._core.retry.policy import Mode, RetryPolicy
from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks
from otel_claude_stream._session.policy_resolver import PolicyResolver
from otel_claude_stream._session.registry import OpenStreams
from otel_claude_stream._telemetry.logs import LogEvents
from otel_claude_stream._telemetry.stream_telemetry import Emitter
from otel_claude_stream.version import __version__

_log = logging.getLogger("otel_claude_stream")

SCOPE = "otel_claude_stream"


class Plan(NamedTuple):
    """What one instrumentation was asked for."""

    config: StreamConfig
    source: PolicySource
    streams: OpenStreams
    clock: Callable[[], int]
    """The monotonic clock, in nanoseconds."""
    chance: Callable[[], float]
    """Where the jitter of a back-off comes from: from 0 up to 1."""
    tracer_provider: Any = None
    meter_provider: Any = None
    logger_provider: Any = None


def assemble(plan: Plan) -> SdkHooks:
    """The watch of an instrumentation. Raises what a provider that was given in code raises."""
    policy = _policy(plan.source)
    policies = PolicyResolver(
        without_kill_switch(policy),
        override=override.current_override,
        killed=lambda: kill_switched(os.environ, policy.kill_switch),
        clock=plan.clock,
        chance=plan.chance,
    )
    emitter = Emitter(
        get_tracer(SCOPE, __version__, plan.tracer_provider),
        get_meter(SCOPE, __version__, plan.meter_provider),
        LogEvents(get_logger(SCOPE, __version__, plan.logger_provider)),
        plan.config,
        plan.streams,
        budgets=policies.left if policies.active else None,
    )
    _guard.on_report(emitter.internal_error)
    limits = parse_limits(plan.config.known_limits) if plan.config.known_limits else KNOWN_LIMITS
    told = _with_watchdog(plan.config, policy)
    if told is not plan.config:
        plan.streams.tell_stalls(told.stall_thresholds)
    return SdkHooks(emitter, told, limits, plan.streams, policies, monotonic=plan.clock)


def _policy(source: PolicySource) -> RetryPolicy:
    """The policy of the process. Any error is one log, and means that streams are observed."""
    policy, problems = source.load()
    for severity, tell, meaning in _TOLD:
        if found := [str(problem) for problem in problems if problem.severity is severity]:
            tell("otel-claude-stream: %s%s", "\n  ".join(found), meaning)
    return policy


def _with_watchdog(config: StreamConfig, policy: RetryPolicy) -> StreamConfig:
    """The settings, with what a watchdog that only observes would give up told as a stall."""
    watchdog = policy.watchdog
    limits = {x for x in (watchdog.silence, watchdog.no_progress) if x is not None}
    if policy.mode is not Mode.OBSERVE or limits <= set(config.stall_thresholds):
        return config
    return replace(config, stall_thresholds=tuple(sorted(limits | set(config.stall_thresholds))))


_TOLD = (
    (Severity.ERROR, _log.error, "\n  the retry policy is not used: streams are observed, nothing is retried"),
    (Severity.WARNING, _log.warning, ""),
)
