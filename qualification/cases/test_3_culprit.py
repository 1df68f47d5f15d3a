"""The culprit: the smallest set of features to turn off on a pair that fails."""

from collections.abc import Callable

from qualification.run.cell_runner import CellRunner


def test_culprit(
    suspect: str, runner: CellRunner, conclude_culprit: Callable[[str, CellRunner], None]
) -> None:
    """For each failing flow, the fewest features whose turning off heals it are found and proved.

    Steps:
        1. Take the flows of the pair that failed, and the results of its cells so far.
        2. Search by delta debugging for the fewest features of the DUT whose turning off heals each
           flow; run only sets whose result is not known. If no feature heals it, test the flow
           without an outer checksum.
        3. Run the flow with just these features off, then with them back on.
        4. Search for the largest offload set under which all failing flows are clean.
    Verify:
        * With just these features off the flow is clean, in as many frames as a PASS needs; with
          them back on it fails again; and the difference is statistically significant.
        * Otherwise the culprit is unknown, and the test is skipped with the reason. It never fails:
          the cells do.
    """
    conclude_culprit(suspect, runner)
