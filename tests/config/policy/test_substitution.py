"""References to environment variables in the values of a file, by OpenTelemetry's rules."""

from __future__ import annotations

import pytest

from otel_claude_stream._config.policy.text import plain_scalar, substitute

ENVIRONMENT = {"MODE": "retry", "EMPTY": "", "NUMBER": "3", "REFERENCE": "${MODE}", "_x1": "y"}


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("${MODE}", "retry"),
        ("${env:MODE}", "retry"),
        ("a ${MODE} b ${NUMBER}", "a retry b 3"),
        ("${_x1}", "y"),
        ("${NONE}", ""),
        ("${NONE:-observe}", "observe"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${EMPTY:-observe}", "observe"),
        ("${MODE:-observe}", "retry"),
        ("$${MODE}", "${MODE}"),
        ("$$$${MODE}", "$${MODE}"),
        ("$$${MODE}", "$retry"),
        ("${REFERENCE}", "${MODE}"),  # substituted text is not searched again
        ("$MODE costs 5$", "$MODE costs 5$"),
        ("{anchor}", "{anchor}"),
    ],
)
def test_references_are_replaced(text, replaced):
    assert substitute(text, ENVIRONMENT) == replaced


@pytest.mark.parametrize("text", ["${1X}", "${}", "${MODE", "${MO DE}", "${file:MODE}", "${MODE:?x}", "${A-b}"])
def test_an_invalid_reference_is_rejected(text):
    with pytest.raises(ValueError, match=r"\$\{"):
        substitute(text, ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("on", "on"), ("yes", "yes"),
        ("no", "no"), ("3", 3), ("-3", -3), ("010", 10), ("0.2", 0.2), ("1e3", 1000.0), (".5", 0.5), ("1:30", "1:30"),
        ("30s", "30s"), ("0x10", "0x10"), ("1_000", "1_000"), ("9" * 5000, float("inf")), ("nan", "nan"),
    ],
)  # fmt: skip
def test_unquoted_scalars_follow_yaml_1_2(text, value):
    found = plain_scalar(text)
    assert (found, type(found)) == (value, type(value))
