"""The description of a call and of its responses."""

from __future__ import annotations

import dataclasses

import pytest

from otel_claude_stream._core.stream.call import Call, Reply
from otel_claude_stream._core.summary import Attempt


@pytest.mark.parametrize(
    ("fingerprint", "shown"),
    [
        ({}, ""),
        ({"server": "nginx/1.25"}, "nginx/1.25"),
        ({"via": "1.1 squid"}, "1.1 squid"),
        ({"server": "cloudflare", "via": "1.1 squid"}, "cloudflare"),
        ({"server": "", "via": "1.1 squid"}, "1.1 squid"),
        ({"x-cache": "MISS"}, ""),
        ({"server": "x" * 65}, "x" * 64),
    ],
)
def test_the_intermediary_is_the_value_of_server_or_via(fingerprint, shown):
    """It has at most 64 characters, as it becomes an attribute."""
    assert Reply(200, fingerprint=fingerprint).intermediary == shown


@pytest.mark.parametrize(
    "value",
    [
        Call("m", "anthropic", "messages", "create", "host", 443, "self"),
        Reply(200),
        Attempt(1, 0, 1, "sdk"),
    ],
)
def test_descriptions_are_frozen(value):
    """They pass between layers, which must not change them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)
