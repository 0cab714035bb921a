from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_claude_stream.cli.view.printable import json_text, printable, printable_line

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]0;x\x07\x1b[31m", "\\x1b]0;x\\x07\\x1b[31m"),
        ("\x9b31m\x7f\x00\r", "\\x9b31m\\x7f\\x00\\r"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
        ("\udc9b", "\\udc9b"),
        ("Grüße, 日本 🙂 – …", "Grüße, 日本 🙂 – …"),  # noqa: RUF001 - a dash as the views print it
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert printable(text) == shown


def joined(text: str) -> str:
    """Return ``text`` with each pair of surrogates joined, as a decoder of JSON does."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


@given(st.text(st.characters(codec=None)))
@example("\ud83d\ude42")
def test_no_control_character_is_left(text: str) -> None:
    for shown in (printable(text), json_text(text)):
        assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n"]
        assert not set(shown) & set(BIDI + "\u2028\u2029\x85")
    assert "\n" not in printable_line(text)
    assert json.loads(json_text(text)) == joined(text)
    if "\\" not in text:
        assert len(printable(printable(text))) == len(printable(text))
