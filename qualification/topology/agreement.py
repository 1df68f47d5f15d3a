"""Checks that the parts of a topology agree with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from qualification.config.wording import Loc, Objection, suggestion

from .hosts import HostSpec, NicSpec, PairSpec
from .lab import Lab


def disagreements(
    hosts: Mapping[str, HostSpec],
    pairs: Mapping[str, PairSpec],
    lab: Lab,
    unsure: Collection[str] = (),
) -> Iterator[Objection]:
    """Yields an objection for everything in which the parts of a topology disagree.

    Args:
        hosts: The hosts by name.
        pairs: The pairs by name.
        lab: The lab that builds the hosts, if there is one.
        unsure: Names of further hosts, which are not valid themselves. References to them are
            not checked.
    """
    if lab is None:
        yield from _unreachable(hosts)
    yield from _duplicates(hosts)
    for name, pair in pairs.items():
        yield from _pair_problems(("pairs", name), pair, hosts, unsure)
    for key in ("firmwares", "nics"):
        for nic in getattr(lab, key, ()):
            what = _missing(nic, hosts, unsure)
            if what:
                yield Objection(("lab", key, nic), what)


def _unreachable(hosts: Mapping[str, HostSpec]) -> Iterator[Objection]:
    reached: dict[tuple[object, ...], str] = {}
    for name, host in hosts.items():
        if host.ssh is None:
            yield Objection(
                ("hosts", name),
                "'ssh' is missing",
                "write how the host is reached, as ssh: {address: 192.0.2.11}, or add a lab",
            )
            continue
        # Through another proxy, or by another configuration, it may be another machine.
        way = (host.ssh.address, host.ssh.port or 22, host.ssh.proxy_command, host.ssh.config)
        if way in reached:
            yield Objection(
                ("hosts", name, "ssh", "address"),
                f"the same machine as host '{reached[way]}'",
                "correct the address, or make the two one host with all their NICs",
            )
        reached.setdefault(way, name)


def _duplicates(hosts: Mapping[str, HostSpec]) -> Iterator[Objection]:
    """Yields interfaces and addresses that two NICs have: pairs would share them unnoticed."""
    interfaces: dict[tuple[str, str], str] = {}
    addresses: dict[object, str] = {}
    for host_name, host in hosts.items():
        for nic_name, nic in host.nics.items():
            loc: Loc = ("hosts", host_name, "nics", nic_name)
            owner = interfaces.setdefault((host_name, nic.interface), nic_name)
            if owner != nic_name:
                yield Objection(
                    (*loc, "interface"),
                    f"'{nic.interface}' is NIC '{owner}' of this host already",
                    "name each interface once; a NIC may be in several pairs",
                )
            for i, address in enumerate(nic.underlay):
                own = f"{host_name}.{nic_name}"
                owner = addresses.setdefault(address.ip, own)
                if owner != own:
                    yield Objection(
                        (*loc, "underlay", i),
                        f"{address.ip} belongs to {owner} already",
                        "give every NIC addresses of its own",
                    )


def _pair_problems(
    loc: Loc, pair: PairSpec, hosts: Mapping[str, HostSpec], unsure: Collection[str]
) -> Iterator[Objection]:
    if pair.dut == pair.peer:
        yield Objection(
            (*loc, "peer"),
            f"dut and peer are the same NIC, {pair.dut}",
            "name another NIC as the peer: a capture on the sender does not show the wire",
        )
        return
    found: list[NicSpec] = []
    for role, name in (("dut", pair.dut), ("peer", pair.peer)):
        host, _, nic = name.partition(".")
        what = _missing(name, hosts, unsure)
        if what:
            yield Objection((*loc, role), what)
        elif host in hosts:
            found.append(hosts[host].nics[nic])
    if len(found) == 2:
        yield from _link_problems(loc, pair, *found)


def _link_problems(loc: Loc, pair: PairSpec, dut: NicSpec, peer: NicSpec) -> Iterator[Objection]:
    both = [(dut.address(family), peer.address(family)) for family in (4, 6)]
    shared = [(ours, theirs) for ours, theirs in both if ours and theirs]
    if not shared:
        yield Objection(
            loc,
            f"{pair.dut} and {pair.peer} have no address family in common",
            "give both an IPv4 or both an IPv6 address in underlay",
        )
    for ours, theirs in shared:
        # `_duplicates` reports equal addresses, at the second NIC.
        if ours.network != theirs.network:
            yield Objection(
                loc,
                f"{ours} of {pair.dut} and {theirs} of {pair.peer} lie in different subnets",
                "the two ends of a link need one subnet, such as 198.18.0.1/24 and 198.18.0.2/24",
            )


def _missing(name: str, hosts: Mapping[str, HostSpec], unsure: Collection[str]) -> str | None:
    """Returns what is wrong with a reference to a NIC, or None."""
    host, _, nic = name.partition(".")
    if host in unsure:
        return None
    if host not in hosts:
        return f"there is no host '{host}'{suggestion(host, [*hosts, *unsure])}"
    if nic not in hosts[host].nics:
        return f"host '{host}' has no NIC '{nic}'{suggestion(nic, hosts[host].nics)}"
    return None
