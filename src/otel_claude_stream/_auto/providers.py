"""The global providers: whether any is set, and how an application still gets its own after ours came first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Global:
    """Where OpenTelemetry's API keeps one of its global providers, and the lock that takes the first one only."""

    api: str
    setter: str
    holder: str
    value: str
    once: str


GLOBALS: Final = (
    Global(
        "opentelemetry.trace",
        "set_tracer_provider",
        "opentelemetry.trace",
        "_TRACER_PROVIDER",
        "_TRACER_PROVIDER_SET_ONCE",
    ),
    Global(
        "opentelemetry.metrics",
        "set_meter_provider",
        "opentelemetry.metrics._internal",
        "_METER_PROVIDER",
        "_METER_PROVIDER_SET_ONCE",
    ),
    Global(
        "opentelemetry._logs",
        "set_logger_provider",
        "opentelemetry._logs._internal",
        "_LOGGER_PROVIDER",
        "_LOGGER_PROVIDER_SET_ONCE",
    ),
)
"""The same from API 1.37 to 1.45. Where one is missing, OpenTelemetry's own rule holds: the first provider stays."""


def any_is_set() -> bool:
    """Whether somebody has set a global provider already, in a `sitecustomize` for instance."""
    return any(_value(one) is not None for one in GLOBALS)


def yield_to_the_application() -> None:
    """Let providers that the application sets replace those that are set now.

    The API refuses all but the first, with a warning. That is right among parts of one application; but ours were made
    from variables that it may have meant for its own set-up, and before its first line.
    """
    for one in GLOBALS:
        ours = _value(one)
        if ours is not None:
            _replaceable(one, ours)


def _value(one: Global) -> Any:
    return getattr(import_module(one.holder), one.value, None)


def _replaceable(one: Global, ours: object) -> None:
    from opentelemetry.util._once import Once

    holder, api = import_module(one.holder), import_module(one.api)
    original: Callable[..., None] = getattr(api, one.setter)
    if not isinstance(getattr(holder, one.once, None), Once):
        return

    @functools.wraps(original)
    def set_provider(provider: Any, *args: Any, **kwargs: Any) -> None:
        if getattr(holder, one.value, None) is ours and provider is not ours:
            setattr(holder, one.value, None)
            setattr(holder, one.once, Once())
        original(provider, *args, **kwargs)

    for module in {holder, api}:
        if getattr(module, one.setter, None) is original:
            setattr(module, one.setter, set_provider)
