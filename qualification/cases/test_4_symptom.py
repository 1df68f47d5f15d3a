"""The symptom: what an application would feel. A view beside the verdicts, and none itself."""

from collections.abc import Callable

from qualification.judge.symptom import Runs
from qualification.run.cell_runner import CellRunner


def test_symptom(
    symptom: str,
    runner: CellRunner,
    conclude_symptom: Callable[[str, Runs | None], None],
) -> None:
    """Calls through the tunnel, as gRPC would make them, beside calls that no offload can spoil.

    Steps:
        1. Peer: serve request and answer over TCP at every inner address.
        2. DUT: switch every offload on; make calls of 100 B to 1 MB over 8 connections, which
           share the ways through the tunnels, each call with a deadline of 1 s.
        3. The same with every offload off, and the same with both ends on the DUT's host.
    Verify:
        * Nothing: the wire gives the verdicts. Told are errors, latencies (p50, p99, p99.9) and
          segments sent again (TCP_INFO) of all three.
    """
    conclude_symptom(symptom, runner.symptom(symptom))
