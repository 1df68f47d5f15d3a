"""Receive: what a NIC vouches for, against the truth."""

from collections.abc import Callable

import pytest

from qualification.judge.outcome import Outcome
from qualification.plan.cells import Cell
from qualification.run.cell_runner import CellRunner


@pytest.mark.receive
def test_received(cell: Cell, runner: CellRunner, conclude: Callable[[Outcome], None]) -> None:
    """Whatever the NIC says of a frame, the right ones are delivered and the wrong ones refused.

    Steps:
        1. Put the DUT under the cell's set of receive features, rx-checksum and rx-gro on and off;
           what it has fixed stays as it is.
        2. DUT: open sockets inside the tunnel, and a capture on the NIC that sees what the NIC
           says of each frame.
        3. Peer: send finished frames to the DUT's tunnel. Right ones: odd, tiny, as long as the
           MTU, without an outer checksum, padded inside and outside, with options, with a tag.
           Wrong ones: outer checksum, inner one, both, an IP header's, a flipped bit.
    Verify:
        * No application gets a wrong frame (false accept: rx-blind, or rx-level where the NIC goes
          by the outer checksum alone). One of them is FAIL.
        * Applications get every right frame, byte for byte. A shape of which none reaches the
          kernel is FAIL (false reject: rx-strict); others are LOSS.
        * With rx-checksum on, the NIC vouched for right frames (else NOT EXERCISED).
    """
    conclude(runner.run(cell))
