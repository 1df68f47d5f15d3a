"""The matrix: every checksum on the wire, for each offload set and each flow."""

from collections.abc import Callable

from qualification.judge.outcome import Outcome
from qualification.plan.cells import Cell
from qualification.run.cell_runner import CellRunner


def test_cell(cell: Cell, runner: CellRunner, conclude: Callable[[Outcome], None]) -> None:
    """Whatever the kernel leaves to the NIC, the frames on the wire are right.

    Steps:
        1. Put the DUT under the cell's offload set, read back what is in effect.
        2. Peer: capture every frame of the flow; receive it.
        3. DUT: send the flow from sockets inside the tunnel, over many source ports, and capture
           what the kernel hands to the NIC.
    Verify:
        * Every frame on the wire is right in every layer: outer IP, outer UDP, VXLAN, inner IP,
          inner TCP or UDP. One wrong frame is FAIL.
        * What the application received is, byte for byte, what was sent.
        * No frame handed to the NIC is missing on the wire (LOSS).
        * The NIC had the work to do that the features in effect give it (else NOT EXERCISED), in
          enough frames to exclude the rate asked for (else INCONCLUSIVE).
    """
    conclude(runner.run(cell))
