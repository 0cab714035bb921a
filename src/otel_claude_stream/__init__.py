"""OpenTelemetry instrumentation for streams of the Claude API, with the reason why each stream ended.

>>> from otel_claude_stream import ClaudeStreamInstrumentor
>>> ClaudeStreamInstrumentor().instrument()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otel_claude_stream.version import __version__

if TYPE_CHECKING:
    from otel_claude_stream._config import StreamConfig
    from otel_claude_stream._config.policy.override import no_retry, retry_policy
    from otel_claude_stream._config.stream_labels import stream_labels
    from otel_claude_stream._core.retry.policy import RetryPolicy
    from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase
    from otel_claude_stream._instrumentor import ClaudeStreamInstrumentor
else:
    _MODULES = {
        "StreamConfig": "_config",
        "no_retry": "_config.policy.override",
        "retry_policy": "_config.policy.override",
        "stream_labels": "_config.stream_labels",
        "RetryPolicy": "_core.retry.policy",
        **dict.fromkeys(("AbortReason", "Origin", "Outcome", "Phase"), "_core.vocabulary"),
        "ClaudeStreamInstrumentor": "_instrumentor",
    }

    def __getattr__(name: str) -> object:
        """Import a name on first use. The command line would be deaf to Ctrl-C while all of them are imported."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AbortReason",
    "ClaudeStreamInstrumentor",
    "Origin",
    "Outcome",
    "Phase",
    "RetryPolicy",
    "StreamConfig",
    "__version__",
    "no_retry",
    "retry_policy",
    "stream_labels",
]
