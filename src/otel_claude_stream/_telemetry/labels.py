"""The labels of metrics: bounded in number, and shared between streams."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Final

from otel_claude_stream._config import StreamConfig
from otel_claude_stream._core.stream import bounds
from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.buffer import Labels

Pairs = tuple[tuple[str, str | int], ...]

MAX_SHARED: Final = 2048
"""The most sets of labels that streams share. A server may answer with any status."""

MAX_LABELLED: Final = 256
"""The most sets with labels of the caller. Each of them has a hundred series, and each label multiplies the sets."""

_log = logging.getLogger("otel_claude_stream")


class CardinalityLimit:
    """Limits a label to `limit` different values. Any further value becomes `other`."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or `other` if it is new and the limit is reached."""
        if value in self._seen:
            return value
        if len(self._seen) < self._limit:
            self._seen.add(value)
            return value
        return "other"


class LabelSets:
    """The labels of all streams. Streams with equal labels share a dict, which must not be modified."""

    def __init__(self, config: StreamConfig, on_new: Callable[[Labels], None]) -> None:
        """`on_new` gets each new set of common labels, before a stream has them."""
        max_models = config.max_models
        self._max_values = config.max_label_values
        self._values = {key: CardinalityLimit(self._max_values) for key in config.baggage_labels}
        self._labelled = 0
        self._on_new = on_new
        self.request_model = CardinalityLimit(max_models)
        """Bounds the models of requests."""
        self._response_models = CardinalityLimit(max_models)  # separate, because they come from the network
        self._servers = CardinalityLimit(max_models)
        self._common: dict[tuple[str, str, Pairs], Labels] = {}
        self._extended: dict[tuple[int, Pairs], Labels] = {}  # by the id() of a dict in `_common`

    def common(self, call: Call) -> Labels:
        """Return the labels that all metrics of a call have."""
        model, server = self.request_model(call.model), self._servers(call.server_address)
        pairs = self._of_caller(call.labels) if call.labels else ()
        found = self._common.get((model, server, pairs))
        if found is None and pairs:
            if self._labelled < MAX_LABELLED:
                self._labelled += 1
            else:
                _log_sets(MAX_LABELLED)
                pairs = tuple((a.LABEL_PREFIX + key, "other") for key in list(self._values))
                found = self._common.get((model, server, pairs))
        if found is None:
            found = {a.REQUEST_MODEL.name: model, a.SERVER_ADDRESS.name: server, **dict(pairs)}
            self._common[(model, server, pairs)] = found
            self._on_new(found)
        return found

    def _of_caller(self, labels: tuple[tuple[str, str], ...]) -> Pairs:
        """Return the labels of the caller, with their keys and values bounded in number."""
        pairs = []
        for key, value in labels:
            limit = self._values.get(key)
            if limit is None:
                if len(self._values) >= bounds.LABELS:
                    _log_keys(", ".join(self._values))
                    continue
                limit = self._values[key] = CardinalityLimit(self._max_values)
            bounded = limit(value)
            if bounded != value:
                _log_values(key, self._max_values)
            pairs.append((a.LABEL_PREFIX + key, bounded))
        return tuple(pairs)

    def extended(self, common: Labels, further: Pairs, on_new: Callable[[Labels], None] | None = None) -> Labels:
        """Return the common labels of a call with further ones. `on_new` gets them if no stream has had them."""
        key = (id(common), further)
        found = self._extended.get(key)
        if found is None:
            found = {**common, **dict(further)}
            if len(self._extended) < MAX_SHARED:
                self._extended[key] = found
                if on_new is not None:
                    on_new(found)
        return found

    def genai(self, call: Call, response_model: str | None) -> Labels:
        """Return the labels of the GenAI conventions' metrics."""
        found: Labels = {a.OPERATION_NAME.name: "chat", a.PROVIDER_NAME.name: call.provider, **self.common(call)}
        found |= self.response(response_model)
        if call.server_port is not None:
            found[a.SERVER_PORT.name] = call.server_port
        return found

    def response(self, model: str | None) -> Labels:
        """Return the label for the model that wrote a response, if it is known."""
        return {a.RESPONSE_MODEL.name: self._response_models(model)} if model is not None else {}


@functools.cache
def _log_values(key: str, most: int) -> None:
    _log.warning(
        "otel-claude-stream: the label %s has more than %d values; further ones are recorded as other on metrics. "
        "Use a label with fewer values, or raise max_label_values",
        key,
        most,
    )


@functools.cache
def _log_keys(keys: str) -> None:
    _log.warning(
        "otel-claude-stream: there are labels besides %s; spans have them, and metrics do not. Use fewer keys in "
        "stream_labels()",
        keys,
    )


@functools.cache
def _log_sets(most: int) -> None:
    _log.warning(
        "otel-claude-stream: the labels of callers have more than %d combinations with models and servers; further "
        "ones are recorded as other on metrics. Use fewer labels, or labels with fewer values",
        most,
    )
