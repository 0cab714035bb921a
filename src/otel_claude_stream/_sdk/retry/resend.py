"""The request of a call, to be sent again with a few changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from otel_claude_stream import _guard

_RAW = "x-stainless-raw-response"
"""The header that asks the SDK for the response itself instead of the stream."""


_NOT_GIVEN = frozenset({"NotGiven", "Omit"})
"""The SDK's classes for arguments that were not given, which it strips when it sends."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments and keywords of the client's `request`."""


class Resend:
    """The arguments of one call of `request`. The application's own options object is never changed."""

    __slots__ = ("_args", "_client", "_kwargs", "_options")

    def __init__(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._client = client
        self._args = args
        self._kwargs = kwargs
        self._options = args[1] if len(args) > 1 else kwargs["options"]

    @property
    def body(self) -> dict[str, object]:
        """The JSON body of the original request; `extra_body` wins, as in the SDK."""
        return body_of(self._options)

    @property
    def call(self) -> Call:
        """The call as it was made."""
        return self._args, self._kwargs

    def unsent(self) -> Any:
        """Return an HTTP request for an exception about a call that was not sent, without headers and body."""
        return self._client._client.build_request("POST", str(self._options.url))  # noqa: SLF001 - the HTTP client

    @_guard.guarded("recovery", None)  # the boundary: the first attempt is sent in any case
    def first(self, most: int) -> Call:
        """Return the call as it was made, with at most `most` retries by the SDK."""
        return self._with(max_retries=most) if self._retries() > most else self.call

    def again(self, most: int) -> Call:
        """Return the same request, answered by a stream even if the application asked for the response."""
        return self._with(max_retries=min(self._retries(), most), headers=self._headers())

    def with_body(self, body: Mapping[str, object], most: int) -> Call:
        """Return the request with another body."""
        return self._with(
            max_retries=min(self._retries(), most), headers=self._headers(), json_data=dict(body), extra_json=None
        )

    def for_model(self, model: str) -> Resend:
        """Return the same request for another model."""
        return Resend(self._client, *self._with(json_data={**self.body, "model": model}, extra_json=None))

    def _retries(self) -> int:
        return int(self._options.get_max_retries(self._client.max_retries))

    def _headers(self) -> Any:
        headers = getattr(self._options, "headers", None)
        if not isinstance(headers, Mapping):
            return headers
        return {name: value for name, value in headers.items() if str(name).lower() != _RAW}

    def _with(self, **changes: Any) -> Call:
        copy = getattr(self._options, "model_copy", None) or self._options.copy  # pydantic 2, pydantic 1
        options = copy(update=changes)
        if len(self._args) > 1:
            return (self._args[0], options, *self._args[2:]), self._kwargs
        return self._args, {**self._kwargs, "options": options}


def body_of(options: object, only: Collection[str] | None = None) -> dict[str, object]:
    """Return the JSON body of a request, or the keys `only` of it, without arguments that were not given."""
    body: dict[str, object] = {}
    for part in ("json_data", "extra_json"):  # the second is `extra_body`, which wins
        found = getattr(options, part, None)
        if isinstance(found, Mapping):
            body.update(found if only is None else {name: found[name] for name in only if name in found})
    return {name: value for name, value in body.items() if is_given(value)}


def is_given(value: object) -> bool:
    """Whether an argument was given."""
    return type(value).__name__ not in _NOT_GIVEN
