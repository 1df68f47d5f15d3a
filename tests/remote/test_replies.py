"""The lines of an agent: a message of the protocol, or refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.errors import AgentError
from qualification.remote.replies import Greeting, ReplyError, greeting, refusal, reply

pytestmark = pytest.mark.hostile

HELLO = {"vxqual": 1, "version": 1, "python": [3, 11, 7], "pid": 4711, "uid": 0}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=6,
)
LINES = st.one_of(
    st.binary(),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["id", "result", "event", "error"]), JSON | st.just(7)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.binary().map(lambda more: b'{"id":7,"result":' + more),
)


def test_messages_and_their_values() -> None:
    assert reply(b'{"id":7,"result":{"a":[1]}}', 7) == ("result", {"a": [1]})
    assert reply(b'{"id":7,"event":null}', 7) == ("event", None)
    assert reply(b'{"id":null,"error":{}}', 7) == ("error", {})
    assert reply(b'{"id":6,"result":1}', 7) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"id":1,"result":' + b'{"a":' * 9999, "it has values that are nested too deeply"),
        (b'{"id":7,"result":NaN}', "it has NaN, which is no number of JSON"),
        (b'{"id":7,"result":[' + b"{}," * (1 << 18) + b"0]}", "it has more than 262144 values"),
        (b'{"id":7,"result":' + b"1" * 5000 + b"}", "it has no JSON (Exceeds the limit"),
        (b'{"id":99,"result":0}', "it is about request 99, which was not made"),
        (b'{"id":-1,"event":0}', "it is about request -1, which was not made"),
        (b'{"id":0,"event":0}', "it is about request 0, which was not made"),
        (b'{"id":true,"result":0}', "it has other keys or types than a message"),
        (b'{"id":7.0,"result":0}', "it has other keys or types than a message"),
        (b'{"id":7}', "it has other keys or types than a message"),
        (b'{"id":7,"result":0,"error":0}', "it has other keys or types than a message"),
        (b'[{"id":7,"result":0}]', "it has other keys or types than a message"),
        (b"\x1b[2J\x9b\xff", "it has bytes that are not UTF-8"),
        (b"import os; os.system('true')", "it has no JSON (Expecting value"),
    ],
)  # fmt: skip
def test_what_is_no_message(line: bytes, why: str) -> None:
    with pytest.raises(ReplyError) as caught:
        reply(line, 7)
    assert str(caught.value).startswith(why)


def test_the_greeting() -> None:
    assert greeting(json.dumps(HELLO).encode()) == Greeting((3, 11, 7), 4711, 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "the agent speaks version 2 of the protocol, and this vxqual speaks vers"),
        ({"version": None}, "the agent's greeting is malformed: version: must be a whole number"),
        ({"python": "3"}, "the agent's greeting is malformed: python: must be an array, is '3'"),
        ({"pid": [1]}, "the agent's greeting is malformed: pid: must be a whole number"),
        ({"uid": 1 << 70}, "the agent's greeting is malformed: it has a whole number of more than"),
        ({"more": 1}, "the agent's greeting is malformed: more: unknown key"),
    ],
)
def test_a_greeting_that_is_none(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ReplyError) as caught:
        greeting(json.dumps({**HELLO, **changes}).encode())
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        ("no", "must be an object, is 'no'"),
        ({"kind": 1, "message": "m"}, "kind: must be a string, is 1"),
        ({"kind": "k", "message": "m", "data": []}, "data: must be an object"),
        ({"kind": "k"}, "message: missing"),
    ],
)
def test_a_refusal_that_is_none(problem: Any, why: str) -> None:
    with pytest.raises(ReplyError) as caught:
        refusal("alpha", problem)
    assert str(caught.value).startswith(why)


def test_a_refusal_that_is_a_book_is_cut() -> None:
    data = {f"{number}": "x" * 99_999 for number in range(100)}
    error = refusal("alpha", {"kind": "k", "message": "m" * 99_999, "data": data})
    assert len(str(error)) < 1100
    assert len(error.__notes__) == 20
    assert all(len(note) < 20_010 for note in error.__notes__)


@given(LINES)
def test_any_line_is_read_or_refused(line: bytes) -> None:
    try:
        message = reply(line, 7)
        if message is not None and message[0] == "error":
            error = refusal("alpha", message[1])
            assert isinstance(error, AgentError)
            assert str(error).startswith("alpha: ")
        elif message is not None:
            assert json.dumps(message[1], ensure_ascii=False).isprintable()
    except ReplyError as error:
        assert str(error)
    try:
        greeting(line)
    except ReplyError as error:
        assert str(error)
