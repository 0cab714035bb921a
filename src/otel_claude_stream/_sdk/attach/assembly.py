"""Assembles the hooks of one instrumentation from policy, emitter, limits and clocks.

Imported together with the SDK, so that a process without it only pays for the table of hooks.
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
from otel_claude_stream._config.policy import KillSwitch, PolicySource, override, without_kill_switch
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
    """The arguments of one instrumentation."""

    config: StreamConfig
    source: PolicySource
    streams: OpenStreams
    clock: Callable[[], int]
    """The monotonic clock, in nanoseconds."""
    chance: Callable[[], float]
    """Returns a random number from 0 up to 1, for the jitter of a back-off."""
    tracer_provider: Any = None
    meter_provider: Any = None
    logger_provider: Any = None


def assemble(plan: Plan) -> SdkHooks:
    """Return the hooks of an instrumentation. Raises what a provider raises that was passed in code."""
    policy = _policy(plan.source)
    policies = PolicyResolver(
        without_kill_switch(policy),
        override=override.current_override,
        killed=KillSwitch(os.environ, policy),
        clock=plan.clock,
        chance=plan.chance,
    )
    emitter = Emitter(
        get_tracer(SCOPE, __version__, plan.tracer_provider),
        get_meter(SCOPE, __version__, plan.meter_provider),
        LogEvents(get_logger(SCOPE, __version__, plan.logger_provider)),
        plan.config,
        plan.streams,
        observed=tuple(policies.observed().items()),
        clock=plan.clock,
    )
    plan.streams.recorded_by(emitter)
    _guard.on_report(emitter.record_internal_error)
    limits = parse_limits(plan.config.known_limits) if plan.config.known_limits else KNOWN_LIMITS
    config = _with_watchdog(plan.config, policy)
    if config is not plan.config:
        plan.streams.report_stalls(config.stall_thresholds)
    return SdkHooks(emitter, config, limits, plan.streams, policies, monotonic=plan.clock)


def _policy(source: PolicySource) -> RetryPolicy:
    """Return the policy of the process. An error is logged, and streams are then only observed."""
    policy, problems = source.load()
    for severity, log, consequence in _LOGS:
        if found := [str(problem) for problem in problems if problem.severity is severity]:
            log("otel-claude-stream: %s%s", "\n  ".join(found), consequence)
    return policy


def _with_watchdog(config: StreamConfig, policy: RetryPolicy) -> StreamConfig:
    """Return the settings, with stall thresholds at the limits of a watchdog that only observes."""
    watchdog = policy.watchdog
    limits = {x for x in (watchdog.silence, watchdog.no_progress) if x is not None}
    if policy.mode is not Mode.OBSERVE or limits <= set(config.stall_thresholds):
        return config
    return replace(config, stall_thresholds=tuple(sorted(limits | set(config.stall_thresholds))))


_LOGS = (
    (Severity.ERROR, _log.error, "\n  the retry policy is not used: streams are observed, nothing is retried"),
    (Severity.WARNING, _log.warning, ""),
)
