"""A proposed topology loads as what was proposed, whatever hosts call their things."""

from __future__ import annotations

import re
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.config.values import NAME
from qualification.topology import Ssh, parse
from qualification.topology.proposal import End, host_names, name_of, text_of, underlays

TEXT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=20)
PRINTED = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/:"))
INTERFACES = PRINTED.filter(lambda name: 0 < len(name) < 16 and name not in (".", ".."))
ADDRESSES = TEXT.filter(lambda text: not any(c in "/@" or c.isspace() for c in text))
SSHS = st.builds(
    Ssh,
    address=ADDRESSES,
    user=st.none() | TEXT,
    key=st.none() | TEXT,
    config=st.none() | TEXT,
    sudo=st.booleans(),
)
FREE = next(underlays([]))


@given(
    st.lists(SSHS, min_size=2, max_size=2, unique_by=lambda ssh: ssh.address),
    st.lists(INTERFACES, min_size=2, max_size=2),
    st.text(),
    st.none() | st.text(),
    st.booleans(),
)
def test_it_loads_as_what_was_proposed(
    sshs: list[Ssh], interfaces: list[str], about: str, driver: str | None, firmware: bool
) -> None:
    names = host_names([sshs[0].address], [sshs[1].address])
    ends = [
        End(name, ssh, interface, underlay, about, driver, firmware)
        for name, ssh, interface, underlay in zip(names, sshs, interfaces, FREE, strict=True)
    ]
    loaded = parse(text_of(ends[0], ends[1], about, [about]), "proposed", {})
    assert list(loaded.hosts) == list(names)
    for end in ends:
        assert loaded.hosts[end.host].ssh == end.ssh
        assert loaded.nic(end.name).interface == end.interface
        assert loaded.nic(end.name).underlay == end.underlay
    (pair,) = loaded.pairs.values()
    assert (pair.dut, pair.peer) == (ends[0].name, ends[1].name)


def test_the_comments_can_be_used_as_they_are() -> None:
    ends = [
        End(host, Ssh(address=host), "ens1f0", underlay, "i40e", "i40e", firmware=False)
        for host, underlay in zip(("lab-a", "lab-b"), FREE, strict=True)
    ]
    text = text_of(ends[0], ends[1], "my-lab.yaml")
    for comment in ("lab-b-i40e: {", 'firmware: "', "port: ", "vlan: "):
        assert f"# {comment}" in text
        text = text.replace(f"# {comment}", comment)
    loaded = parse(text, "proposed", {})
    assert loaded.pairs["lab-b-i40e"].dut == "lab-b.ens1f0"
    assert (loaded.pairs["lab-a-i40e"].port, loaded.pairs["lab-a-i40e"].vlan) == (8472, 3725)
    assert loaded.nic("lab-a.ens1f0").firmware == "1.2.3"


@pytest.mark.parametrize(
    ("dut", "peer", "names"),
    [
        (["lab-a.example.net"], ["lab-b"], ("lab-a", "lab-b")),
        (["192.0.2.11", "node1.example"], ["fe80::1", "node2"], ("node1", "node2")),
        (["192.0.2.11", "node"], ["192.0.2.12", "node"], ("node-dut", "node-peer")),
        (["192.0.2.11", "..."], ["192.0.2.12"], ("dut", "peer")),
    ],
)
def test_hosts_are_named_after_what_people_call_them(
    dut: list[str], peer: list[str], names: tuple[str, str]
) -> None:
    assert host_names(dut, peer) == names


@given(st.text(), st.just("port0"))
def test_any_text_makes_a_name(text: str, otherwise: str) -> None:

    assert re.fullmatch(NAME, name_of(text, otherwise))


def test_used_subnets_are_left_out() -> None:
    used = ["198.18.0.77/30", "192.0.2.1/24", "fd00:18:1::9/128", "198.18.2.0/23", "::1/128"]
    dut, peer = next(underlays(used))
    assert dut == (ip_interface("198.18.4.1/24"), ip_interface("fd00:18:4::1/64"))
    assert [address.network for address in dut] == [address.network for address in peer]
    assert not set(dut) & set(peer)
    assert list(underlays(["198.18.0.0/15"])) == []
    assert len(list(underlays([]))) == 256
