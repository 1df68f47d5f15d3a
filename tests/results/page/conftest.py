"""Pages made by hand, and the browser that they are opened in."""

from __future__ import annotations

import base64
from dataclasses import replace

from scapy.layers import inet
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation, Proof
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.plan.features import TNL_CSUM, TSO
from qualification.results.conclusion import RunOutcome
from qualification.results.page.build import PageInput, build
from qualification.results.page.details import detail_of
from qualification.results.page.model import Page
from qualification.wire.verify import explain
from tests.results.conftest import ALL_OFF, ALL_ON, OUTER6_TCP, TCP, UDP, Make, built, made

FAILING = "x710/all-on/outer4-csum/inner4/tcp"
WRITTEN = "2026-01-02T03:15:00+00:00"


def tunnel_frame(outer_sum: int = 0x1234, payload: bytes = b"x" * 900) -> bytes:
    """An IPv4 VXLAN frame with a TCP segment; its inner sums are right."""
    inner = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    inner /= (
        IP(src="10.0.0.1", dst="10.0.0.2") / inet.TCP(sport=40000, dport=5001, flags="A") / payload
    )
    outer = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:01:02")
    outer /= IP(src="198.18.0.1", dst="198.18.0.2")
    outer /= inet.UDP(sport=50000, dport=4789, chksum=outer_sum) / VXLAN(vni=22128) / inner
    return bytes(outer)


def evidence(frame: bytes | None = None) -> Evidence:
    """The evidence of a cell of 1,000 frames, of which 30 are wrong if one is given."""
    bad, samples = 0, ()
    if frame is not None:
        data = base64.b64encode(frame).decode()
        bad, samples = 30, (BadFrame(data, ("outer L4",), tuple(explain(frame))),)
    shapes = {"size": {"full": (900, bad), "small": (100, 0)}}
    layers = {"outer L4": bad} if bad else {}
    seen = CaptureResult(1000, bad, layers, samples=samples, shapes=shapes)
    sent = Sent(Submitted(80, 1000, 1000, 70, 900), 1000, True, 0.1, {"link.tx_packets": 80})
    counters = {"link.rx_packets": 1000, "outer.Udp.InCsumErrors": bad}
    log = ("p0: hw csum failure",) if bad else ()
    received = Received(seen, Delivered(1000), counters, log)
    return Evidence({TNL_CSUM: True, TSO: True}, bursts=(Burst(sent, received),))


def found(pair: str = "x710") -> CulpritFindings:
    """What a search for the culprit of the failing cell finds."""
    proof = Proof(FAILING, 1000, 1000, 31, 1e-9)
    group = CulpritGroup((TNL_CSUM,), "nic", (FAILING,), 1, proof, "none of 1,000 is wrong")
    return CulpritFindings(
        pair, {FAILING: (TNL_CSUM,)}, (group,), Mitigation((TNL_CSUM,), (TSO,), 1, 1), 2
    )


def ran(row: CellRow) -> CellRow:
    return replace(row, effective=dict(row.requested))


def failing() -> CellRow:
    reason = "30 of 1,000 frames are wrong (3 %, 1.5 % to 5.4 % at 99.9%): outer L4 (30)"
    row = made(ALL_ON, TCP, Verdict.FAIL, reason, frames=1000, bad=30)
    return replace(ran(row), signature="noise, outer L4: random", culprit=[TNL_CSUM])


def example_of(campaign: Make, firmware: str = "8.30 0x8000af86") -> Page:
    """Two NICs, of which one fails in one cell of four."""
    run = campaign(e810=("ice", "4.40"), x710=("i40e", firmware))
    rows = [
        ran(made(ALL_ON, TCP, frames=1000, pair="e810")),
        failing(),
        ran(made(ALL_ON, OUTER6_TCP, frames=1000)),
        ran(made(ALL_ON, UDP, frames=1000)),
        ran(made(ALL_OFF, TCP, frames=1000)),
    ]
    matrix = built(run, rows, (), {"x710": [TNL_CSUM]}, RunOutcome.NOT_QUALIFIED)
    details = {FAILING: detail_of(evidence(tunnel_frame()), 4789, 0.999)}
    return build(PageInput(matrix, details, (found(),), WRITTEN))
