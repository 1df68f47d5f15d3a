"""A VXLAN tunnel with outer checksums between two hosts of a lab."""

from __future__ import annotations

from qualification.lab.hosts import run

VNI, PORT = 30, 5001


def address(number: int) -> str:
    """Returns the address of host 1 or 2 inside the tunnel."""
    return f"10.30.0.{number}"


def underlay(number: int) -> str:
    """Returns the underlay address of host 1 or 2."""
    return f"198.18.30.{number}"


def make_end(namespace: str, number: int) -> None:
    """Creates one end of the tunnel on `port0`.

    Args:
        namespace: The namespace of the host.
        number: The number of the host, 1 or 2; the other host is the other end.
    """
    ip, other = ("ip", "-n", namespace), 3 - number
    run(*ip, "address", "add", f"{underlay(number)}/24", "dev", "port0")
    run(
        *ip, "link", "add", "vx30", "address", f"02:00:00:00:30:0{number}", "type", "vxlan",
        "id", str(VNI), "dstport", "4789", "local", underlay(number), "remote", underlay(other),
        "udpcsum",
    )  # fmt: skip
    run(*ip, "address", "add", f"{address(number)}/24", "dev", "vx30")
    run(*ip, "link", "set", "vx30", "up")
    neighbour = (address(other), "lladdr", f"02:00:00:00:30:0{other}", "dev", "vx30")
    run(*ip, "neighbour", "replace", *neighbour)
