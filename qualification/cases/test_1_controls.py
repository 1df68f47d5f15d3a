"""Controls before trust: runs that must come out one way for the others to mean anything."""

from collections.abc import Callable

from qualification.judge.controls import ControlResult
from qualification.run.cell_runner import CellRunner


def test_control(
    control: tuple[str, str],
    runner: CellRunner,
    conclude_control: Callable[[str, ControlResult], None],
) -> None:
    """With every offload of the DUT off, path and capture are beyond doubt.

    Steps:
        1. Open the pair: leases, underlay addresses, tunnels; the peer's offloads and GRO off.
        2. Switch every offload of the DUT off.
        3. plain: TCP and UDP on the underlay, without a tunnel.
           all-off: every flow through the tunnels.
           crafted: crafted buffers, which the kernel finishes itself.
           injected: frames made wrong on purpose, one layer each, and right ones among them.
           received: what the DUT is going to receive, the other way, to sockets of the peer.
           tagged: flows whose outer packets carry a VLAN tag.
    Verify:
        * plain, all-off: every checksum on the wire is right, in as many frames as a cell needs.
        * crafted: every frame is byte for byte what was due.
        * injected: the capture calls exactly the wrong ones wrong, in the layer that is wrong.
        * received: the peer's kernel, whose NIC vouches for nothing, delivers the right ones and
          refuses the wrong ones.
        * tagged: frames arrive with their tag. Where none gets through, those flows are
          UNSUPPORTED, and no others.
        * Otherwise the pair is UNTRUSTED and none of its cells may pass or fail: those of what it
          receives by the last control, all others by the first four.
    """
    pair, name = control
    conclude_control(pair, runner.controls(pair)[name])
