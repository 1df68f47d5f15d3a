"""What mitigates the fault of a NIC, as a sentence for people."""

from __future__ import annotations

import shlex

from qualification.results.matrix import Matrix, NicRow


def mitigation(matrix: Matrix, nic: NicRow) -> str:
    """Returns the command that mitigates the fault of a DUT, and its cost; empty without any.

    The command is quoted for a shell, and may leave failures that no feature of the NIC heals.
    """
    features = matrix.mitigation.get(nic.pair, [])
    if not features:
        return ""
    off = (word for name in features for word in (name, "off"))
    command = shlex.join(["ethtool", "-K", nic.interface, *off])
    cost = "".join(f", which {cost}" for cost in matrix.costs if cost.pair == nic.pair)
    return f"mitigation on {nic.host}: {command}{cost}"
