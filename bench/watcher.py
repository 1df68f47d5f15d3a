"""Captures and judges a flow as the agent on a peer does, until all frames are received.

    python -m bench.watcher INTERFACE MAC VNI PORT FRAMES RING_BYTES

It prints "listening" to standard error once it captures, and the result as JSON at the end. Ctrl-C
ends it early.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time

from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import Rings
from qualification.messages.bursts import CaptureOrder

_VXLAN, _UDP = 4789, 17


def watch(interface: str, mac: str, vni: int, port: int, frames: int, ring: int) -> None:
    """Captures `frames` frames, or those received until Ctrl-C."""
    rings = Rings()
    order = CaptureOrder(
        interface=interface,
        source_mac=mac,
        protocols=(_UDP,),
        port=_VXLAN,
        vxlan_port=_VXLAN,
        vni=vni,
        flow_port=port,
        our_vnis=(vni,),
        late_ports=(0, 0),
        mtu=1500,
        outer_checksum=True,
        ring=ring,
    )
    capture = PeerCapture(order, rings)
    print("listening", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while capture.arrived < frames:
            time.sleep(0.05)
    seen = dataclasses.asdict(capture.finish())
    rings.close()
    print(json.dumps({name: seen[name] for name in ("frames", "bad", "unjudged", "drops")}))


if __name__ == "__main__":
    interface, mac, *numbers = sys.argv[1:]
    watch(interface, mac, *map(int, numbers))
