"""Reads the lines of an agent, which may be broken, or replaced by somebody else's program.

What has passed here has the form of the protocol and a bounded size, and its strings are inert
(`qualification.printable`); which message a result is, `decode` checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from qualification.errors import AgentError, HostError
from qualification.messages.decode import DecodeError, decode
from qualification.messages.host import Problem
from qualification.messages.protocol import ANSWER_LIMIT, PROTOCOL
from qualification.messages.untrusted import UntrustedError, json_value
from qualification.printable import inert, printable

TOO_LONG = f"it has more than {ANSWER_LIMIT >> 20} MiB"
GREETING = b'{"vxqual"'
"""How the agent's first line begins. Lines before it come from sudo or a shell."""

_MOST_SHOWN, _MOST_NOTES, _MOST_NOTE = 1000, 20, 20_000
"""Characters of an error and of a note to it, which may be a traceback; and the notes of one."""

Kind = Literal["event", "result", "error", "report"]
_KINDS: tuple[Kind, ...] = ("event", "result", "error", "report")


class ReplyError(ValueError):
    """A line is not a message of the protocol; the message says why, in a sentence."""


class Greeting(NamedTuple):
    """What an agent says of itself when it starts: its Python, its process id and its user id."""

    python: tuple[int, ...]
    pid: int
    uid: int


@dataclass(frozen=True)
class _FirstLine:
    """The greeting on the wire."""

    vxqual: int
    version: int
    python: tuple[int, ...]
    pid: int
    uid: int


def greeting(line: bytes) -> Greeting:
    """Reads an agent's first line.

    Raises:
        ReplyError: It is no greeting, or one of another version of the protocol.
    """
    try:
        value = _json(line)
    except ReplyError as error:
        raise ReplyError(f"the agent's greeting is malformed: {error}") from None
    version = value.get("version") if isinstance(value, dict) else None
    if type(version) is int and version != PROTOCOL:
        raise ReplyError(
            f"the agent speaks version {str(version)[:20]} of the protocol, and this vxqual "
            f"speaks version {PROTOCOL}"
        )
    try:
        first = decode(_FirstLine, value)
    except DecodeError as error:
        raise ReplyError(f"the agent's greeting is malformed: {error}") from None
    return Greeting(first.python, first.pid, first.uid)


def check_root(greeting: Greeting, host: str) -> None:
    """Checks that an agent is root.

    Raises:
        HostError: It is not.
    """
    if greeting.uid != 0:
        raise HostError(
            f"the agent needs root, but sudo starts it with user id {greeting.uid}",
            where=host,
            hint="allow this user to become root without a password (in sudoers: "
            "USER ALL=(root) NOPASSWD: ALL), or set user: root",
        )


def refused_by_sudo(said: str, host: str) -> HostError:
    """Returns the error that sudo does not start the agent, by what it said."""
    return HostError(
        f"sudo does not start the agent: {said}",
        where=host,
        hint="install sudo there and allow this user to run everything without a password "
        "(in sudoers: USER ALL=(root) NOPASSWD: ALL), or set user: root",
    )


def reply(line: bytes, asked: int) -> tuple[Kind, Any] | None:
    """Reads an agent's later line.

    Args:
        line: The line.
        asked: The number of the request that is waited for.

    Returns:
        What the message is, and its value; None if it is about an earlier request, whose caller
        was interrupted, so that nobody waits for it.

    Raises:
        ReplyError: It is no message, or one about a request that was not made.
    """
    message = _json(line)
    if isinstance(message, dict) and len(message) == 2 and "id" in message:
        number = message["id"]
        for kind in _KINDS:
            if kind in message and (number is None or type(number) is int):
                if number is None or number == asked:
                    return kind, inert(message[kind]) if kind != "error" else message[kind]
                if 0 < number < asked:
                    return None
                raise ReplyError(f"it is about request {str(number)[:20]}, which was not made")
    raise ReplyError("it has other keys or types than a message")


def refusal(host: str, problem: Any) -> AgentError:
    """Makes an exception of the value of an error message; its data become notes.

    Raises:
        ReplyError: It is no such value.
    """
    try:
        found = decode(Problem, problem)
    except DecodeError as error:
        raise ReplyError(str(error)) from None
    hint = None if found.hint is None else printable(found.hint[:_MOST_SHOWN])
    what, kind = printable(found.message[:_MOST_SHOWN]), printable(found.kind[:_MOST_SHOWN])
    made = AgentError(what, where=host, hint=hint, kind=kind)
    for name, value in list(found.data.items())[:_MOST_NOTES]:
        shown = printable(str(value)[:_MOST_NOTE], lines=True)
        made.add_note(f"{printable(name[:_MOST_SHOWN])}: {shown}")
    return made


def _json(line: bytes) -> Any:
    try:
        return json_value(line)
    except UntrustedError as error:
        raise ReplyError(f"it has {error}") from None
