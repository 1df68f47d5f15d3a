"""The agent's side of the protocol, over pipes, as sshd runs it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qualification

SERVER = '''
import os, sys, time
from pathlib import Path
from qualification.messages.protocol import AgentProblem
from qualification.agent.serve import claim_stdio, serve

undone, silence = Path(sys.argv[1]), float(sys.argv[2])
stdin, stdout = claim_stdio()

def echo(context, **args):
    return args

def count(context, to):
    for number in range(to):
        context.emit(number)
    return to

def refuse(context):
    raise AgentProblem("no-such-interface", "there is no eth9", "see ip link", known=["eth0"])

def crash(context):
    raise ZeroDivisionError("by hand")

def unspeakable(context):
    return {1, 2}

def large(context, size):
    return "x" * size

def chatter(context):
    print("from print", flush=True)
    os.write(1, b"from write\\n")
    os.system("echo from a child; cat")
    return "quiet"

def wait(context):
    context.emit("waiting")
    context.stop.wait()
    return "stopped"

def forked(context):
    """A child that is ended must neither survive nor end us."""
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), 15)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def hang(context):
    """Heeds nothing, as a system call that does not return."""
    context.emit("hanging")
    while True:
        time.sleep(1)

def leave(context):
    sys.exit(3)

def undo():
    with undone.open("a") as file:
        file.write("undone\\n")
    if os.environ.get("UNDO_FAILS"):
        raise AgentProblem("undo-failed", "eth0 cannot be put back")
    return ["features", "address"]

table = {f.__name__: f for f in (
    echo, count, refuse, crash, unspeakable, large, chatter, wait, forked, hang, leave)}
serve(table, undo, stdin=stdin, stdout=stdout, silence=silence, stuck=0.3)
'''


REPORT = ["features", "address"]


def _pythons() -> list[str]:
    """Returns this Python, and the oldest that agents support, if there is one."""
    oldest = shutil.which("python3.9")
    # pyenv has a shim of that name, which may fail.
    if (
        oldest
        and not subprocess.run([oldest, "-c", ""], check=False, capture_output=True).returncode
    ):
        return [sys.executable, oldest]
    return [sys.executable]


class Agent:
    def __init__(self, python: str, script: Path, undone: Path, silence: float, **env: str) -> None:
        root = str(Path(qualification.__file__).parent.parent)
        self.undone = undone
        self.process = subprocess.Popen(
            [python, str(script), str(undone), str(silence)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.greeting = self.read()

    def write(self, line: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, op: str, number: int = 1, **args: Any) -> Any:
        self.write(json.dumps({"id": number, "op": op, "args": args}).encode())
        return self.read()

    def end(self) -> tuple[int, str]:
        """Returns its status and what it wrote to stderr, once it has ended by itself."""
        assert self.process.stderr
        stderr = self.process.stderr.read().decode()
        return self.process.wait(10), stderr

    def undos(self) -> int:
        return self.undone.read_text().count("undone") if self.undone.exists() else 0


Start = Callable[..., Agent]


@pytest.fixture(params=_pythons(), ids=lambda python: Path(python).name)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    agents = []

    def start(silence: float = 60.0, **env: str) -> Agent:
        agents.append(Agent(request.param, script, tmp_path / "undone", silence, **env))
        return agents[-1]

    yield start
    for agent in agents:
        agent.process.kill()
        agent.process.wait()
        for stream in (agent.process.stdin, agent.process.stdout, agent.process.stderr):
            assert stream
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def test_it_greets_with_what_it_is(start: Start) -> None:
    agent = start()
    assert agent.greeting["vxqual"] == 1
    assert agent.greeting["version"] == 1
    assert agent.greeting["python"][0] == 3
    assert agent.greeting["pid"] == agent.process.pid
    assert agent.greeting["uid"] == os.geteuid()


def test_operations_answer_in_ascii_with_their_id(start: Start) -> None:
    agent = start()
    agent.write(json.dumps({"id": 7, "op": "echo", "args": {"a": "é", "b": [1, None]}}).encode())
    assert agent.process.stdout
    assert agent.process.stdout.readline() == (b'{"id":7,"result":{"a":"\\u00e9","b":[1,null]}}\n')


def test_events_come_before_the_result(start: Start) -> None:
    agent = start()
    answers = [agent.ask("count", 4, to=2), agent.read(), agent.read()]
    assert answers == [{"id": 4, "event": 0}, {"id": 4, "event": 1}, {"id": 4, "result": 2}]


def test_a_problem_is_an_error_reply_with_hint_and_data(start: Start) -> None:
    assert start().ask("refuse")["error"] == {
        "kind": "no-such-interface",
        "message": "there is no eth9",
        "hint": "see ip link",
        "data": {"known": ["eth0"]},
    }


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("crash", "ZeroDivisionError: by hand"),
        ("unspeakable", "TypeError: Object of type set is not JSON serializable"),
    ],
)
def test_a_crash_is_internal_and_carries_its_traceback(start: Start, op: str, message: str) -> None:
    agent = start()
    error = agent.ask(op)["error"]
    assert (error["kind"], error["message"]) == ("internal", message)
    assert "Traceback" in error["data"]["traceback"]
    assert agent.ask("echo")["result"] == {}, "and the agent lives on"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"hello", "malformed-request"),
        (b"\xff\xfe{", "malformed-request"),
        (b"[1]", "malformed-request"),
        (b'{"op":"echo"}', "malformed-request"),
        (b'{"id":true,"op":"echo"}', "malformed-request"),
        (b"[" * 100_000, "malformed-request"),
        (b'{"id":1}', "unknown-operation"),
        (b'{"id":1,"op":"fly","args":{}}', "unknown-operation"),
        (b'{"id":1,"op":["echo"],"args":{}}', "unknown-operation"),
        (b'{"id":1,"op":"echo","args":[1]}', "malformed-request"),
        (b'{"id":1,"op":"count","args":{"from":1}}', "internal"),
    ],
)
def test_a_bad_request_is_answered_and_survived(start: Start, line: bytes, kind: str) -> None:
    agent = start()
    agent.write(line)
    assert agent.read()["error"]["kind"] == kind
    assert agent.ask("echo", 2, a=1) == {"id": 2, "result": {"a": 1}}


def test_a_line_over_the_limit_is_refused_and_the_next_one_served(start: Start) -> None:
    agent = start()
    agent.write(b"x" * ((64 << 20) + (1 << 17)))
    assert agent.read()["error"]["message"] == "a request of more than 67108864 bytes"
    assert agent.ask("echo", 2) == {"id": 2, "result": {}}
    assert agent.ask("large", 3, size=64 << 20)["error"]["kind"] == "reply-too-large"
    assert len(agent.ask("large", 4, size=4 << 20)["result"]) == 4 << 20


def test_stray_output_goes_to_stderr_and_children_get_no_requests(start: Start) -> None:
    agent = start()
    assert agent.ask("chatter") == {"id": 1, "result": "quiet"}
    agent.ask("bye")
    assert agent.end() == (0, "from print\nfrom write\nfrom a child\n")


def test_empty_lines_are_not_answered(start: Start) -> None:
    agent = start()
    agent.write(b"\n\n")
    assert agent.ask("echo") == {"id": 1, "result": {}}


def test_bye_undoes_reports_and_ends(start: Start) -> None:
    agent = start()
    assert agent.ask("bye", 9) == {"id": 9, "result": REPORT}
    assert agent.end()[0] == 0
    assert agent.undos() == 1


def test_an_undo_that_fails_is_reported_and_not_repeated(start: Start) -> None:
    agent = start(UNDO_FAILS="1")
    assert agent.ask("bye")["error"]["kind"] == "undo-failed"
    assert agent.end()[0] == 0
    assert agent.undos() == 1


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("eof", "the channel ended"),
        ("SIGTERM", "ended by SIGTERM"),
        ("SIGHUP", "ended by SIGHUP"),
        ("SIGINT", "ended by SIGINT"),
    ],
)
def test_however_it_ends_it_undoes_once(start: Start, ending: str, why: str, busy: bool) -> None:
    agent = start()
    if busy:
        assert agent.ask("wait") == {"id": 1, "event": "waiting"}
    if ending == "eof":
        assert agent.process.stdin
        agent.process.stdin.close()
    else:
        agent.process.send_signal(signal.Signals[ending])
    answers = [agent.read() for _ in range(1 + busy)]
    assert answers[-1] == {"id": None, "report": REPORT}, "it reports, though nobody has asked"
    assert agent.end() == (0, f"agent: {why}\n")
    assert agent.undos() == 1


def test_an_undo_that_fails_is_reported_without_having_been_asked(start: Start) -> None:
    agent = start(UNDO_FAILS="1")
    assert agent.process.stdin
    agent.process.stdin.close()
    told = agent.read()
    assert (told["id"], told["error"]["kind"]) == (None, "undo-failed")
    assert agent.end()[0] == 1


@pytest.mark.parametrize("ending", ["silence", "SIGTERM"])
def test_an_order_that_heeds_nothing_does_not_keep_the_host_changed(
    start: Start, ending: str
) -> None:
    """Its input stays open: somebody may be there who says nothing, or nobody."""
    agent = start(silence=0.3 if ending == "silence" else 60.0)
    assert agent.ask("hang") == {"id": 1, "event": "hanging"}
    if ending != "silence":
        agent.process.send_signal(signal.Signals[ending])
    why = "could not end an order: it goes on 0.3 s after the end"
    assert agent.read() == {"id": None, "report": [why, *REPORT]}
    assert agent.end()[0] == 70
    assert agent.undos() == 1


def test_a_second_signal_does_not_stop_the_undo(start: Start) -> None:
    agent = start()
    for _ in range(5):
        agent.process.send_signal(signal.SIGTERM)
    assert agent.end()[0] == 0
    assert agent.undos() == 1


def test_a_reader_that_is_gone_ends_it(start: Start) -> None:
    agent = start()
    assert agent.process.stdout
    agent.process.stdout.close()
    agent.write(b'{"id":1,"op":"count","args":{"to":3}}')
    assert agent.process.wait(10) == 0
    assert agent.undos() == 1


def test_a_reader_that_stopped_reading_cannot_hold_it(start: Start) -> None:
    agent = start()
    agent.write(b'{"id":1,"op":"large","args":{"size":10000000}}')
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 0
    assert agent.undos() == 1


def test_a_controller_silent_for_long_counts_as_gone(start: Start) -> None:
    agent = start(silence=0.3)
    assert agent.end() == (0, "agent: no word from the controller for 0.3 s\n")
    assert agent.undos() == 1


def test_a_forked_child_dies_alone(start: Start) -> None:
    agent = start()
    assert agent.ask("forked") == {"id": 1, "result": signal.SIGTERM}
    assert agent.ask("echo", 2) == {"id": 2, "result": {}}


def test_an_operation_that_exits_is_undone_too(start: Start) -> None:
    agent = start()
    assert agent.ask("leave") == {"id": None, "report": REPORT}
    assert agent.end()[0] == 3
    assert agent.undos() == 1
