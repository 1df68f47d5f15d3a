"""What others wrote is shown without moving a cursor, hiding a line or breaking a file."""

from __future__ import annotations

import json
import unicodedata
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.errors import HostError
from qualification.printable import code, inert, markdown, printable

pytestmark = pytest.mark.hostile

EVERYTHING = st.text(st.characters(codec=None, categories=None))


def test_what_is_printable_stays() -> None:
    assert printable("eth0 8.30 0x8000af86 é ß 漢 ×") == "eth0 8.30 0x8000af86 é ß 漢 ×"


def test_what_is_not_is_written_as_python_would() -> None:
    assert printable("\x1b[31m\r\a\x9b2J\u202eb\u200b\ud800\n\t") == (
        r"\x1b[31m\r\x07\x9b2J\u202eb\u200b\ud800\n\t"
    )
    assert printable("a\n\tb\r", lines=True) == "a\n\tb\\r"


@given(EVERYTHING)
def test_it_is_inert_everywhere(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    shown.encode()
    assert ET.fromstring(f"<a>{escape(shown)}</a>").text in (shown, None)
    assert printable(shown) == shown


@given(
    st.recursive(EVERYTHING, lambda inside: st.lists(inside) | st.dictionaries(EVERYTHING, inside))
)
def test_a_value_keeps_its_form(value: object) -> None:
    made = inert(value)
    assert type(made) is type(value)
    assert json.dumps(made, ensure_ascii=False).isprintable()


def test_an_error_is_harmless_to_print() -> None:
    error = HostError("said: \x1b]0;owned\a", where="al\rpha", hint="one\ntwo\x7f")
    assert str(error) == "al\\rpha: said: \\x1b]0;owned\\x07\n  next: one\ntwo\\x7f"


def test_in_markdown_nothing_of_it_is_markup() -> None:
    assert markdown("<script>[a](javascript:b) `c` | d\n_e_ &amp; \x1b") == (
        r"&lt;script&gt;\[a\](javascript:b) \`c\` \| d\\n\_e\_ &amp;amp; \\x1b"
    )
    assert code("a`b|c<d>\x1b") == r"`a'b¦c<d>\x1b`"
