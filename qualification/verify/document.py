"""The result of `vxqual verify` as a document for `json.dumps`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qualification.stack.native_walk import native

from .report import headline
from .words import address, ends_of, sentences

if TYPE_CHECKING:
    from qualification.stack.counting import KeptFrame

    from .findings import Findings, FlowTally


def document(name: str, found: Findings) -> dict[str, Any]:
    """Returns what was found in a capture, as reports/verify.schema.json describes it."""
    tally, side = found.tally, found.context.side
    return {
        "file": name,
        "headline": f"{name}: {headline(found)}",
        "exit_code": found.exit_code,
        "trouble": found.counting.trouble,
        "verifier": native().says,
        "ports": sorted(found.counting.ports),
        "noticed_ports": {str(port): frames for port, frames in found.noticed.items()},
        "side": side and side.value,
        "frames": tally.frames,
        "wrong": tally.wrong,
        "sent_by_capturing_host": tally.excused,
        "unjudged": tally.unjudged,
        "tunnelled": tally.tunnelled,
        "vxlan": tally.vxlan,
        "longest_on_wire": found.context.mtu,
        "classes": {each.value: number for each, number in tally.classes.items()},
        "layers": found.layers,
        "reasons": found.reasons,
        "flows": [flow_document(each) for each in found.flows],
        "bad_frames": [frame_document(found, kept) for kept in found.counting.kept],
    }


def flow_document(each: FlowTally, *, rates: bool = False) -> dict[str, Any]:
    """Returns one flow, with `rates` and the share of wrong frames and its interval of 95 %."""
    half = len(each.flow.addresses) // 2
    made: dict[str, Any] = {
        "source": address(each.flow.addresses[:half]),
        "destination": address(each.flow.addresses[half:]),
        "vni": each.flow.vni,
        "inner_family": each.flow.family or None,
        "protocol": each.flow.protocol,
        "frames": each.frames,
        "wrong": each.wrong,
        "unjudged": each.unjudged,
    }
    if rates:
        judged = each.frames - each.unjudged
        low, high = _wilson(each.wrong, judged)
        share = each.wrong / judged if judged else None
        made |= {"rate": share, "rate_low": low, "rate_high": high}
    return made


def _wilson(wrong: int, judged: int) -> tuple[float, float]:
    """Returns Wilson's interval of 95 % for a share (JASA 22, 1927); it needs no scipy."""
    if not judged:
        return 0.0, 1.0
    z, share = 1.959964, wrong / judged
    middle = (share + z * z / (2 * judged)) / (1 + z * z / judged)
    spread = share * (1 - share) / judged + z * z / (4 * judged * judged)
    half = z * math.sqrt(spread) / (1 + z * z / judged)
    return max(0.0, middle - half), min(1.0, middle + half)


def frame_document(found: Findings, kept: KeptFrame) -> dict[str, Any]:
    """Returns one frame."""
    record, walk = kept.record, kept.walk
    return {
        "frame": kept.number,
        "fragments": list(kept.parts),
        "time": record.time / 1e9,
        "class": found.class_of(kept).value,
        "wrong": found.is_wrong(kept),
        "wire_length": record.wire_length,
        "link_type": record.link,
        "packets": [" → ".join(ends_of(packet, walk.data)) for packet in walk.packets],
        "sentences": sentences(walk),
        "bytes": record.frame.hex(),
    }
