"""The matrix: every checksum on the wire, for each offload set and each flow."""

from collections.abc import Callable

from qualification.judge.outcome import Outcome
from qualification.plan.cells import Cell
from qualification.run.cell_runner import CellRunner


def test_cell(cell: Cell, runner: CellRunner, conclude: Callable[[Outcome], None]) -> None:
    """Every frame that the DUT transmits is right, whatever the kernel leaves to the NIC.

    Steps:
        1. Request the offload set of the cell on the DUT, and read back what is in effect.
        2. Peer: capture every frame of the flow, and receive it.
        3. DUT: send the flow from sockets inside the tunnel, over many source ports, and capture
           what the kernel submits to the driver.
    Verify:
        * Every frame on the wire is right in every layer: outer IP, outer UDP, VXLAN, inner IP,
          inner TCP or UDP. A single wrong frame is FAIL.
        * The application receives, byte for byte, what was sent.
        * No frame that was submitted to the driver is missing on the wire (LOSS).
        * The NIC had the work to do that the features in effect give it (else NOT EXERCISED), in
          enough frames to exclude the requested corruption rate (else INCONCLUSIVE).
    """
    conclude(runner.run(cell))
