"""The instrumentor, which loads the settings, installs the hooks and removes them."""

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
from otel_claude_stream._config import Declared, Problem, StreamConfig, load, otel_file
from otel_claude_stream._config.policy import override, policy_source
from otel_claude_stream._sdk.attach.hooks import Hooks
from otel_claude_stream._sdk.attach.lazy_hooks import LazyHooks
from otel_claude_stream._session.registry import OpenStreams
from otel_claude_stream._telemetry import export_log

if TYPE_CHECKING:
    from otel_claude_stream._sdk.attach.sdk_hooks import SdkHooks

_log = logging.getLogger("otel_claude_stream")

INSTRUMENTS = ("anthropic >= 0.50, < 3",)

_POLICY = "retry_policy"
"""The key of the retry policy in the section of a declarative configuration file."""

_LOADER = "opentelemetry.instrumentation.auto_instrumentation"
"""A module that is loaded only in processes where OpenTelemetry's auto-instrumentation runs."""

CLOCK = time.perf_counter_ns
"""The monotonic clock of new instrumentations, in nanoseconds. Replaced by benchmarks."""

RANDOM = random.random
"""The source of the jitter of back-offs, for new instrumentations. Replaced by tests."""

_hooks = Hooks()
_streams = OpenStreams()


class ClaudeStreamInstrumentor(BaseInstrumentor):
    """Instrument the streams of the Anthropic SDK with spans, events and metrics.

    ``instrument()`` takes these keyword arguments:

    - ``tracer_provider``, ``meter_provider``, ``logger_provider``: by default the global ones, even if set later;
    - ``config``: a `StreamConfig`, which replaces the environment and the configuration file;
    - ``retry_policy``: a `RetryPolicy`, a mapping as in a policy file, the name of a preset, or the path of a file;
    - any setting by its name, such as ``events="log"``.

    Settings in code override those of a declarative configuration file, which override the environment.

    ``instrument()`` does not import ``anthropic``. It works before and after that import, and for existing clients. It
    does not raise. An invalid setting is logged as an error and replaced by its default.
    """

    configuration = Declared
    """The class that OpenTelemetry's loader creates from our section of a declarative configuration file."""

    _active_config: StreamConfig | None = None
    """The settings while instrumented; None if `enabled` is false."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the supported versions of the SDK."""
        return INSTRUMENTS

    def instrument(self, **kwargs: Any) -> None:
        """Instrument the SDK; for the arguments see the class.

        Does nothing if the SDK is not installed. Logs an error if its version is not supported. A further call has no
        effect; if it has arguments, OpenTelemetry logs a warning.
        """
        skip_check = bool(kwargs.get("skip_dep_check"))
        raise_on_conflict = bool(kwargs.get("raise_exception_on_conflict"))
        # OpenTelemetry's loader calls a second time after a configuration file or after a `sitecustomize`.
        repeated = self.is_instrumented_by_opentelemetry and not kwargs.keys() - {"skip_dep_check"}
        if not repeated:
            if not skip_check and not raise_on_conflict and self._has_version_conflict():
                return
            super().instrument(**{**kwargs, "skip_dep_check": skip_check or not raise_on_conflict})
        if self._active_config is not None:
            # Only OpenTelemetry's loader skips the check, as it has checked the versions itself.
            _limit_export_failure_logs(self._active_config, automatic=skip_check and _LOADER in sys.modules)

    def _has_version_conflict(self) -> bool:
        """Whether the SDK is missing or its version is not supported."""
        try:
            conflict = self._check_dependency_conflicts()
        except Exception as error:  # noqa: BLE001 - the metadata of a package may be broken
            _guard.report("versions", error)
            return True
        if conflict is not None and conflict.found:
            _log.error(
                "otel-claude-stream: found %s, but %s is required; streams will not be instrumented. "
                "Install a supported version.",
                conflict.found,
                conflict.required,
            )
        return conflict is not None

    def _instrument(self, **kwargs: Any) -> None:
        try:
            self._install(**kwargs)
        except Exception as error:  # noqa: BLE001 - an exception would stop the instrumentors after this one
            _guard.report("instrument", error)

    def _install(
        self,
        *,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        config: StreamConfig | None = None,
        retry_policy: Any = None,
        skip_dep_check: bool | None = None,  # noqa: ARG002 - the base class passes it on
        raise_exception_on_conflict: bool | None = None,  # noqa: ARG002 - as above
        **settings: Any,
    ) -> None:
        section = dict(_file_section(settings.pop("declared", None)))
        source = policy_source(os.environ, retry_policy, declared=section.pop(_POLICY, None))
        merged, problems = _load_settings(config, section, settings)
        for problem in problems:
            _log.error("otel-claude-stream: %s", problem)
        if not merged.enabled:
            return
        self._active_config = merged

        clock, random_source = CLOCK, RANDOM

        def create_hooks() -> SdkHooks:
            from otel_claude_stream._sdk.attach.assembly import Plan, assemble

            return assemble(
                Plan(merged, source, _streams, clock, random_source, tracer_provider, meter_provider, logger_provider)
            )

        override.set_process_policy(source)
        _streams.forget_labels()
        _streams.report_stalls(merged.stall_thresholds)
        _hooks.install(LazyHooks(create_hooks), _import_stream_handling)

    def _uninstrument(self, **_: Any) -> None:
        try:
            _hooks.remove()
            override.set_process_policy(None)
            _streams.report_stalls(())
            export_log.uninstall()
        except Exception as error:  # noqa: BLE001 - as above
            _guard.report("uninstrument", error)
        finally:
            self._active_config = None
            _guard.on_report(None)


@_guard.guarded("instrument", default=None)
def _import_stream_handling() -> None:
    """Import the modules that handle streams when the SDK is imported, so that the first call does not wait."""
    import_module("otel_claude_stream._sdk.attach.assembly")


def limit_export_failure_logs() -> None:
    """Limit the logs of failed exports by the settings of the process, after this package started OpenTelemetry."""
    merged, _ = _load_settings(None, None, {})  # invalid settings are reported by `instrument()`
    _limit_export_failure_logs(merged, automatic=True)


@_guard.guarded("export_log", default=None)
def _limit_export_failure_logs(config: StreamConfig, *, automatic: bool) -> None:
    """Log failed exports as one line, if the settings ask for it.

    With ``export_failures="once"`` this includes exporters that are created later.
    """
    if export_log.limits_failures(config.export_failures, automatic=automatic):
        export_log.install(create_loggers=config.export_failures == "once")


def _file_section(passed: Mapping[str, object] | None) -> Mapping[str, object]:
    """Return the section of a declarative configuration file that its loader passed, else read it from the file."""
    if passed is None and (path := os.environ.get(otel_file.VARIABLE, "").strip()):
        return otel_file.section(path)
    return passed or {}


def _load_settings(
    config: StreamConfig | None, section: Mapping[str, object] | None, in_code: Mapping[str, object]
) -> tuple[StreamConfig, tuple[Problem, ...]]:
    """Merge the settings in code, configuration file and environment, in this order of precedence.

    A `config` replaces the configuration file, the environment and the defaults.
    """
    if config is not None:
        return load({}, in_code, base=config)
    section = _file_section(section)
    if not section:
        return load(os.environ, in_code)
    base, problems = load(os.environ, section, source=otel_file.VARIABLE)
    merged, more = load({}, in_code, base=base)
    return merged, problems + more
