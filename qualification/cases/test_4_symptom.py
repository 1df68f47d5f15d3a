"""The symptom: what an application would notice. It is reported, and gives no verdict."""

from collections.abc import Callable

from qualification.judge.symptom import Runs
from qualification.run.cell_runner import CellRunner


def test_symptom(
    symptom: str,
    runner: CellRunner,
    conclude_symptom: Callable[[str, Runs | None], None],
) -> None:
    """Calls through the tunnel, as gRPC would make them, compared with calls without offloads.

    Steps:
        1. Peer: serve request and answer over TCP at every inner address.
        2. DUT: switch every offload on; make calls of 100 B to 1 MB over 8 connections, which are
           spread over the paths through the tunnels, each call with a deadline of 1 s.
        3. Do the same with every offload off, and the same with both ends on the host of the DUT.
    Verify:
        * Nothing: the frames on the wire give the verdicts. Errors, latencies (p50, p99, p99.9) and
          retransmitted segments (TCP_INFO) of all three are reported.
    """
    conclude_symptom(symptom, runner.symptom(symptom))
