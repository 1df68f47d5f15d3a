"""Controls before trust: runs that must come out one way for the others to mean anything."""

from collections.abc import Callable

from qualification.judge.controls import ControlResult
from qualification.run.bench import Bench


def test_control(
    control: tuple[str, str],
    bench: Bench,
    conclude_control: Callable[[str, ControlResult], None],
) -> None:
    """With every offload of the DUT off, path and capture are beyond doubt.

    Steps:
        1. Open the pair: leases, underlay addresses, tunnels; the peer's offloads and GRO off.
        2. Switch every offload of the DUT off.
        3. plain: TCP and UDP on the underlay, without a tunnel.
           all-off: every flow through the tunnels.
           injected: frames made wrong on purpose, one layer each, and right ones among them.
    Verify:
        * plain, all-off: every checksum on the wire is right, in as many frames as a cell needs.
        * injected: the capture calls exactly the wrong ones wrong, in the layer that is wrong.
        * Otherwise the pair is UNTRUSTED and none of its cells may pass or fail.
    """
    pair, name = control
    conclude_control(pair, bench.controls(pair)[name])
