"""The culprit: what is to be turned off where a pair fails, and no more than that."""

from collections.abc import Callable

from qualification.run.cell_runner import CellRunner


def test_culprit(
    suspect: str, runner: CellRunner, conclude_culprit: Callable[[str, CellRunner], None]
) -> None:
    """For each failing flow, the fewest features whose turning off heals it are known and proved.

    Steps:
        1. Take the flows of the pair that failed, and what its cells have shown already.
        2. Search by delta debugging for the fewest features of the DUT whose turning off heals
           each; run what is not known. Where none does, look at the flow without an outer checksum.
        3. Run the flow with just these off, then with them back on.
        4. Search for the largest offload set under which all failing flows are clean.
    Verify:
        * With just these off it is clean, in as many frames as a PASS takes; with them back on it
          fails again; and the difference is no chance.
        * Otherwise the culprit is unknown (skipped, with the reason). It is the cells that fail;
          this test never does.
    """
    conclude_culprit(suspect, runner)
