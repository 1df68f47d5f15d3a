"""Frames made by scapy, right and wrong on purpose, for the control that injects them."""

from __future__ import annotations

import logging
from typing import Any

from qualification.inventory import Ends
from qualification.plan.flows import Flow

from .orders import inner_address, inner_mac

COPIES = 4
"""Frames of each kind."""


def frames(ends: Ends, flow: Flow, port: int) -> tuple[list[bytes], dict[str, int], int]:
    """The frames of the control, how many are wrong by layer, and how many are right.

    In each wrong frame exactly one layer's checksum is wrong: where an inner field is spoiled, the
    outer checksum is made over the spoiled bytes.
    """
    logging.getLogger("scapy").setLevel(logging.ERROR)
    # A second to import, and needed once a pair.
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415
    from scapy.layers.vxlan import VXLAN  # noqa: PLC0415
    from scapy.packet import Raw  # noqa: PLC0415

    outer_ip = (IP if flow.outer == 4 else IPv6)(
        src=ends.outer("dut", flow.outer), dst=ends.outer("peer", flow.outer)
    )
    outer_mac = Ether(src=ends.dut.facts.mac, dst=ends.peer.facts.mac)
    inner_mac_header = Ether(src=inner_mac("dut", flow.vni), dst=inner_mac("peer", flow.vni))
    inner_ip = (IP if flow.inner == 4 else IPv6)(
        src=inner_address("dut", flow.vni, flow.inner),
        dst=inner_address("peer", flow.vni, flow.inner),
    )

    def build(number: int, spoiled: str | None) -> bytes:
        payload = bytes(range(64 + number))
        inner = inner_mac_header / inner_ip / UDP(sport=9, dport=port) / Raw(payload)
        inner = Ether(bytes(inner))  # with its checksums filled in
        if spoiled == "inner L4":
            _spoil(inner[UDP])
        elif spoiled == "inner IP":
            _spoil(inner[IP])
        vxlan = VXLAN(flags="Instance", vni=flow.vni)
        sport = 0xC100 + number
        whole = outer_mac / outer_ip / UDP(sport=sport, dport=flow.port) / vxlan / inner
        whole = Ether(bytes(whole))
        if spoiled == "outer L4":
            _spoil(whole[UDP])
        elif spoiled == "outer IP":
            _spoil(whole[IP])
        return bytes(whole)

    kinds = ["outer L4", "inner L4"]
    kinds += ["outer IP"] if flow.outer == 4 else []
    kinds += ["inner IP"] if flow.inner == 4 else []
    made = [build(number, None) for number in range(COPIES)]
    for kind in kinds:
        made += [build(number, kind) for number in range(COPIES)]
    return made, dict.fromkeys(kinds, COPIES), COPIES


def _spoil(layer: Any) -> None:
    """Makes the checksum wrong, and neither of the two zeros that mean something else."""
    layer.chksum = layer.chksum ^ 0x5A5A or 0x1234
