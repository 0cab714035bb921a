"""The provider's error type, read from the exceptions that the SDK raises."""

from __future__ import annotations

import pytest

from otel_claude_stream._core.vocabulary import ErrorSource, Stop
from otel_claude_stream._sdk.read.responses import end_by

HEAD = "Bad response code, expected 200: {'status_code': 400, 'headers': "
BODY = """'body': b'{"message":"Too many requests, please wait before trying again."}'}"""
# As anthropic 0.50 to 1.6 raises for an exception frame and for an error frame of Bedrock.
EXCEPTION = (
    "{':message-type': 'exception', ':exception-type': 'throttlingException', ':content-type': 'application/json'}, "
)
ERROR = "{':message-type': 'error', ':error-message': \"It's {busy}\", ':error-code': 'modelTimeoutException'}, "


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        (HEAD + EXCEPTION + BODY, "throttlingException"),
        (HEAD + ERROR + "'body': b''}", "modelTimeoutException"),
        (HEAD + "{':message-type': 'exception'}, " + BODY, None),
        (f"{HEAD}{{':exception-type': '{'x' * 5000}'}}, {BODY}", None),
        ("unexpected value; permitted: 'throttlingException'", None),
    ],
    ids=["exception frame", "error frame", "without a type", "endless type", "another error"],
)
def test_the_type_of_a_bedrock_exception_is_read_from_the_message(message, error_type):
    end = end_by(ValueError(message))
    assert (end.stop, end.error_type) == (Stop.RAISED, error_type)
    assert end.error_source is (ErrorSource.SSE if error_type else None)


def test_the_message_of_another_class_has_no_type():
    """A subclass of ValueError, such as an error of pydantic, is not raised for an exception frame."""
    assert end_by(UnicodeError(HEAD + EXCEPTION + BODY)).error_type is None
