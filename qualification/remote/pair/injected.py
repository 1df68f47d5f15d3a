"""Makes the frames of the control "injected" with scapy: right ones, and wrong ones on purpose."""

from __future__ import annotations

import logging
from typing import Any

from qualification.inventory import Ends
from qualification.plan.flows import Flow

from .addresses import inner_address, inner_mac

COPIES = 4
"""How many frames of each kind are made."""


def frames(ends: Ends, flow: Flow, port: int) -> tuple[list[bytes], dict[str, int], int]:
    """Makes the frames of the control.

    In each wrong frame exactly one layer's checksum is wrong: if that is an inner one, the outer
    checksum is computed over the wrong bytes.

    Args:
        ends: The pair.
        flow: The flow whose outer and inner headers the frames have.
        port: The inner UDP destination port.

    Returns:
        The frames, the number of wrong ones by layer, and the number of right ones.
    """
    logging.getLogger("scapy").setLevel(logging.ERROR)
    # The import takes a second, and only this control needs it, once for each pair.
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415
    from scapy.layers.vxlan import VXLAN  # noqa: PLC0415
    from scapy.packet import Raw  # noqa: PLC0415

    outer_ip = (IP if flow.outer == 4 else IPv6)(
        src=ends.outer("dut", flow.outer), dst=ends.outer("peer", flow.outer)
    )
    outer_mac = Ether(src=ends.dut.facts.mac, dst=ends.peer.facts.mac)
    vni = ends.vni(flow.vni)
    inner_mac_header = Ether(src=inner_mac("dut", vni), dst=inner_mac("peer", vni))
    inner_ip = (IP if flow.inner == 4 else IPv6)(
        src=inner_address("dut", vni, flow.inner),
        dst=inner_address("peer", vni, flow.inner),
    )

    def build(number: int, wrong: str | None) -> bytes:
        payload = bytes(range(64 + number))
        inner = inner_mac_header / inner_ip / UDP(sport=9, dport=port) / Raw(payload)
        inner = Ether(bytes(inner))  # scapy computes the checksums when it makes the bytes
        if wrong == "inner L4":
            _corrupt(inner[UDP])
        elif wrong == "inner IP":
            _corrupt(inner[IP])
        vxlan = VXLAN(flags="Instance", vni=vni)
        sport = 0xC100 + number
        frame = outer_mac / outer_ip / UDP(sport=sport, dport=flow.port) / vxlan / inner
        frame = Ether(bytes(frame))
        if wrong == "outer L4":
            _corrupt(frame[UDP])
        elif wrong == "outer IP":
            _corrupt(frame[IP])
        return bytes(frame)

    kinds = ["outer L4", "inner L4"]
    kinds += ["outer IP"] if flow.outer == 4 else []
    kinds += ["inner IP"] if flow.inner == 4 else []
    made = [build(number, None) for number in range(COPIES)]
    for kind in kinds:
        made += [build(number, kind) for number in range(COPIES)]
    return made, dict.fromkeys(kinds, COPIES), COPIES


def _corrupt(layer: Any) -> None:
    """Makes a checksum wrong, but not 0, which in UDP means that there is none (RFC 768)."""
    layer.chksum = layer.chksum ^ 0x5A5A or 0x1234
