"""The result of `vxqual verify` as a document for `json.dumps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qualification.stack.native_walk import native

from .report import headline
from .words import address, ends_of, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from qualification.stack.counting import KeptFrame

    from .findings import Findings, FlowTally


def document(path: Path, found: Findings) -> dict[str, Any]:
    """Returns what was found in a capture, as reports/verify.schema.json describes it."""
    tally, side = found.tally, found.context.side
    return {
        "file": str(path),
        "headline": f"{path}: {headline(found)}",
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
        "flows": [_flow(each) for each in found.flows],
        "bad_frames": [frame_document(found, kept) for kept in found.counting.kept],
    }


def _flow(each: FlowTally) -> dict[str, Any]:
    half = len(each.flow.addresses) // 2
    return {
        "source": address(each.flow.addresses[:half]),
        "destination": address(each.flow.addresses[half:]),
        "vni": each.flow.vni,
        "inner_family": each.flow.family or None,
        "protocol": each.flow.protocol,
        "frames": each.frames,
        "wrong": each.wrong,
        "unjudged": each.unjudged,
    }


def frame_document(found: Findings, kept: KeptFrame) -> dict[str, Any]:
    """Returns one frame."""
    record, walk = kept.record, kept.walk
    return {
        "frame": kept.number,
        "time": record.time / 1e9,
        "class": found.class_of(kept).value,
        "wrong": found.is_wrong(kept),
        "wire_length": record.wire_length,
        "link_type": record.link,
        "packets": [" → ".join(ends_of(packet, walk.data)) for packet in walk.packets],
        "sentences": sentences(walk),
        "bytes": record.frame.hex(),
    }
