"""An agent that was replaced: whatever it writes ends in time, in bounds, in a named error.

Each is a real process behind a real sshd; the controller's side has no part that is made for tests.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qualification.errors import AgentError, HostError, LabError
from qualification.messages.host import NicFacts
from qualification.remote import agent_client
from qualification.remote.ship import Application

from .conftest import OPERATIONS, Sshd, agent_with

pytestmark = [pytest.mark.lab, pytest.mark.hostile]

MOST_MEMORY = 160 << 20
"""Bytes by which a conversation may enlarge this process: answers of 16 MiB, unread, read and as
text, and what Python keeps of them."""
HELPERS = r"""
import json, os, sys, time
def out(data, fd=1):
    while data:
        data = data[os.write(fd, data):]
def say(message):
    out(json.dumps(message).encode() + b"\n")
def hear():
    line = b""
    while not line.endswith(b"\n"):
        got = os.read(0, 1)
        if not got:
            os._exit(0)
        line += got
    return json.loads(line) if line.strip() else hear()
def greet(**changes):
    say({"vxqual": 1, "version": 1, "python": [3, 11, 7], "pid": os.getpid(), "uid": 0, **changes})
"""


def evil(script: str) -> Application:
    """An agent whose program is replaced by another one."""
    source = f"exec({HELPERS + script!r}, {{}})"
    return agent_with(
        OPERATIONS, {"agent/__main__.py": ("    stdin, stdout = claim_stdio()", f"    {source}")}
    )


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test after which this process has needed much more memory, or that took long."""
    monkeypatch.setattr(agent_client, "_UNDO_SECONDS", 1.0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark, VmHWM
    before, started = _high_water(), time.monotonic()
    yield
    grown = _high_water() - before
    assert grown < MOST_MEMORY, f"{grown >> 20} MiB"
    assert time.monotonic() - started < 30


def _high_water() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def asked(sshd: Sshd, script: str, timeout: float = 10.0) -> LabError:
    """Returns the error of a request to an agent that greets and then runs the script."""
    with pytest.raises(LabError) as caught, sshd.start(evil("greet()\n" + script)) as agent:
        agent.ask(NicFacts, "facts", timeout=timeout)
    assert str(caught.value).startswith("alpha: ")
    assert str(caught.value).replace("\n", " ").isprintable()
    return caught.value


def test_a_line_that_never_ends(sshd: Sshd) -> None:
    error = asked(sshd, 'hear()\nwhile True: out(b"x" * 65536)')
    assert error.what == (
        "the agent's answer to request 'facts' is not a message of the protocol: "
        "it has more than 16 MiB"
    )


@pytest.mark.slow
def test_a_first_line_that_never_ends(sshd: Sshd) -> None:
    with pytest.raises(AgentError, match=r"^alpha: the agent's first line is too long: it has m"):
        sshd.start(evil('while True: out(b"x" * 65536)'))


def test_what_is_no_message(sshd: Sshd) -> None:
    error = asked(sshd, 'hear()\nout(b"[" * 100_000 + b"\\n")\nhear()')
    assert isinstance(error, AgentError)
    assert error.kind == "protocol"
    assert error.what == (
        "the agent's answer to request 'facts' is not a message of the protocol: it has values "
        "that are nested too deeply"
    )


def test_another_message_than_the_one_asked_for(sshd: Sshd) -> None:
    error = asked(sshd, 'hear()\nsay({"id": 1, "result": {"mtu": "\\x1b"}})\nhear()')
    assert isinstance(error, AgentError)
    assert error.kind == "malformed-answer"
    assert "mtu: must be a whole number, is " in error.what


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("hear()\nhear()", id="silence"),
        pytest.param(
            "hear()\nwhile True: time.sleep(0.1); out(b'{')", id="slowly", marks=pytest.mark.slow
        ),
        pytest.param('hear()\nwhile True: say({"id": 1, "event": 0})', id="endless events"),
        pytest.param("time.sleep(60)", id="nothing is read", marks=pytest.mark.slow),
    ],
)
def test_what_takes_for_ever(sshd: Sshd, script: str) -> None:
    started = time.monotonic()
    error = asked(sshd, script, timeout=1.0)
    assert time.monotonic() - started < 8
    assert error.what == (
        "timed out waiting for the agent on alpha (request 'facts'): no answer within 1 s"
    )


@pytest.mark.slow
def test_answers_to_earlier_requests_without_end(sshd: Sshd) -> None:
    agent = sshd.start(
        evil(
            'greet()\nhear()\nsay({"id": 1, "result": 0})\nhear()\n'
            'while True: say({"id": 1, "result": 0})'
        )
    )
    with pytest.raises(AgentError, match="no answer within 1 s"), agent:
        assert agent.call("first", timeout=5) == 0
        agent.call("second", timeout=1)


def test_a_large_order_that_is_not_read(sshd: Sshd) -> None:
    with (
        pytest.raises(AgentError, match=r"\(request 'send'\): no answer within 1 s"),
        sshd.start(evil("greet()\ntime.sleep(60)")) as agent,
    ):
        agent.call("send", timeout=1, frames="x" * (16 << 20))


@pytest.mark.slow
def test_messages_that_nobody_asked_for(sshd: Sshd) -> None:
    """They wait on the host once much is unread; the closing does not wait for their end."""
    agent = sshd.start(evil('greet()\nwhile True: say({"id": 1, "event": "x" * 60000})'))
    time.sleep(2)  # nothing can be awaited: the controller does not read
    with pytest.raises(LabError):
        agent.close()


def test_a_stderr_that_never_ends(sshd: Sshd) -> None:
    error = asked(
        sshd,
        "hear()\nfor _ in range(2000): out(b'e' * 65536, 2)\n"
        "out(b'\\n\\x1b]0;owned\\x07\\r\\n', 2); os._exit(3)",
    )
    assert "the agent ended with status 3 during request 'facts'; its last output:" in error.what
    assert r"\x1b]0;owned\x07\r" in error.what
    assert len(error.what) < 2000


def test_control_characters_are_shown_and_never_written(
    sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vxqual")
    nasty = "\x1b[31m\r\a\u202e\x9b\n\ud800<script>"
    shown = r"\x1b[31m\r\x07\u202e\x9b\n\ud800<script>"
    problem = {"kind": nasty, "message": nasty, "hint": nasty, "data": {nasty: nasty}}
    events: list[object] = []
    script = f"""
greet()
hear(); say({{"id": 1, "event": {nasty!r}}}); say({{"id": 1, "result": {{{nasty!r}: [{nasty!r}]}}}})
hear(); say({{"id": 2, "error": {problem!r}}})
hear(); say({{"id": 3, "result": [{nasty!r}]}})
"""
    with sshd.start(evil(script)) as agent:
        assert agent.call("a", timeout=5, on_event=events.append) == {shown: [shown]}
        assert events == [shown]
        with pytest.raises(AgentError) as caught:
            agent.call("b", timeout=5)
    assert str(caught.value) == f"alpha: {shown}\n  next: {shown}"
    assert caught.value.__notes__ == [_note(shown)]
    assert all(line.isprintable() for line in caplog.messages)


def _note(shown: str) -> str:
    """A note keeps the line feeds of its value: tracebacks have some."""
    return f"{shown}: " + shown.replace(r"\n", "\n")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec tr '\\0' x < /dev/zero", "writes more than 8 MiB"),
        ("echo 'vxqual-probe [1, NaN]'", "no answer that can be read: NaN, which is no number"),
        ("echo 'vxqual-probe {}'", "no answer that can be read: python: missing"),
        ("printf '\\033[2J\\n' >&2; exit 1", r"python3 does not run (status 1): \x1b[2J"),
    ],
)
def test_a_probe_that_lies(sshd: Sshd, app: Application, script: str, why: str) -> None:
    sshd.command("python3", script)
    with pytest.raises(HostError) as caught:
        sshd.start(app)
    assert str(caught.value).startswith("alpha: ")
    assert why in caught.value.what


@pytest.mark.slow
def test_an_agent_that_does_not_end(sshd: Sshd) -> None:
    agent = sshd.start(evil("greet()\nhear()\nsay({'id': 1, 'result': []})\ntime.sleep(60)"))
    with pytest.raises(AgentError, match="it still runs 1 s after the end of its input"):
        agent.close()
