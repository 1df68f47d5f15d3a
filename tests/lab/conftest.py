"""Fixtures of the lab's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from qualification.lab import loopback
from qualification.lab.hosts import run
from qualification.lab.loopback import RunningLab
from qualification.topology import Topology


@pytest.fixture(scope="session")
def two_hosts() -> Callable[..., Topology]:
    """`two_hosts(alpha=..., bravo=...)`: a topology of one pair, with the NICs' firmwares."""
    return _two_hosts


@pytest.fixture(scope="session")
def tunnel() -> Callable[..., None]:
    """`tunnel(lab, vni=, family=, csum=)`: a VXLAN between the two hosts of a lab."""
    return _tunnel


@pytest.fixture
def start() -> Iterator[Callable[[Topology], RunningLab]]:
    """Starts labs that are stopped when the test ends, whether it fails or not."""
    labs: list[RunningLab] = []

    def begin(topology: Topology) -> RunningLab:
        labs.append(loopback.start(topology))
        return labs[-1]

    yield begin
    for lab in reversed(labs):
        lab.stop()


def _two_hosts(**firmwares: dict[str, object]) -> Topology:
    """Returns a topology of two hosts with a pair, and the firmware of alpha's and bravo's NIC."""
    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {
                "alpha": {"nics": {"port0": {"interface": "p0", "underlay": ["198.18.0.1/24"]}}},
                "bravo": {"nics": {"port0": {"interface": "p0", "underlay": ["198.18.0.2/24"]}}},
            },
            "pairs": {"soft": {"dut": "alpha.port0", "peer": "bravo.port0"}},
            "lab": {
                "kind": "loopback",
                "firmwares": {f"{host}.port0": chosen for host, chosen in firmwares.items()},
            },
        }
    )


def _tunnel(lab: RunningLab, *, vni: int, family: int, csum: bool) -> None:
    """Makes a VXLAN between the two hosts of a lab.

    Its device is `vxVNI`; the hosts are 10.VNI.0.1 and 10.VNI.0.2, fd00:VNI::1 and fd00:VNI::2
    in it (VNI up to 99).
    """
    for number, host in enumerate(("alpha", "bravo"), 1):
        ip = ("ip", "-n", lab.record.namespace(host))
        if family == 4:
            local, remote = f"198.18.{vni}.{number}", f"198.18.{vni}.{3 - number}"
            run(*ip, "address", "add", f"{local}/24", "dev", "p0")
        else:
            local, remote = f"fd00:18:{vni}::{number}", f"fd00:18:{vni}::{3 - number}"
            run(*ip, "address", "add", f"{local}/64", "dev", "p0", "nodad")
        # The options for an outer checksum; over IPv6 there are two of them.
        sums: tuple[str, ...]
        if family == 4:
            sums = ("udpcsum" if csum else "noudpcsum",)
        else:
            sums = ("noudp6zerocsumtx",) if csum else ("udp6zerocsumtx", "udp6zerocsumrx")
        vx = f"vx{vni}"
        run(
            *ip, "link", "add", vx, "type", "vxlan", "id", str(vni), "dstport", "4789",
            "local", local, "remote", remote, *sums,
        )  # fmt: skip
        run(*ip, "link", "set", "dev", vx, "up")
        run(*ip, "address", "add", f"10.{vni}.0.{number}/24", "dev", vx)
        run(*ip, "address", "add", f"fd00:{vni}::{number}/64", "dev", vx, "nodad")
