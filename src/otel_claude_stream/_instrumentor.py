"""The instrumentor: reads the settings, puts the hooks in and out."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from otel_claude_stream import _guard
from otel_claude_stream._config import Declared, Problem, StreamConfig, load
from otel_claude_stream._config import otel_file as declared
from otel_claude_stream._config.policy import override, policy_source
from otel_claude_stream._sdk.attach.hooks import Hooks
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks
from otel_claude_stream._session.registry import OpenStreams
from otel_claude_stream._telemetry import export_log
from otel_claude_stream._telemetry.export_failures import is_once

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks

_log = logging.getLogger("otel_claude_stream")

INSTRUMENTS = ("anthropic >= 0.50, < 3",)

_POLICY = "retry_policy"
"""Where the policy is in our section of a declarative configuration file."""

_LOADER = "opentelemetry.instrumentation.auto_instrumentation"
"""Loaded in processes that OpenTelemetry's auto-instrumentation has started in, by whichever way, and in no others."""

CLOCK = time.perf_counter_ns
"""The monotonic clock of new instrumentations, in nanoseconds. Replaced by benchmarks."""

CHANCE = random.random
"""Where new instrumentations get the jitter of a back-off from. Replaced by tests."""

_hooks = Hooks()
_streams = OpenStreams()


class ClaudeStreamInstrumentor(BaseInstrumentor):
    """Instruments the streams of the Anthropic SDK: spans, events and metrics for each.

    ``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider`` (the global ones by
    default, also if they are set later), a ``config`` (`StreamConfig`), a ``retry_policy`` (a `RetryPolicy`, a mapping
    as in a policy file, the name of a preset, or the path of a file), and every setting by its name
    (``events="log"``), which wins over a declarative configuration file, as that does over the environment. It does
    not import ``anthropic``, works before and after its import and on clients that exist already, and never raises: a
    wrong setting is one error log, and its default.
    """

    configuration = Declared
    """What OpenTelemetry's loader of declarative configuration makes of our section."""

    _in_force: StreamConfig | None = None
    """While instrumented, and not switched off by a setting."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the SDK that are supported."""
        return INSTRUMENTS

    def instrument(self, **kwargs: Any) -> None:
        """Instrument, once. Without the SDK it says nothing and does nothing; an unsupported one is one error log.

        A further call does nothing. One that brings settings is told that it came too late.
        """
        checked = bool(kwargs.get("skip_dep_check"))
        # The loader of instrumentors calls again, after a configuration file or after a `sitecustomize`.
        again = self.is_instrumented_by_opentelemetry and not kwargs.keys() - {"skip_dep_check"}
        if not again:
            if not checked and not kwargs.get("raise_exception_on_conflict") and self._conflicts():
                return
            super().instrument(**{**kwargs, "skip_dep_check": checked or not kwargs.get("raise_exception_on_conflict")})
        if self._in_force is not None:
            # The loader is known by what it says: it has checked the versions itself.
            _tell_export_failures(self._in_force, automatic=checked and _LOADER in sys.modules)

    def _conflicts(self) -> bool:
        """Whether there is no SDK of a supported version."""
        try:
            conflict = self._check_dependency_conflicts()
        except Exception as error:  # noqa: BLE001 - broken metadata of some package
            _guard.report("versions", error)
            return True
        if conflict is not None and conflict.found:
            _log.error(
                "otel-claude-stream: found %s, supported is %s: not instrumented", conflict.found, conflict.required
            )
        return conflict is not None

    def _instrument(self, **kwargs: Any) -> None:
        try:
            self._install(**kwargs)
        except Exception as error:  # noqa: BLE001 - an instrumentor that raises stops the ones after it
            _guard.report("instrument", error)

    def _install(
        self,
        *,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        config: StreamConfig | None = None,
        retry_policy: Any = None,
        skip_dep_check: bool | None = None,  # noqa: ARG002 - the base class passes its own arguments on
        raise_exception_on_conflict: bool | None = None,  # noqa: ARG002 - as above
        **settings: Any,
    ) -> None:
        section = dict(_section(settings.pop("declared", None)))
        source = policy_source(os.environ, retry_policy, declared=section.pop(_POLICY, None))
        merged, problems = _settings(config, section, settings)
        for problem in problems:
            _log.error("otel-claude-stream: %s", problem)
        if not merged.enabled:
            return
        self._in_force = merged

        clock, chance = CLOCK, CHANCE

        def make_hooks() -> SdkHooks:
            from otel_claude_stream._sdk.attach.assembly import Plan, assemble

            return assemble(
                Plan(merged, source, _streams, clock, chance, tracer_provider, meter_provider, logger_provider)
            )

        override.use(source)
        _streams.forget_labels()
        _streams.report_stalls(merged.stall_thresholds)
        _hooks.install(LazyHooks(make_hooks), _import_the_rest)

    def _uninstrument(self, **_: Any) -> None:
        try:
            _hooks.remove()
            override.use(None)
            _streams.report_stalls(())
            export_log.tell_all()
        except Exception as error:  # noqa: BLE001 - as above
            _guard.report("uninstrument", error)
        finally:
            self._in_force = None
            _guard.on_report(None)


@_guard.guarded("instrument", default=None)
def _import_the_rest() -> None:
    """What works on streams: with the SDK, so that no first call waits for it, and not without."""
    import_module("otel_claude_stream._sdk.attach.assembly")


def tell_export_failures() -> None:
    """As the settings of the process have it, where we start OpenTelemetry: with or without an SDK to instrument."""
    merged, _ = _settings(None, None, {})  # what is wrong with them is told where streams are instrumented
    _tell_export_failures(merged, automatic=True)


@_guard.guarded("export_log", default=None)
def _tell_export_failures(config: StreamConfig, *, automatic: bool) -> None:
    """Have failed exports told by one line, if that is what the settings mean.

    Whoever asks for it by name may do so before there are exporters.
    """
    if is_once(config.export_failures, automatic=automatic):
        export_log.tell_once(everywhere=config.export_failures == "once")


def _check_limits(text: str) -> object:
    """Raises `ValueError` if the setting `known_limits` does not say any."""
    from otel_claude_stream._core.diagnosis.limits import parse_limits

    return parse_limits(text)


def _section(handed_over: Mapping[str, object] | None) -> Mapping[str, object]:
    """Our section of a declarative configuration file: what its loader hands over, else what is written there."""
    if handed_over is None and (path := os.environ.get(declared.VARIABLE, "").strip()):
        return declared.section(path)
    return handed_over or {}


def _settings(
    config: StreamConfig | None, section: Mapping[str, object] | None, said: Mapping[str, object]
) -> tuple[StreamConfig, tuple[Problem, ...]]:
    """Code over configuration file over environment over defaults; a `config` given in code replaces the last three."""
    if config is not None:
        return load({}, said, base=config, check_limits=_check_limits)
    section = _section(section)
    if not section:
        return load(os.environ, said, check_limits=_check_limits)
    base, problems = load(os.environ, section, check_limits=_check_limits, source=declared.VARIABLE)
    merged, more = load({}, said, base=base, check_limits=_check_limits)
    return merged, problems + more
