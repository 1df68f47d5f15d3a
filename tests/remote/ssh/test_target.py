"""Where a host is, from the topology and from OpenSSH's client configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qualification.errors import HostError
from qualification.remote.ssh.target import Target, target
from qualification.topology import Ssh

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """`written(text)`: the user's ~/.ssh/config with that text."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(text: str, name: str = "config") -> Path:
        path = tmp_path / ".ssh" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(0o600)
        return path

    return write


def found(address: str, **keys: Any) -> Target:
    return target("alpha", Ssh.model_validate({"address": address} | keys))


def test_without_a_configuration_there_are_defaults(written: Written, tmp_path: Path) -> None:
    there = found("192.0.2.1")
    assert (there.address, there.port, there.user) == ("192.0.2.1", 22, "root")
    assert there.known_hosts[0] == tmp_path / ".ssh" / "known_hosts"
    assert (there.key, there.identities, there.proxy_command, there.via) == (None, (), None, None)
    assert str(there) == "root@192.0.2.1 port 22"


def test_an_alias_is_what_ssh_makes_of_it(written: Written, tmp_path: Path) -> None:
    written("""\
        Host lab-*
            Port 2222
            UserKnownHostsFile ~/lab_hosts "~/two words"
        Host lab-a
            HostName 192.0.2.7
            User qualifier
            IdentityFile ~/.ssh/lab
            IdentityFile ~/.ssh/other
            CertificateFile ~/.ssh/ca-cert.pub
            IdentitiesOnly yes
            HostKeyAlias Rack7
        """)
    there = found("lab-a")
    assert (there.address, there.port, there.user) == ("192.0.2.7", 2222, "qualifier")
    assert there.identities == (tmp_path / ".ssh" / "lab", tmp_path / ".ssh" / "other")
    assert there.certificates == (tmp_path / ".ssh" / "ca-cert.pub",)
    assert there.identities_only
    assert there.host_key_name == "rack7"
    assert there.known_hosts[:2] == (tmp_path / "lab_hosts", tmp_path / "two words")


def test_the_topology_comes_first(written: Written, tmp_path: Path) -> None:
    written("""\
        Host *
            HostName 192.0.2.7
            Port 2222
            User other
            ProxyJump jump
            UserKnownHostsFile /nowhere
        """)
    there = found(
        "lab-a", port=22, user="root", key="~/k", known_hosts="~/known", proxy_command="nc %h %p"
    )
    assert (there.address, there.port, there.user) == ("192.0.2.7", 22, "root")
    assert (there.key, there.known_hosts) == (tmp_path / "k", (tmp_path / "known",))
    assert (there.proxy_command, there.via) == ("nc %h %p", None)
    assert there.host_key_name == "192.0.2.7"


def test_no_configuration_if_none_is_wanted(written: Written) -> None:
    written("Host *\n  Port 2222\n")
    assert found("lab-a").port == 2222
    assert found("lab-a", config="none").port == 22


def test_another_file_instead(written: Written, tmp_path: Path) -> None:
    written("Host *\n  Port 2222\n")
    other = tmp_path / "other"
    other.write_text("Host *\n  User someone\n")
    there = found("lab-a", config=str(other))
    assert (there.port, there.user) == (22, "someone")


def test_jump_hosts_one_after_the_other(written: Written) -> None:
    written("""\
        Host first
            HostName 192.0.2.1
            ProxyCommand nc -x proxy %h %p 2>/dev/null
        Host second
            ProxyJump elsewhere
        Host lab-a
            ProxyJump me@first:2201,second
        """)
    there = found("lab-a")
    second = there.via
    assert second
    assert second.via
    assert second.via.via is None
    assert (second.address, second.via.address) == ("second", "192.0.2.1")
    assert (second.via.user, second.via.port) == ("me", 2201)
    assert second.via.proxy_command == ("/bin/sh -c 'exec nc -x proxy 192.0.2.1 2201 2>/dev/null'")
    assert str(there) == (
        "root@lab-a port 22 through root@second port 22 through me@192.0.2.1 port 2201"
        " through a proxy command"
    )


@pytest.mark.parametrize(
    ("lines", "way"),
    [
        ("ProxyJump none\nProxyCommand nc %h 22", (None, None)),
        ("ProxyCommand none\nProxyJump jump", (None, None)),
        ("ProxyCommand nc %h %p\nProxyJump jump", ("/bin/sh -c 'exec nc lab-a 22'", None)),
        ("ProxyJump jump\nProxyCommand nc %h %p", (None, "jump")),
    ],
)
def test_of_jump_and_command_the_first_counts(
    lines: str, way: tuple[str | None, str | None], written: Written
) -> None:
    written(f"Host lab-a\n{lines}\n")
    there = found("lab-a")
    assert (there.proxy_command, there.via and there.via.address) == way


def test_a_jump_host_that_jumps_over_itself(written: Written) -> None:
    written("Host *\n  ProxyJump jump\n")
    with pytest.raises(HostError, match=r"^alpha: more than 8 jump hosts, the last is jump"):
        found("lab-a")


def test_files_that_are_included(written: Written) -> None:
    written("Host lab-b\n  Port 3\nHost lab-*\n  User lab\n", "conf.d-one")
    written("Port 4\n", "plain")
    written("Include conf.d-*\nHost lab-a\n  Include plain\nHost lab-c\n  Port 5\n")
    assert [found(f"lab-{name}").port for name in "abcd"] == [4, 3, 5, 22]
    assert found("lab-d").user == "lab"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Host lab-a\n  Port many\n", "the SSH configuration has no port but 'many'"),
        ("Host\n", r"cannot be used: Unparsable line Host"),
        ("Include config\n", "files include one another without end"),
        ("Match exec true\n  Port 3\n", "config has `Match exec`, which is not understood"),
        ("Host lab-a\n  Include nested\n", "has blocks, and is included within 'Host lab-a'"),
        ("Host lab-a\n  ProxyJump :22\n", "ProxyJump names no host: ':22'"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, why: str, written: Written) -> None:
    written("Host lab-x\n  Port 3\n", "nested")
    written(text)
    with pytest.raises(HostError, match=why) as caught:
        found("lab-a")
    assert caught.value.where == "alpha"


def test_a_file_that_others_can_write_to_is_not_used(written: Written) -> None:
    path = written("Host *\n  ProxyCommand rm -rf /\n")
    path.chmod(0o666)
    with pytest.raises(HostError, match=r"config can be written to by others\n.*chmod go-w"):
        found("lab-a")


def test_a_file_that_is_not_there(written: Written) -> None:
    with pytest.raises(HostError, match="the SSH configuration /nowhere does not exist"):
        found("lab-a", config="/nowhere")
