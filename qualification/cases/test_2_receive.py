"""The receive tests: the checksum status that a NIC reports for frames, valid and corrupt."""

from collections.abc import Callable

import pytest

from qualification.judge.outcome import Outcome
from qualification.plan.cells import Cell
from qualification.run.cell_runner import CellRunner


@pytest.mark.receive
def test_received(cell: Cell, runner: CellRunner, conclude: Callable[[Outcome], None]) -> None:
    """Valid frames are delivered and corrupt ones dropped, whatever status the NIC reports.

    Steps:
        1. Request the receive features of the cell on the DUT: rx-checksum and rx-gro, on and off.
           Features that the NIC has fixed stay as they are.
        2. DUT: open sockets inside the tunnel, and a capture on the NIC that records the checksum
           status which the NIC reports for each frame.
        3. Peer: send complete frames to the tunnel of the DUT. Valid ones: odd length, tiny, as
           long as the MTU, without an outer checksum, padded inside and outside, with IP or TCP
           options, with a VLAN tag. Corrupt ones: outer checksum, inner checksum, both, the
           checksum of an IP header, a flipped bit.
    Verify:
        * No application gets a corrupt frame (false accept: rx-blind, or rx-level if the NIC checks
          only the outer checksum). A single one is FAIL.
        * Applications get every valid frame, byte for byte. If no frame of a shape reaches the
          kernel, that is FAIL (false reject: rx-strict); other missing frames are LOSS.
        * With rx-checksum on, the NIC reported valid frames as valid (else NOT EXERCISED).
    """
    conclude(runner.run(cell))
