"""The models of a topology: names, address families, groups, and dumping."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qualification.config.values import CONTROLS
from qualification.errors import UsageError
from qualification.topology import (
    FirmwareSpec,
    HostSpec,
    LoopbackLab,
    NicSpec,
    PairSpec,
    Password,
    Ssh,
    Topology,
    dump,
    load,
)
from tests.examples import examples

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
LINES = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: not re.match(f"[{CONTROLS}]", c)),
    min_size=1,
    max_size=20,
)
KNOBS = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), LINES
)


def nic(number: int, interface: str = "ens1") -> NicSpec:
    return NicSpec(
        interface=interface,
        underlay=(ip_interface(f"198.18.{number // 200}.{number % 200 + 1}/15"),),
    )


def star(*pairs: tuple[str, str]) -> Topology:
    """Returns a topology of one-NIC hosts, with these pairs named p0, p1 and so on."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    return Topology(
        version=1,
        hosts={name: HostSpec(nics={"n": nic(i)}) for i, name in enumerate(names)},
        pairs={f"p{i}": PairSpec(dut=f"{a}.n", peer=f"{b}.n") for i, (a, b) in enumerate(pairs)},
        lab=LoopbackLab(kind="loopback"),
    )


def loaded(text: str | bytes, environ: dict[str, str]) -> Topology:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.yaml")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path, environ)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    in_lab = draw(st.booleans())
    hosts = {}
    for i, name in enumerate(names):
        ssh = Ssh(
            address=f"192.0.2.{i}",
            port=draw(st.integers(1, 65535)),
            user=draw(LINES),
            key=draw(st.none() | LINES),
            password=draw(st.none() | LINES.map(lambda text: Password(text, f"${{P{i}}}"))),  # noqa: B023
            proxy_command=draw(st.none() | LINES),
            sudo=draw(st.booleans()),
        )
        own = NicSpec(
            interface=draw(st.from_regex(r"[a-z][!-.0-9;-~]{0,14}", fullmatch=True)),
            underlay=(ip_interface(f"198.18.0.{i + 1}/24"), ip_interface(f"fd00:18::{i + 1}/64")),
            firmware=draw(st.none() | LINES),
            allow_management=draw(st.booleans()),
        )
        hosts[name] = HostSpec(
            ssh=None if in_lab and draw(st.booleans()) else ssh, nics={draw(NAMES): own}
        )
    nics = [f"{name}.{nic}" for name, host in hosts.items() for nic in host.nics]
    ends = st.lists(st.sampled_from(nics), min_size=2, max_size=2, unique=True)
    firmware = st.builds(
        lambda model, knobs: FirmwareSpec(**{**knobs, "model": model}),
        LINES,
        st.dictionaries(NAMES, KNOBS, max_size=3),
    )
    return Topology(
        version=1,
        hosts=hosts,
        pairs={
            name: PairSpec(dut=dut, peer=peer, port=draw(st.integers(1, 65535)))
            for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
            for dut, peer in [draw(ends)]
        },
        lab=LoopbackLab(
            kind="loopback",
            firmwares=draw(st.dictionaries(st.sampled_from(nics), firmware, max_size=2)),
            mtu=draw(st.integers(1350, 9000)),
        )
        if in_lab
        else None,
    )


@settings(max_examples=60, deadline=None)
@given(topologies())
def test_what_is_dumped_loads_again(topology: Topology) -> None:
    environ = {
        host.ssh.password.source[2:-1]: host.ssh.password.get_secret_value()
        for host in topology.hosts.values()
        if host.ssh and host.ssh.password is not None
    }
    again = loaded(dump(topology), environ)
    assert again == topology
    assert list(again.groups().items()) == list(topology.groups().items())


@pytest.mark.parametrize(
    "text", ["0¡¡ĀĀĀĀ𐀀𐀀𐀀0 0" * 20, "ssh -W %h:%p  'a b'  # $HOME $${X}", " # "]
)
def test_what_is_dumped_keeps_awkward_texts(text: str) -> None:
    hosts = {
        "a": HostSpec(ssh=Ssh(address="a", proxy_command=text), nics={"n": nic(1)}),
        "b": HostSpec(ssh=Ssh(address="b"), nics={"n": nic(2)}),
    }
    topology = Topology(version=1, hosts=hosts, pairs={"p": PairSpec(dut="a.n", peer="b.n")})
    assert loaded(dump(topology), {}) == topology


# Pieces that get far into the reader; random bytes do not.
PIECES = st.sampled_from(
    [
        "version: 1\n", "hosts:\n", "pairs:\n", "lab:\n", "  kind: loopback\n", "  alpha:\n",
        "    nics:\n", "      port0: {interface: a, underlay: [198.18.0.1/24]}\n", "  ", "a", ": ",
        "\n", "- ", "{", "}", "[", "]", ",", "&a ", "*a", "!t ", "!!int ", "${X}", "${", "$$", "'",
        '"', "|\n", ">", "#", "---\n", "...\n", "%YAML 1.1\n", "? ", "<<: *a", "~", "1", "0x", "-_",
        "1:30", ".inf", "2024-01-01", "\t", "\r", "\x85", "\u2028", "é", "\\", "@", "`", "=",
        "    ssh: {address: a}\n", "  p: {dut: alpha.port0, peer: alpha.port0}\n", '"\\ud800"',
    ]
)  # fmt: skip


@pytest.mark.hostile
@examples(250)
@given(st.one_of(st.text(), st.binary(), st.lists(PIECES, max_size=25).map("".join)))
def test_any_file_is_a_topology_or_a_usage_error(content: str | bytes) -> None:
    try:
        content = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError:
        return
    try:
        loaded(content, {})
    except UsageError as error:
        assert str(error)


def flow_list(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def flow_mapping(items: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"


KEYS = st.sampled_from(["alpha", "port0", "ssh", "nics", "kind", "model", "address", "'a b'"])
VALUES = st.recursive(
    st.sampled_from(["null", "true", "1", "-1", "8.3", "x", "a.b", "''", "'${X}'", "1e999"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(flow_list),
        st.dictionaries(KEYS, inner, max_size=2).map(flow_mapping),
    ),
    max_leaves=4,
)
SLOTS = """\
version: {}
hosts: {{alpha: {{ssh: {}, nics: {{port0: {{interface: {}, underlay: {}, firmware: {}}}}}}}, b: {}}}
pairs: {{one: {}, two: {{dut: {}, peer: {}, port: {}}}}}
lab: {}
"""


@pytest.mark.hostile
@examples(150)
@given(st.lists(VALUES, min_size=11, max_size=11))
def test_any_value_anywhere_is_refused_in_plain_words(values: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(SLOTS.format(*values), {})
    for jargon in ("Input", "valid dictionary", "not valid here", "pydantic"):
        assert jargon not in str(caught.value)


def test_nics_by_name() -> None:
    topology = star(("a", "b"))
    assert topology.nic("b.n") is topology.hosts["b"].nics["n"]
    assert topology.host_of("b.n") == "b"
    for ask in (topology.nic, topology.host_of):
        with pytest.raises(UsageError, match=r"there is no NIC 'b\.m'; did you mean 'b\.n'\?"):
            ask("b.m")


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        pytest.param("ab cd", ["p0", "p1"], id="apart"),
        pytest.param("ab ba", ["p0", "p0"], id="each way round"),
        pytest.param("ab bc cd", ["p0", "p0", "p0"], id="chain"),
        pytest.param("ab cd bc", ["p0", "p0", "p0"], id="joined by a later pair"),
        pytest.param("ab cd ef dg", ["p0", "p1", "p2", "p1"], id="second group grows"),
        pytest.param("ab cd ef ec gh", ["p0", "p1", "p1", "p1", "p4"], id="two of three joined"),
        pytest.param("ab cd ef fa", ["p0", "p1", "p0", "p0"], id="named after the first"),
    ],
)
def test_groups(pairs: str, groups: list[str]) -> None:
    assert list(star(*(tuple(pair) for pair in pairs.split())).groups().values()) == groups  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abcdefgh").flatmap(
    lambda a: st.tuples(st.just(a), st.sampled_from("abcdefgh").filter(lambda b: b != a))),
    min_size=1, max_size=8))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_pairs_of_different_groups_share_no_nic(pairs: list[tuple[str, str]]) -> None:
    topology = star(*pairs)
    groups = topology.groups()

    def nics(group: str) -> Iterator[str]:
        for name, pair in topology.pairs.items():
            if groups[name] == group:
                yield from (pair.dut, pair.peer)

    first = {
        group: next(name for name in groups if groups[name] == group) for group in groups.values()
    }
    assert all(group == name for group, name in first.items())
    assert not any(
        set(nics(one)) & set(nics(other)) for one in first for other in first if one != other
    )


def test_address_by_family() -> None:
    both = NicSpec(interface="a", underlay=(ip_interface("fd00::1/64"), ip_interface("10.0.0.1/8")))
    assert str(both.address(4)) == "10.0.0.1/8"
    assert str(both.address(6)) == "fd00::1/64"
    assert nic(1).address(6) is None


def test_a_point_to_point_link_has_no_reserved_addresses() -> None:
    assert NicSpec(
        interface="a", underlay=(ip_interface("10.0.0.0/31"), ip_interface("fd00::/127"))
    )


def test_two_ports_of_one_host_may_be_a_pair() -> None:
    Topology(
        version=1,
        hosts={"a": HostSpec(nics={"m": nic(1, "ens1"), "n": nic(2, "ens2")})},
        pairs={"p": PairSpec(dut="a.m", peer="a.n")},
        lab=LoopbackLab(kind="loopback"),
    )


def test_the_same_address_behind_another_proxy_is_another_machine() -> None:
    hosts = {
        name: HostSpec(
            ssh=Ssh(address="10.0.0.1", proxy_command=f"ssh -W %h:%p {name}"), nics={"n": nic(i)}
        )
        for i, name in enumerate("ab")
    }
    assert Topology(version=1, hosts=hosts, pairs={"p": PairSpec(dut="a.n", peer="b.n")})


def test_home_is_expanded_at_use_only(monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = Ssh(address="a", key="~/.ssh/lab", known_hosts="~/.ssh/known_hosts")
    monkeypatch.setenv("HOME", "/home/one")
    assert ssh.key == "~/.ssh/lab"
    assert ssh.key_file == Path("/home/one/.ssh/lab")
    assert ssh.known_hosts_file == Path("/home/one/.ssh/known_hosts")
    assert Ssh(address="a").key_file is None
    with pytest.raises(UsageError, match="there is no home directory for '~nobody-here/key'"):
        _ = Ssh(address="a", key="~nobody-here/key").key_file


def test_models_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PairSpec(dut="a.n", peer="b.n").port = 1
    with pytest.raises(ValidationError, match="frozen"):
        FirmwareSpec(model="good").model = "bad"
    with pytest.raises(ValidationError, match="Extra inputs"):
        PairSpec(dut="a.n", peer="b.n", prot=1)  # type: ignore[call-arg]


def test_a_password_in_code_needs_its_source_and_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Ssh(address="a", password="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Ssh(address="a", password=Password("hunter2", "${P}")))


def test_importing_loads_no_yaml() -> None:
    code = "import sys, qualification.topology; sys.exit('ruamel.yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
