"""OpenTelemetry instrumentation for streams of the Claude API, with the reason why each stream ended.

>>> from otel_claude_stream import ClaudeStreamInstrumentor
>>> ClaudeStreamInstrumentor().instrument()  # doctest: +SKIP
"""

from __future__ import annotations

from otel_claude_stream._config import StreamConfig
from otel_claude_stream._config.policy.override import no_retry, retry_policy
from otel_claude_stream._config.stream_labels import stream_labels
from otel_claude_stream._core.retry.policy import RetryPolicy
from otel_claude_stream._core.vocabulary import AbortReason, Origin, Outcome, Phase
from otel_claude_stream._instrumentor import ClaudeStreamInstrumentor
from otel_claude_stream.version import __version__

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
