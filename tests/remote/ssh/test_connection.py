"""Connecting: each way in which it can fail has an error that says what failed and what to do."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest

from qualification.errors import HostError
from qualification.remote.ssh.connection import connect
from qualification.topology import Password
from tests.remote.conftest import Sshd, children, keygen

pytestmark = pytest.mark.lab


def fingerprint(line: str) -> str:
    kind, key = line.split()[:2]
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode()
    return f"{kind} SHA256:{digest.rstrip('=')}"


def refusal(sshd: Sshd, **changes: Any) -> HostError:
    with pytest.raises(HostError) as caught:
        sshd.connect(**changes)
    assert caught.value.where == "alpha"
    return caught.value


# What works


def test_a_command_gets_its_stdin_and_says_how_it_ended(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        done = connection.run("cat; echo oops >&2; exit 3", stdin=b"data")
    assert done == (3, b"data", "oops")


def test_a_connection_and_a_command_leave_a_line(
    sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vxqual.ssh")
    with sshd.connect() as connection:
        connection.run("exit 3")
    text = caplog.text
    assert "alpha: connected to root@192.0.2.1 port 22 through a proxy command in 0." in text
    assert f"with {sshd.folder / 'user_key'}" in text
    assert "alpha: command started: exit 3" in text
    assert "alpha: command ended with status 3 after 0." in text
    assert "alpha: connection closed" in text
    assert str(sshd.folder / "sshd_config") not in text, "a proxy command may hold a secret"


def test_commands_with_much_output_on_both_sides_end(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        done = connection.run("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 1_000_000)


def test_a_command_over_its_time_limit_is_an_error(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        with pytest.raises(
            HostError,
            match=r"^alpha: timed out waiting for a command to end: it still runs after 0.2 s",
        ):
            connection.run("echo first; exec sleep 5", timeout=0.2)
        assert connection.run("echo alive").stdout == b"alive\n"


def test_a_lost_connection_is_reported(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        with pytest.raises(HostError, match=r"^alpha: the SSH connection is lost: "):
            connection.run("kill -9 $PPID; exec sleep 5")  # root has one sshd, its parent
        assert not connection.alive()


def test_closing_ends_and_reaps_the_proxy(sshd: Sshd) -> None:
    with sshd.connect() as connection:
        assert len(children()) == 1
    connection.close()
    assert not children()
    assert not connection.alive()


def test_a_proxy_that_will_not_end_is_made_to(sshd: Sshd, tmp_path: Path) -> None:
    script = tmp_path / "stubborn"
    script.write_text("#!/bin/sh\ntrap '' TERM\nsleep 30 & sleep 30; sleep 30\n")
    script.chmod(0o755)
    with pytest.raises(
        HostError, match=r"timed out connecting to 192.0.2.1 port 22: no SSH session within 0.3 s"
    ):
        connect("alpha", sshd.ssh(proxy_command=str(script)), timeout=0.3)
    assert not children()


def test_nothing_of_paramiko_reaches_the_terminal(
    sshd: Sshd, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal(sshd, proxy_command="/bin/echo not an SSH server")
    assert capfd.readouterr() == ("", "")


# The way there


def test_a_name_that_does_not_resolve(sshd: Sshd) -> None:
    error = refusal(sshd, address="nowhere.invalid", proxy_command=None)
    assert error.what.startswith("nowhere.invalid does not resolve: ")
    assert error.hint == "correct the host's `address`, or write its IP address"


def test_a_port_where_nobody_listens(sshd: Sshd, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    error = refusal(sshd, address="127.0.0.1", port=port, proxy_command=None)
    assert error.what == f"127.0.0.1 port {port} refuses connections"


def test_an_address_without_a_way_to_it(sshd: Sshd) -> None:
    # TCP to a multicast address: the kernel says so itself, whatever the network is like.
    error = refusal(sshd, address="224.0.0.1", proxy_command=None)
    assert error.what == "224.0.0.1 port 22 is unreachable: Network is unreachable"


def test_a_server_that_says_nothing(sshd: Sshd, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    ssh = sshd.ssh(address="127.0.0.1", port=port, proxy_command=None)
    started = time.monotonic()
    with pytest.raises(HostError) as caught:
        connect("alpha", ssh, timeout=0.5)
    assert caught.value.what == (
        f"timed out connecting to 127.0.0.1 port {port}: no SSH session within 0.5 s"
    )
    assert time.monotonic() - started < 2


def test_a_server_that_hangs_up(sshd: Sshd, listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    def hang_up() -> None:
        listener.accept()[0].close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hang_up)
        error = refusal(sshd, address="127.0.0.1", port=port, proxy_command=None)
    assert error.what.startswith("sshd closed the connection: ")
    assert "journalctl -u ssh" in (error.hint or "")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("sh -c 'echo first >&2; echo no route to jump >&2; exit 1'", "failed: no route to jump"),
        ("sh -c 'exit 7'", "failed: it ended with status 7 and no message"),
        ("/no/such/program", "cannot be started: [Errno 2] No such file or directory: '/no/such"),
        ("sh -c 'unclosed", "cannot be started: No closing quotation"),
    ],
)
def test_a_proxy_command_that_fails(sshd: Sshd, command: str, what: str) -> None:
    error = refusal(sshd, proxy_command=command)
    assert error.what.startswith(f"the proxy command {what}")
    assert error.hint == f"check the host's proxy_command: {command}"


def test_a_proxy_command_gets_the_host_in_single_words(sshd: Sshd) -> None:
    command = """sh -c 'echo "$@" >&2; exit 1' - %h:%p '%r one' 100%%h"""
    error = refusal(sshd, proxy_command=command, address="a;b", user="u v", port=2222)
    assert error.what == "the proxy command failed: a;b:2222 u v one 100%h"


# Host keys


def test_a_host_key_under_another_port_hashed_or_by_pattern_is_known(sshd: Sshd) -> None:
    for line in (
        f"[192.0.2.1]:2222 {sshd.host_key()}",
        f"[192.0.2.*]:2222,other {sshd.host_key()}",
        f"# a comment\n@cert-authority * ssh-rsa AAAA\nbroken\n[192.0.2.1]:2222 {sshd.host_key()}",
    ):
        sshd.trust(line)
        sshd.connect(port=2222).close()
    sshd.trust(f"[192.0.2.1]:2222 {sshd.host_key()}")
    known_hosts = str(sshd.folder / "known_hosts")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known_hosts], check=True, capture_output=True)
    assert "192.0.2.1" not in Path(known_hosts).read_text()
    sshd.connect(port=2222).close()


def test_any_of_several_keys_of_one_type_is_good(sshd: Sshd) -> None:
    other = keygen(sshd.folder / "other").with_suffix(".pub").read_text()
    sshd.trust(f"192.0.2.1 {other}192.0.2.1 {sshd.host_key()}")
    sshd.connect().close()


def test_of_several_host_keys_the_known_one_is_asked_for(sshd: Sshd) -> None:
    rsa = keygen(sshd.folder / "rsa", kind="rsa")
    sshd.configure(HostKey=f"{sshd.folder / 'host_key'}\nHostKey {rsa}")
    sshd.trust("192.0.2.1 " + rsa.with_suffix(".pub").read_text())
    sshd.connect().close()


def test_an_unknown_host_key(sshd: Sshd) -> None:
    sshd.trust(f"elsewhere,*,!192.0.2.1 {sshd.host_key()}")
    known_hosts = sshd.folder / "known_hosts"
    error = refusal(sshd)
    assert error.what == (
        f"unknown host key {fingerprint(sshd.host_key())}: {known_hosts} holds none for 192.0.2.1"
    )
    # Behind a proxy, ssh-keyscan finds nobody: the line itself is given.
    command = (error.hint or "").partition("if it is the same: ")[2]
    assert command == f"echo '192.0.2.1 {sshd.host_key()}' >> {known_hosts}"
    subprocess.run(["sh", "-c", command], check=True)
    sshd.connect().close()


def test_an_unknown_host_key_on_a_port_of_its_own(sshd: Sshd, listening: int) -> None:
    known_hosts = sshd.folder / "known_hosts"
    error = refusal(sshd, address="127.0.0.1", port=listening, proxy_command=None)
    assert f"holds none for [127.0.0.1]:{listening}" in error.what
    command = (error.hint or "").partition("if it is the same: ")[2]
    assert command == f"ssh-keyscan -p {listening} 127.0.0.1 >> {known_hosts}"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    sshd.connect(address="127.0.0.1", port=listening, proxy_command=None).close()


def test_a_changed_host_key(sshd: Sshd) -> None:
    other = keygen(sshd.folder / "other").with_suffix(".pub").read_text()
    sshd.trust(f"[192.0.2.1]:2222 {other}")
    known_hosts = sshd.folder / "known_hosts"
    error = refusal(sshd, port=2222)
    assert error.what == (
        f"host key changed: it shows {fingerprint(sshd.host_key())}, "
        f"but {known_hosts} holds {fingerprint(other)}"
    )
    assert f"ssh-keygen -R '[192.0.2.1]:2222' -f {known_hosts}, then" in (error.hint or "")


def test_a_revoked_host_key(sshd: Sshd) -> None:
    sshd.trust(f"192.0.2.1 {sshd.host_key()}\n@revoked * {sshd.host_key()}")
    assert refusal(sshd).what.startswith(f"host key {fingerprint(sshd.host_key())} is revoked in")


def test_no_known_hosts_file(sshd: Sshd) -> None:
    error = refusal(sshd, known_hosts="/no/known_hosts", address="a.example", port=2222)
    assert error.what == "the known_hosts file /no/known_hosts does not exist"
    assert "`ssh-keyscan -p 2222 a.example >> /no/known_hosts`" in (error.hint or "")


def test_a_known_hosts_file_that_is_none(sshd: Sshd) -> None:
    error = refusal(sshd, known_hosts=str(sshd.folder))
    assert error.what == f"the known_hosts file {sshd.folder} cannot be read: Is a directory"


# Logging in


def test_a_key_that_is_not_authorized(sshd: Sshd) -> None:
    key = keygen(sshd.folder / "stranger")
    error = refusal(sshd, key=str(key))
    assert error.what == f"sshd refuses to authenticate user root; tried: {key}"
    assert "ssh-copy-id" in (error.hint or "")


def test_a_key_file_that_is_missing(sshd: Sshd) -> None:
    assert refusal(sshd, key="/no/key").what == "the key file /no/key does not exist"


def test_a_key_file_that_is_encrypted(sshd: Sshd) -> None:
    key = keygen(sshd.folder / "locked", "-N", "secret")
    error = refusal(sshd, key=str(key))
    assert error.what == f"the key file {key} is encrypted"
    assert f"ssh-add {key}" in (error.hint or "")


def test_a_key_file_that_is_unreadable(sshd: Sshd) -> None:
    assert refusal(sshd, key=str(sshd.folder)).what.endswith("cannot be read: Is a directory")
    error = refusal(sshd, key=str(sshd.folder / "user_key.pub"))
    assert error.what.endswith("is not a private key of a known kind")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys and a session without an SSH agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def test_the_usual_keys_are_tried(sshd: Sshd, own_home: Path) -> None:
    error = refusal(sshd, key=None)
    assert error.what == "there is neither a key nor a password to authenticate user root with"
    keygen(own_home / ".ssh" / "id_ecdsa", "-N", "secret", kind="ecdsa")
    wrong = keygen(own_home / ".ssh" / "id_rsa", kind="rsa")
    error = refusal(sshd, key=None)
    assert error.what == (
        f"sshd refuses to authenticate user root; tried: {own_home}/.ssh/id_ecdsa "
        f"(encrypted, not used), {wrong}"
    )
    shutil.copy(sshd.folder / "user_key", own_home / ".ssh" / "id_ed25519")
    sshd.connect(key=None).close()


def test_keys_of_the_ssh_agent_are_tried(
    sshd: Sshd, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(own_home / "agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", address)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.PIPE)
    try:
        assert agent.stdout and agent.stdout.readline()  # it listens
        for comment, key in (("stranger", keygen(own_home / "k")), ("", sshd.folder / "user_key")):
            subprocess.run(["ssh-keygen", "-q", "-c", "-C", comment, "-f", key], check=True)
            subprocess.run(["ssh-add", "-q", str(key)], check=True)
            if comment:
                error = refusal(sshd, key=None)
                assert error.what.endswith("tried: stranger of the SSH agent")
        sshd.connect(key=None).close()
    finally:
        agent.terminate()
        agent.communicate()


def test_more_keys_than_sshd_takes(sshd: Sshd, own_home: Path) -> None:
    sshd.configure(MaxAuthTries="1")
    for kind in ("ed25519", "ecdsa", "rsa"):
        keygen(own_home / ".ssh" / f"id_{kind}", kind=kind)
    error = refusal(sshd, key=None)
    assert error.what.startswith(
        f"sshd refuses to authenticate user root; tried: {own_home}/.ssh/id_ed25519"
    )
    assert "MaxAuthTries" in (error.hint or "")


class PasswordServer(paramiko.ServerInterface):
    """Accepts a password of the test: our OpenSSH would look it up in /etc/shadow."""

    def get_allowed_auths(self, _user: str) -> str:
        return "password"

    def check_auth_password(self, _user: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == "secret" else paramiko.AUTH_FAILED


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_a_password(
    sshd: Sshd,
    listener: socket.socket,
    own_home: Path,
    password: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    port = listener.getsockname()[1]
    sshd.trust(f"[127.0.0.1]:{port} {sshd.host_key()}")
    ssh = sshd.ssh(address="127.0.0.1", port=port, proxy_command=None, key=None)
    ssh = ssh.model_copy(update={"password": Password(password, "${P}")})
    transports = []

    def serve() -> None:
        transports.append(paramiko.Transport(listener.accept()[0]))
        transports[0].add_server_key(
            paramiko.Ed25519Key.from_private_key_file(str(sshd.folder / "host_key"))
        )
        transports[0].start_server(threading.Event(), PasswordServer())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        if password == "secret":
            connect("alpha", ssh).close()
        else:
            what = "refuses to authenticate user root; tried: the password"
            with pytest.raises(HostError, match=what) as error:
                connect("alpha", ssh)
            assert password not in str(error.value)
    finally:
        thread.join()
        transports[0].close()
    ours = [text for name, _, text in caplog.record_tuples if name == "vxqual.ssh"]
    if password == "secret":
        assert "alpha: sshd accepts the password" in ours
        [line] = [text for text in ours if "alpha: connected to " in text]
        assert f"root@127.0.0.1 port {port} in 0." in line
        assert line.endswith(", with the password")
    else:
        assert any("alpha: no connection to root@127.0.0.1" in text for text in ours)
    # Nor do paramiko's own records hold it.
    assert not [text for text in caplog.messages if re.search(rf"\b{password}\b", text)]
