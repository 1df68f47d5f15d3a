"""Which buffer a bad frame was made of, where several could be it."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from qualification.agent.capture.ring import Rings
from qualification.agent.capture.tx_tap import BulkTxTap
from qualification.messages.bursts import CaptureOrder

pytestmark = pytest.mark.lab

MAC, FLOW = "02:aa:bb:cc:dd:ee", 20_005
ORDER = CaptureOrder(
    interface="w0", source_mac=MAC, protocols=(6,), port=FLOW, vxlan_port=4789, vni=None,
    flow_port=FLOW, our_vnis=(), late_ports=(20_000, FLOW), mtu=1500, outer_checksum=True,
    snap=128, ring=1 << 20,
)  # fmt: skip


def segment(family: int, sequence: int, *, sport: int = 9, ident: int = 1, when: int = 1) -> bytes:
    ip = IP(src="198.18.0.1", dst="198.18.0.2", id=ident) if family == 4 else IPv6()
    options = [("NOP", None), ("NOP", None), ("Timestamp", (when, 0))]
    tcp = TCP(sport=sport, dport=FLOW, seq=sequence, flags="A", options=options)
    return bytes(Ether(src=MAC, dst="02:00:00:00:00:02") / ip / tcp / (b"x" * 400))


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("family", [4, 6])
def test_of_buffers_that_were_sent_again_that_of_the_frame_is_found(
    net: Any, monkeypatch: pytest.MonkeyPatch, family: int, native: bool
) -> None:
    monkeypatch.setattr(BulkTxTap, "use_native", native)
    host, _ = net.wire()
    last = 2**32 - 200  # whose bytes pass 0
    sent = [
        segment(family, 1000),
        segment(family, 1400, ident=2),
        segment(family, 1000, ident=3, when=9),
        segment(family, 1000, sport=10, ident=4),
        segment(family, last, ident=5),
    ]
    with contextlib.closing(Rings()) as rings, host.inside():
        tap = BulkTxTap(ORDER, rings)
        host.inject("w0", *sent)
        assert tap.finish(400).packets == len(sent)
        asked = [sent[2], sent[0], sent[3], segment(family, 100, ident=5), segment(family, 1800)]
        found = tap.submitted([*asked, b"no frame"], 400)
    packets = [base64.b64decode(one.data) if one else None for one in found]
    assert packets == [sent[2][:128], sent[0][:128], sent[3][:128], sent[4][:128], None, None]
    assert [one and (one.length, one.csum_partial) for one in found[:1]] == [(len(sent[2]), False)]
