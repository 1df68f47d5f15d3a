"""Controls: runs with a known result, which must be right before any verdict can be trusted."""

from collections.abc import Callable

from qualification.judge.controls import ControlResult
from qualification.run.cell_runner import CellRunner


def test_control(
    control: tuple[str, str],
    runner: CellRunner,
    conclude_control: Callable[[str, ControlResult], None],
) -> None:
    """With every offload of the DUT off, the path and the capture are reliable.

    Steps:
        1. Open the pair: on leased NICs, add underlay addresses and tunnels, switch the offloads
           and GRO of the peer off.
        2. Switch every offload of the DUT off.
        3. plain: send TCP and UDP on the underlay, without a tunnel.
           all-off: send every flow through the tunnels.
           crafted: send crafted packets, whose checksums the kernel fills in itself.
           injected: send frames that are corrupt on purpose, one layer each, among valid frames.
           received: send the frames of the receive tests in the other direction, to sockets of the
           peer.
           tagged: send flows whose outer packets carry a VLAN tag.
    Verify:
        * plain, all-off: every checksum on the wire is right, in as many frames as a cell needs.
        * crafted: every frame is equal to its expected frame, byte for byte.
        * injected: the capture reports exactly the corrupt frames, each in the corrupt layer.
        * received: the peer's kernel, which validates every checksum itself, delivers the valid
          frames and drops the corrupt ones.
        * tagged: frames arrive with their tag. If none arrives, those flows are UNSUPPORTED, and no
          others.
        * Otherwise the pair is UNTRUSTED and none of its cells may pass or fail. The cells of what
          the DUT receives depend on `received`, all other cells on the first four.
    """
    pair, name = control
    conclude_control(pair, runner.control(pair, name))
