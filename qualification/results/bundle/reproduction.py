"""Which fault of a run reproduce.py shows, and the traffic and features that show it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from qualification import __version__
from qualification.judge.result_row import CellRow
from qualification.messages.bursts import Family, Protocol
from qualification.plan.features import RECEIVING, SENDING, SUPPORT
from qualification.plan.flows import Flow
from qualification.shipped import report_file

_FILE = "bundle/reproduce.py"
_BEGIN, _END = "# -- parameters --", "# -- end of parameters --"
_LEAST, _MOST = 5_000, 400_000
_TIMES = 20
"""How many wrong frames are expected of a run of the reproducer."""


@dataclass(frozen=True)
class Reproduction:
    """The parameters of reproduce.py.

    Attributes:
        cell: Id of the cell.
        exact: Whether the run showed the fault with the same traffic and features; else the
            traffic of the kernel is only like that of the cell.
        outer: IP version of the underlay.
        outer_checksum: Whether the tunnel sends outer UDP checksums.
        inner: IP version in the tunnel.
        l4: "tcp" or "udp".
        segmented: Whether UDP is given to the kernel with UDP_SEGMENT.
        port: UDP port of the tunnel.
        vni: VXLAN network identifier.
        features: What `ethtool -K` sets, by kernel name.
        culprit: The features whose turning off heals; empty where they are not known.
        rate: The share of wrong frames in the run.
        frames: How many frames are sent.
        loss: The share of frames that the run lost, where that is the fault; else 0.
        receives: Whether the NIC is wrong about what it receives.
    """

    cell: str
    exact: bool
    outer: int
    outer_checksum: bool
    inner: int
    l4: str
    segmented: bool
    port: int
    vni: int
    features: dict[str, bool]
    culprit: tuple[str, ...]
    rate: float
    frames: int
    loss: float = 0.0
    receives: bool = False


def reproduction(chosen: Sequence[CellRow], rows: Sequence[CellRow]) -> Reproduction | None:
    """Returns what shows the fault of chosen cells; None where what is sent in a tunnel is right.

    A cell that fails with the kernel's own traffic is best: a chosen one, or one with the same
    culprit. Traffic of a crafted packet set is replaced by the kernel's, which need not show it.
    Where no frame is wrong, lost ones are the fault. What a NIC does wrong when it receives comes
    last: datagrams of some kinds show it, of which the run has tried more.

    Args:
        chosen: The chosen cells, the most telling one first.
        rows: All cells of the NIC.
    """
    culprits = [row.culprit for row in chosen if row.culprit]
    alike = [row for row in rows if row.verdict in ("FAIL", "LOSS") and row.culprit in culprits]
    sent = [r for r in (*chosen, *alike) if r.flow.tunnel and r.flow.direction == "send"]
    for faulty in ([r for r in sent if r.bad], [r for r in sent if r.lost]):
        for row in (*filter(_bulk, faulty), *(r for r in faulty if r in chosen)):
            return _of(row, exact=_bulk(row))
    received = (r for r in chosen if r.flow.direction == "receive" and r.flow.tunnel)
    return next((_of(row, exact=False) for row in received if row.bad or row.lost), None)


def not_shown(row: CellRow, shown: Reproduction | None) -> str:
    """Returns why reproduce.py does not show what is wrong in a cell; empty if it does.

    Args:
        row: The cell.
        shown: What it shows; None where there is none.
    """
    flow = row.flow
    if shown is not None and shown.cell == row.id:
        return ""
    if flow.direction == "receive":
        if shown is not None and shown.receives:
            return f"it sends datagrams as in {shown.cell}, which need not show this fault"
        return "it judges what a NIC sends, and here the NIC is wrong about what it receives"
    if not flow.tunnel:
        return "it sends through a tunnel, and here there is none"
    if shown is not None and shown.receives:
        return "it judges what the NIC receives, and here it is wrong about what it sends"
    if not row.bad and not (row.lost and shown is not None and shown.loss):
        return "it judges the frames that arrive, and here frames are lost or refused"
    if shown is None:
        return ""
    if shown.culprit and shown.culprit == _sending(row.culprit or ()):
        return ""
    return f"it sends the traffic of {shown.cell}, which need not show this fault"


def source(shown: Reproduction) -> str:
    """Returns reproduce.py with the parameters filled in."""
    text = report_file(_FILE).read_text(encoding="utf-8")
    head, _, rest = text.partition(f"{_BEGIN}\n")
    _, _, tail = rest.partition(f"{_END}\n")
    given = {**asdict(shown), "culprit": list(shown.culprit), "vxqual": __version__}
    lines = "\n".join(f"    {json.dumps(name)}: {value!r}," for name, value in given.items())
    return f"{head}{_BEGIN}\nPARAMETERS: dict[str, Any] = {{\n{lines}\n}}\n{_END}\n{tail}"


def _bulk(row: CellRow) -> bool:
    """Returns whether a flow is the kernel's own traffic through a tunnel, and nothing else."""
    flow = row.flow
    special = flow.packet_set or flow.state or flow.vlan or flow.load
    return flow.tunnel and flow.direction == "send" and not special


def _of(row: CellRow, *, exact: bool) -> Reproduction:
    flow, low = row.flow, row.rate_low or row.rate or 1e-3
    receives = flow.direction == "receive"
    loss = 0.0 if row.bad or receives else row.lost / (row.frames + row.lost)
    outer: Family = 4 if flow.outer == 4 else 6
    inner: Family = 4 if flow.inner == 4 else 6
    l4: Protocol = "tcp" if flow.l4 == "tcp" else "udp"
    named = Flow(outer, flow.outer_checksum, inner, l4, flow.segmentation, flow.port)
    names = RECEIVING if receives else SENDING
    on = {} if receives else dict.fromkeys(SUPPORT, True)
    return Reproduction(
        cell=row.id,
        exact=exact,
        outer=outer,
        outer_checksum=flow.outer_checksum,
        inner=inner,
        l4=l4,
        segmented=flow.segmentation and l4 == "udp",
        port=flow.port,
        vni=named.vni,
        features=on | {name: value for name, value in row.requested.items() if name in names},
        culprit=tuple(name for name in row.culprit or () if name in names),
        rate=row.rate or 0.0,
        frames=min(_MOST, max(_LEAST, math.ceil(_TIMES / (loss or low)))),
        loss=loss,
        receives=receives,
    )


def _sending(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in SENDING)
