"""OpenTelemetry's global providers, and their replacement by those that the application sets later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class GlobalProvider:
    """The location of a global provider in OpenTelemetry's API, and of the flag that allows to set it once."""

    api: str
    setter: str
    holder: str
    value: str
    once: str


GLOBALS: Final = (
    GlobalProvider(
        "opentelemetry.trace",
        "set_tracer_provider",
        "opentelemetry.trace",
        "_TRACER_PROVIDER",
        "_TRACER_PROVIDER_SET_ONCE",
    ),
    GlobalProvider(
        "opentelemetry.metrics",
        "set_meter_provider",
        "opentelemetry.metrics._internal",
        "_METER_PROVIDER",
        "_METER_PROVIDER_SET_ONCE",
    ),
    GlobalProvider(
        "opentelemetry._logs",
        "set_logger_provider",
        "opentelemetry._logs._internal",
        "_LOGGER_PROVIDER",
        "_LOGGER_PROVIDER_SET_ONCE",
    ),
)
"""Valid for opentelemetry-api 1.37 to 1.45. If a name is missing, the first provider cannot be replaced."""


def any_provider_is_set() -> bool:
    """Whether a global provider is set already, by a `sitecustomize` for instance."""
    return any(_current(kind) is not None for kind in GLOBALS)


def let_application_replace_providers() -> None:
    """Allow the application to replace the global providers that are set now.

    The API accepts the first provider only, and logs a warning for any other. The providers set now were created
    before the application's first line, from variables that it may use for its own set-up.
    """
    for kind in GLOBALS:
        provider = _current(kind)
        if provider is not None:
            _make_replaceable(kind, provider)


def _current(kind: GlobalProvider) -> Any:
    return getattr(import_module(kind.holder), kind.value, None)


def _make_replaceable(kind: GlobalProvider, ours: object) -> None:
    from opentelemetry.util._once import Once

    holder, api = import_module(kind.holder), import_module(kind.api)
    original: Callable[..., None] = getattr(api, kind.setter)
    if not isinstance(getattr(holder, kind.once, None), Once):
        return

    @functools.wraps(original)
    def set_provider(provider: Any, *args: Any, **kwargs: Any) -> None:
        if getattr(holder, kind.value, None) is ours and provider is not ours:
            setattr(holder, kind.value, None)
            setattr(holder, kind.once, Once())
        original(provider, *args, **kwargs)

    for module in {holder, api}:
        if getattr(module, kind.setter, None) is original:
            setattr(module, kind.setter, set_provider)
