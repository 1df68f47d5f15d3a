"""Agents on a host: uploaded once, started as root, asked, and ended with all changes undone."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qualification.errors import AgentError, HostError
from qualification.remote import agent_client
from qualification.remote import install as installer
from qualification.remote.agent_client import AgentClient
from qualification.remote.host import open_agent
from qualification.remote.install import LAUNCH, LAUNCH_WITH_SUDO, PROBE, install
from qualification.remote.ship import Application, application
from qualification.remote.ssh import lines

from .conftest import OPERATIONS, Sshd, agent_with, await_end

pytestmark = pytest.mark.lab


# Installing


def test_it_is_uploaded_once_per_version(sshd: Sshd, app: Application) -> None:
    sshd.start(app).close()
    [file] = sshd.cache.iterdir()
    before = file.stat()
    assert file.name == f"agent-{app.sha256}.pyz"
    assert stat.S_IMODE(before.st_mode) == 0o600
    assert stat.S_IMODE(sshd.cache.stat().st_mode) == 0o700
    sshd.configure(Subsystem="")  # an upload would now fail
    sshd.start(app).close()
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(HostError, match=r"^alpha: sshd offers no working SFTP"):
        sshd.start(agent_with(OPERATIONS + "# another version\n"))


def test_a_damaged_file_is_replaced(sshd: Sshd, app: Application) -> None:
    sshd.start(app).close()
    [file] = sshd.cache.iterdir()
    file.write_bytes(app.content[:-1])
    sshd.start(app).close()
    assert file.read_bytes() == app.content


def test_the_cache_follows_xdg_and_forgets_old_versions(sshd: Sshd, app: Application) -> None:
    elsewhere = sshd.folder / "else where"
    sshd.configure(SetEnv=f'"XDG_CACHE_HOME={elsewhere}" PATH={sshd.bin}:/usr/bin:/bin')
    (elsewhere / "vxqual").mkdir(parents=True)
    for age in range(6):
        old = elsewhere / "vxqual" / f"agent-{age}.pyz"
        old.write_bytes(b"")
        os.utime(old, (1000 - age, 1000 - age))
    sshd.start(app).close()
    names = {file.name for file in (elsewhere / "vxqual").iterdir()}
    assert names == {"agent-0.pyz", "agent-1.pyz", "agent-2.pyz", f"agent-{app.sha256}.pyz"}
    assert not sshd.cache.exists()


def test_a_cache_that_cannot_be_made(sshd: Sshd, app: Application) -> None:
    (sshd.home / ".cache").write_text("a file")
    with pytest.raises(HostError, match=r"^alpha: the agent cannot be stored: Not a directory: /"):
        sshd.start(app)


def test_a_file_that_cannot_be_written(sshd: Sshd, app: Application) -> None:
    sshd.configure(Subsystem="sftp internal-sftp -R")  # read-only
    with pytest.raises(HostError, match=r"\.pyz cannot be written over SFTP: .*denied"):
        sshd.start(app)


def test_a_file_changed_between_probe_and_start(sshd: Sshd, app: Application) -> None:
    # The second python3 to run finds another file than the first one left.
    first = sshd.folder / "first"
    python = os.path.realpath(sshd.bin / "python3")
    sshd.command(
        "python3",
        f"[ -e {first} ] && echo x >> {sshd.cache}/agent-{app.sha256}.pyz\n"
        f'touch {first}; exec {python} "$@"',
    )
    with pytest.raises(AgentError, match=r"\.pyz has changed since it was stored$"):
        sshd.start(app)


@pytest.mark.parametrize("command", [PROBE, LAUNCH, LAUNCH_WITH_SUDO])
def test_its_commands_are_one_word_for_any_shell(command: str) -> None:
    # What csh and fish take for something else, even between single quotes.
    assert not set(command) & set("!\n")
    assert "\\\\" not in command
    assert len(shlex.split(command)[-1]) > 100


# Hosts that cannot run it


def test_no_python3(sshd: Sshd, app: Application) -> None:
    (sshd.bin / "python3").unlink()
    sshd.configure(SetEnv=f"HOME={sshd.home} PATH={sshd.bin}")
    with pytest.raises(HostError) as caught:
        sshd.start(app)
    assert caught.value.what == "python3 is not on the PATH of an SSH session"
    assert caught.value.hint == "install it there: Python 3.9 or later"


@pytest.mark.slow  # for a machine that has them; elsewhere the next test replaces it
@pytest.mark.parametrize("name", ["python3.8", "python3.6", "python2.7"])
def test_a_python3_that_is_too_old(sshd: Sshd, app: Application, name: str) -> None:
    found = (
        subprocess.run(
            [name, "-c", "import sys; print(sys.executable)"],
            check=False,
            capture_output=True,
            text=True,
        )
        if _exists(name)
        else None
    )
    if found is None or found.returncode:
        pytest.skip(f"{name} is not installed here")
    (sshd.bin / "python3").unlink()
    (sshd.bin / "python3").symlink_to(found.stdout.strip())
    with pytest.raises(HostError) as caught:
        sshd.start(app)
    assert re.fullmatch(
        rf"its python3 is Python {name[6:]}\.\d+, too old for the agent", caught.value.what
    )


def test_a_python3_of_a_version_that_lies(sshd: Sshd, app: Application) -> None:
    # What the oldest answer looks like, also where none of the real ones is installed.
    sshd.command(
        "python3",
        """echo 'vxqual-probe {"python": [3, 6, 8], "uid": 0, "path": "", "intact": false,"""
        """ "problem": null, "ssh_connection": ""}'""",
    )
    with pytest.raises(HostError, match=r"its python3 is Python 3.6.8, too old for the agent"):
        sshd.start(app)


def test_a_python3_that_does_not_run(sshd: Sshd, app: Application) -> None:
    sshd.command("python3", "echo 'libpython3.so: not found' >&2; exit 126")
    with pytest.raises(HostError, match=r"python3 does not run \(status 126\): libpython3.so: not"):
        sshd.start(app)


def test_a_shell_that_greets_its_users(sshd: Sshd, app: Application) -> None:
    sshd.start(app).close()
    (sshd.home / ".bashrc").write_text("echo welcome to alpha\n")
    with sshd.start(app) as agent:
        assert agent.call("echo", timeout=5, a=1) == {"a": 1}


# Becoming root


@pytest.fixture
def as_nobody(sshd: Sshd) -> Iterator[Sshd]:
    """A host on which we are somebody without rights until sudo makes us root."""
    python = os.path.realpath(sshd.bin / "python3")
    sshd.command(
        "python3",
        f'[ -n "$SUDO" ] && exec {python} "$@"\n'
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 "$@"',
    )
    with tempfile.TemporaryDirectory() as cache:  # tmp_path is for root alone
        os.chown(cache, 65534, 65534)
        path = f"{sshd.bin}:/usr/bin:/bin"
        sshd.configure(SetEnv=f"HOME={sshd.home} XDG_CACHE_HOME={cache} PATH={path}")
        yield sshd


def test_not_root_and_no_sudo(as_nobody: Sshd, app: Application) -> None:
    with pytest.raises(HostError) as caught:
        as_nobody.start(app)
    assert caught.value.what == "the agent needs root, but the SSH user has user id 65534"
    assert caught.value.hint == "set sudo: true or user: root in the host's ssh section"


def test_sudo_makes_us_root(as_nobody: Sshd, app: Application) -> None:
    as_nobody.command("sudo", '[ "$1" = -n ] && shift; SUDO=1 exec "$@"')
    with as_nobody.start(app, sudo=True) as agent:
        assert agent.greeting.uid == 0
        assert agent.call("echo", timeout=5, a=1) == {"a": 1}


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo: a password is required"),
        ("echo 'Sorry, user lab may not' >&2; exit 1", "Sorry, user lab may not"),
        (None, "sudo: not found"),
    ],
)
def test_sudo_is_refused(as_nobody: Sshd, app: Application, script: str | None, what: str) -> None:
    if script:
        as_nobody.command("sudo", script)
    elif any(Path(folder, "sudo").exists() for folder in ("/usr/bin", "/bin", "/usr/sbin")):
        pytest.skip("a sudo is installed here")
    with pytest.raises(HostError) as caught:
        as_nobody.start(app, sudo=True)
    assert caught.value.what.startswith("sudo does not start the agent: ")
    assert caught.value.what.endswith(what)
    assert "NOPASSWD" in (caught.value.hint or "")


def test_sudo_leads_to_somebody_else(as_nobody: Sshd, app: Application) -> None:
    as_nobody.command("sudo", 'shift; chmod 644 "$XDG_CACHE_HOME"/vxqual/*; exec "$@"')
    with pytest.raises(HostError, match="needs root, but sudo starts it with user id 65534"):
        as_nobody.start(app, sudo=True)


def test_root_needs_no_sudo(sshd: Sshd, app: Application) -> None:
    sshd.command("sudo", "exit 1")
    sshd.start(app, sudo=True).close()


# Conversing


def test_calls_results_and_events(agent: AgentClient) -> None:
    events: list[int] = []
    assert agent.call("count", timeout=5, on_event=events.append, to=3) == 3
    assert events == [0, 1, 2]
    assert agent.call("echo", timeout=5, text="é", op="not mine") == {"text": "é", "op": "not mine"}


def test_the_agent_learns_of_our_ssh_connection(
    sshd: Sshd, app: Application, listening: int
) -> None:
    sshd.trust(f"[127.0.0.1]:{listening} {sshd.host_key()}")
    connection = sshd.connect(address="127.0.0.1", port=listening, proxy_command=None)
    with AgentClient.start(connection, app=app) as agent:
        value = agent.call("variable", timeout=5, name="VXQUAL_SSH_CONNECTION")
    assert re.fullmatch(rf"127.0.0.1 [0-9]+ 127.0.0.1 {listening}", value)


def test_behind_a_proxy_the_ssh_connection_is_unknown(agent: AgentClient) -> None:
    value = agent.call("variable", timeout=5, name="VXQUAL_SSH_CONNECTION")
    assert value.startswith("UNKNOWN ")


def test_a_refusal_is_an_agent_error(agent: AgentClient) -> None:
    with pytest.raises(AgentError) as caught:
        agent.call("refuse", timeout=5)
    assert str(caught.value) == "alpha: there is no eth9\n  next: see ip link"
    assert caught.value.kind == "no-such-interface"
    assert caught.value.__notes__ == ["known: ['eth0']"]


def test_a_crash_carries_the_hosts_traceback(agent: AgentClient) -> None:
    with pytest.raises(AgentError) as caught:
        agent.call("crash", timeout=5)
    assert str(caught.value) == "alpha: ZeroDivisionError: by hand"
    assert caught.value.kind == "internal"
    assert "traceback: Traceback (most recent call last):" in caught.value.__notes__[0]


def test_much_stray_output_does_not_block_it(agent: AgentClient) -> None:
    assert agent.call("chatter", timeout=20, lines=400_000) == "quiet"


def test_an_order_too_large_is_not_sent(
    agent: AgentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "LINE_LIMIT", 1000)
    with pytest.raises(AgentError, match="request 'echo' has 10"):
        agent.call("echo", timeout=5, text="x" * 1000)
    assert agent.call("echo", timeout=5) == {}


def test_two_hosts_work_side_by_side(sshd: Sshd, app: Application) -> None:
    with ThreadPoolExecutor(2) as pool:
        agents = list(pool.map(lambda _: sshd.start(app), range(2)))
        both = threading.Barrier(2, timeout=10)

        def talk(agent: AgentClient) -> int:
            # Each waits inside its call until the other is inside its own.
            return agent.call("count", timeout=10, on_event=lambda _: both.wait(), to=5)

        assert list(pool.map(talk, agents)) == [5, 5]
        assert list(pool.map(AgentClient.close, agents)) == [{"marks": 0}, {"marks": 0}]


# Ending


def test_close_undoes_and_reports(sshd: Sshd, app: Application, tmp_path: Path) -> None:
    agent = sshd.start(app)
    agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
    assert agent.close() == {"marks": 1}
    assert agent.close() is None
    assert (tmp_path / "mark").read_text() == "undone"
    with pytest.raises(AgentError, match="request 'echo' cannot be sent: it was closed"):
        agent.call("echo", timeout=5)


def test_an_undo_that_fails_is_reported(sshd: Sshd, app: Application) -> None:
    agent = sshd.start(app)
    agent.call("mark", timeout=5, path="fail")
    with pytest.raises(AgentError, match=r"^alpha: eth0 cannot be put back$"):
        agent.close()
    with pytest.raises(ValueError, match="first") as caught, sshd.start(app) as agent:
        agent.call("mark", timeout=5, path="fail")
        raise ValueError("first")
    assert caught.value.__notes__ == ["alpha: eth0 cannot be put back"]


def test_a_killed_agent(sshd: Sshd, app: Application) -> None:
    agent = sshd.start(app)
    with pytest.raises(
        AgentError, match=r"^alpha: the agent was killed by a signal during request 'wait'$"
    ) as e:
        agent.call("wait", timeout=20, on_event=lambda _: os.kill(agent.greeting.pid, 9))
    assert e.value.kind == "died"
    with pytest.raises(AgentError, match="request 'echo' cannot be sent: the agent was killed"):
        agent.call("echo", timeout=5)
    assert agent.close() is None


def test_an_agent_killed_behind_our_back_is_reported_at_the_close(
    sshd: Sshd, app: Application
) -> None:
    agent = sshd.start(app)
    os.kill(agent.greeting.pid, 9)
    await_end(agent.greeting.pid)
    with pytest.raises(AgentError, match="the agent was killed by a signal during request 'bye'"):
        agent.close()
    assert agent.close() is None


def test_an_agent_that_ends_by_itself_has_last_words(sshd: Sshd, app: Application) -> None:
    with sshd.start(app) as agent, pytest.raises(AgentError) as caught:
        agent.call("leave", timeout=5, status=4)
    assert str(caught.value) == (
        "alpha: the agent ended with status 4 during request 'leave'; its last output:"
        "\n    something\n    broke"
    )


def test_an_agent_that_does_not_start(sshd: Sshd) -> None:
    with pytest.raises(AgentError) as caught:
        sshd.start(agent_with("import nothing_such"))
    assert "the agent ended with status 1 while it started; its last output:" in str(caught.value)
    assert "ModuleNotFoundError: No module named 'nothing_such'" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_undoes(sshd: Sshd, app: Application, tmp_path: Path, number: int) -> None:
    agent = sshd.start(app)
    agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
    try:
        agent.call("wait", timeout=5, on_event=lambda _: os.kill(agent.greeting.pid, number))
    finally:
        await_end(agent.greeting.pid)
        assert agent.close() == {"marks": 1}
    assert (tmp_path / "mark").read_text() == "undone"


def test_a_lost_connection_undoes(sshd: Sshd, app: Application, tmp_path: Path) -> None:
    connection = sshd.connect()
    agent = AgentClient.start(connection, app=app)
    agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
    with pytest.raises(
        AgentError, match=r"^alpha: the SSH connection was lost during request 'wait'"
    ):
        agent.call("wait", timeout=20, on_event=lambda _: connection.close())
    await_end(agent.greeting.pid)
    assert (tmp_path / "mark").read_text() == "undone"
    agent.close()


def test_a_call_that_takes_too_long_is_interrupted_and_undone(
    sshd: Sshd, app: Application, tmp_path: Path
) -> None:
    agent = sshd.start(app)
    agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
    with pytest.raises(AgentError) as caught:
        agent.call("wait", timeout=0.2)
    assert caught.value.what == (
        "timed out waiting for the agent on alpha (request 'wait'): no answer within 0.2 s"
    )
    assert caught.value.kind == "timeout"
    assert agent.close() == {"marks": 1}, "it reports what it has undone"
    assert (tmp_path / "mark").read_text() == "undone"


@pytest.mark.parametrize("doing", ["nothing", "an order"])
def test_an_agent_that_hears_nothing_for_the_time_it_was_told_ends(
    sshd: Sshd, app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    """Its input stays open, as behind a cable that was cut, or a controller that is stopped."""
    monkeypatch.setattr(installer, "SILENCE", 1.0)
    monkeypatch.setattr(lines, "HEARTBEAT", 3600.0)
    agent = sshd.start(app)
    agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
    if doing == "an order":
        with contextlib.suppress(AgentError):
            agent.call("wait", timeout=20)
    await_end(agent.greeting.pid)
    assert (tmp_path / "mark").read_text() == "undone"
    assert agent.close() == {"marks": 1}


def test_the_heartbeat_keeps_an_agent(
    sshd: Sshd, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "SILENCE", 2.0)
    monkeypatch.setattr(lines, "HEARTBEAT", 0.1)
    agent = sshd.start(app)
    with pytest.raises(AgentError, match=r"no answer within 3\.5 s"):
        agent.call("wait", timeout=3.5)  # and not that it has died meanwhile
    assert agent.close() == {"marks": 0}


@pytest.mark.parametrize("how", ["timeout", "interrupt"])
def test_an_undo_that_fails_after_an_interruption_is_reported(
    sshd: Sshd, app: Application, how: str
) -> None:
    def interrupt(_event: object) -> None:
        raise KeyboardInterrupt

    agent = sshd.start(app)
    agent.call("mark", timeout=5, path="fail")
    with pytest.raises(AgentError if how == "timeout" else KeyboardInterrupt):
        agent.call("wait", timeout=0.2, on_event=interrupt if how == "interrupt" else None)
    with pytest.raises(AgentError, match=r"^alpha: eth0 cannot be put back$"):
        agent.close()


def test_an_interrupted_call_does_not_hold_up_the_close(
    sshd: Sshd, app: Application, tmp_path: Path
) -> None:
    def interrupt(_event: object) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), sshd.start(app) as agent:
        agent.call("mark", timeout=5, path=str(tmp_path / "mark"))
        agent.call("wait", timeout=60, on_event=interrupt)
    assert (tmp_path / "mark").read_text() == "undone"
    assert time.monotonic() - started < 5


def test_another_version_of_the_protocol(sshd: Sshd) -> None:
    newer = agent_with(OPERATIONS, {"messages/protocol.py": ("PROTOCOL = 1", "PROTOCOL = 2")})
    with pytest.raises(
        AgentError,
        match="the agent speaks version 2 of the protocol, and this vxqual speaks version 1",
    ) as error:
        sshd.start(newer)
    assert error.value.kind == "protocol"


def test_what_is_no_message(sshd: Sshd) -> None:
    talker = agent_with(
        OPERATIONS.replace("STDOUT", "9"),
        {"agent/serve.py": ("os.dup(0), os.dup(1)", "(os.dup(0), os.dup2(1, 9))")},
    )
    with (
        sshd.start(talker) as agent,
        pytest.raises(
            AgentError, match="answer to request 'babble' is not a message of the protocol"
        ),
    ):
        agent.call("babble", timeout=5)


# The log


def test_a_start_a_request_and_a_close_leave_a_line(
    sshd: Sshd, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vxqual.agent")
    with sshd.start(app) as agent:
        agent.call("echo", timeout=5, frames=["AAAA"], count=3)
        pid = agent.greeting.pid
    messages = "\n".join(caplog.messages)
    assert re.search(r"alpha: agent uploaded in \S+ s: \d+ bytes to \S+\.pyz\n", messages)
    assert re.search(rf"alpha: agent started in \S+ s: Python \S+, process {pid}\n", messages)
    assert "alpha: request 'echo': {frames=[1] count=3}\n" in messages
    assert re.search(r"'echo' answered after 0\.\d+ s: \{frames=\[1\] count=3\}\n", messages)
    assert re.search(r"'bye' answered after \S+ s: \{marks=0\}\n", messages)
    assert "alpha: closing report: " in messages


# The real one


def test_this_installations_agent_starts_and_ends(sshd: Sshd) -> None:
    with open_agent("alpha", sshd.ssh()) as agent:
        assert agent.host == "alpha"
        assert agent.greeting.uid == 0
        with pytest.raises(AgentError) as caught:
            agent.call("no-such", timeout=5)
        assert caught.value.kind == "unknown-operation"


def test_install_returns_where_it_is(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        installed = install(connection, application(), sudo=False)
    assert Path(installed.path).read_bytes() == application().content
    assert installed.uid == 0


def _exists(name: str) -> bool:
    return subprocess.run(["which", name], check=False, capture_output=True).returncode == 0
