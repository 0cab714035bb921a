"""The labels of metrics: bounded in number, and shared between streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from otel_claude_stream._core.stream.call import Call
from otel_claude_stream._telemetry import attributes as a
from otel_claude_stream._telemetry.buffer import Labels

Pairs = tuple[tuple[str, str | int], ...]

MAX_SHARED: Final = 2048
"""The most sets of labels that streams share. A server may answer with any status."""


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

    def __init__(self, max_models: int, on_new: Callable[[Labels], None]) -> None:
        """`on_new` gets each new set of common labels, before a stream has them."""
        self._on_new = on_new
        self._request_models = CardinalityLimit(max_models)
        self._response_models = CardinalityLimit(max_models)  # separate, because they come from the network
        self._servers = CardinalityLimit(max_models)
        self._common: dict[tuple[str, str], Labels] = {}
        self._extended: dict[tuple[int, Pairs], Labels] = {}  # by the id() of a dict in `_common`

    def common(self, call: Call) -> Labels:
        """Return the labels that all metrics of a call have."""
        key = (self._request_models(call.model), self._servers(call.server_address))
        found = self._common.get(key)
        if found is None:
            found = self._common[key] = {a.REQUEST_MODEL.name: key[0], a.SERVER_ADDRESS.name: key[1]}
            self._on_new(found)
        return found

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
