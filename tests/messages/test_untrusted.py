"""JSON that others wrote: read, or refused, within bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.messages.untrusted import MOST_DEPTH, MOST_VALUES, UntrustedError, json_value

pytestmark = pytest.mark.hostile

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)  # fmt: skip


@given(ANYTHING)
def test_json_is_read_as_json(value: Any) -> None:
    assert json_value(json.dumps(value).encode()) == value


@given(st.binary() | st.text('[]{}",:0123456789eE+-.\\untrfals ').map(str.encode))
def test_anything_else_is_refused(text: bytes) -> None:
    try:
        value = json_value(text)
    except UntrustedError:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 100_000, "values that are nested too deeply"),
        (b'{"a":' * 100_000, "values that are nested too deeply"),
        (b"[" * 65 + b"]" * 65, "values that are nested too deeply"),
        (b"[NaN]", "NaN, which is no number of JSON"),
        (b"-Infinity", "-Infinity, which is no number of JSON"),
        (b"1e999", "a number that is too large"),
        (b"[18446744073709551616]", "a whole number of more than 64 bits"),
        (b"1" * 5000, "no JSON (Exceeds the limit (4300 digits)"),
        (b'"\xff"', "bytes that are not UTF-8"),
        (b"[[]" + b",[]" * MOST_VALUES + b"]", "more than 262144 values"),
        (b'{"a":1}x', "no JSON (Extra data: line 1 column 8 (char 7))"),
        (b"", "no JSON (Expecting value: line 1 column 1 (char 0))"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(text: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        json_value(text)
    assert str(caught.value).startswith(why)


def test_the_deepest_and_the_most_values_are_read() -> None:
    deep = b"[" * MOST_DEPTH + b"]" * MOST_DEPTH
    assert json_value(deep)
    assert len(json_value(b"[" + b"1," * (MOST_VALUES - 3) + b"1]")) == MOST_VALUES - 2


@pytest.mark.parametrize("item", ["[],", "{},", '{"a":{}},', "1,", '"é",', "1.5,"])
def test_no_text_of_an_answers_size_costs_much_memory(item: str) -> None:
    code = f"""if True:
        import resource
        from qualification.messages.untrusted import UntrustedError, json_value
        item = {item!r}
        text = ("[" + item * ((16 << 20) // len(item.encode())) + "0]").encode()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            json_value(text)
        except UntrustedError as error:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 32 << 10  # KiB
