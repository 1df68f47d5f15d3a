"""Culprits and mitigations as the terminal shows them, below the matrix."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qualification.judge.culprit.cost import Cost
from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation
from qualification.results.matrix import Matrix, NicRow

from .report_line import ReportLine, wrapped

_OFF = {"udpcsum": "noudpcsum", "noudp6zerocsumtx": "udp6zerocsumtx"}
"""Options of `ip link add` that turn off what asks for outer checksums (ip-link(8))."""
_MOST_EXPLAINED = 12


@dataclass(frozen=True)
class Remedy:
    """A command that heals.

    Attributes:
        what: A phrase that says what it does and where.
        command: The command.
        cost: What it was measured to cost, in a phrase; empty where it was not.
    """

    what: str
    command: str
    cost: str = ""


def render(
    matrix: Matrix, found: Iterable[CulpritFindings], width: int = 100
) -> Iterator[ReportLine]:
    """Yields a block for each pair that has failing cells.

    Args:
        matrix: The results.
        found: The findings of each pair.
        width: Columns of the terminal.
    """
    ends = {(nic.pair, nic.role): nic for nic in matrix.nics}
    for one in found:
        if not one.findings:
            continue
        dut = ends[one.pair, "dut"]
        yield ReportLine("")
        yield ReportLine(f"culprits on {one.pair}, found by {one.runs} more runs", "title")
        for finding in one.findings[:_MOST_EXPLAINED]:
            yield from wrapped(summary(finding), width, "bad" if finding.off else "doubt")
            if finding.proof:
                yield from wrapped(
                    f"proof: {finding.reason} ({finding.proof.cell})", width, indent="      "
                )
        if len(one.findings) > _MOST_EXPLAINED:
            yield ReportLine(
                f"  and {len(one.findings) - _MOST_EXPLAINED} more groups of failing cells"
            )
        cost = next((cost for cost in matrix.costs if cost.pair == one.pair), None)
        yield from _remedies(one, dut, ends[one.pair, "peer"], cost)


def command(interface: str, mitigation: Mitigation) -> str:
    """Returns the command that a user pastes on the DUT's host, quoted for its shell."""
    names = mitigation.off or mitigation.on
    state = "off" if mitigation.off else "on"
    return shlex.join(["ethtool", "-K", interface, *(w for name in names for w in (name, state))])


def summary(finding: CulpritGroup) -> str:
    """Returns a culprit, and how many cells it makes fail."""
    cells, flows = len(finding.cells), finding.flows
    these = f"{cells} failing cell{'s' * (cells > 1)} of {flows} flow{'s' * (flows > 1)}"
    if not finding.off:
        return f"unknown, {these}: {finding.reason}"
    where = " of the VXLAN device" if finding.device == "vxlan" else ""
    return f"{' + '.join(finding.off)}{where}: {these}"


def _remedies(
    found: CulpritFindings, dut: NicRow, peer: NicRow, cost: Cost | None
) -> Iterator[ReportLine]:
    """Yields the commands that heal; they are never wrapped, so that they can be pasted."""
    for remedy in remedies(found, dut, peer, cost):
        yield ReportLine(f"  {remedy.what}:")
        yield ReportLine(f"      {remedy.command}")
        if remedy.cost:
            yield ReportLine(f"      {remedy.cost}")


def remedies(
    found: CulpritFindings, dut: NicRow, peer: NicRow, cost: Cost | None = None
) -> Iterator[Remedy]:
    """Yields what heals a pair, the most that one command can do first.

    Args:
        found: What the search for culprits found on the pair.
        dut: The NIC that was qualified.
        peer: The NIC that watched it.
        cost: What the mitigation was measured to cost; None if it was not.
    """
    safe = found.mitigation
    if safe is not None:
        some = "" if safe.healed == safe.failing else f" {safe.healed} of {safe.failing} flows"
        left = f"{len(safe.on)} of {len(safe.on) + len(safe.off)} features left on"
        yield Remedy(
            f"heals{some} on {dut.host}, with {left}",
            command(dut.interface, safe),
            f"{cost} ({cost.flow}, {cost.turns} turns)" if cost else "",
        )
        if (peer.driver, peer.firmware) == (dut.driver, dut.firmware):
            yield Remedy(
                f"{peer.host} has the same driver and firmware, and needs it, too",
                command(peer.interface, safe),
            )
    for finding in found.findings:
        if finding.device == "vxlan":
            options = " ".join(_OFF[name] for name in finding.off)
            yield Remedy(
                "heals, where no feature of the NIC does; the VXLAN device must be created again",
                f"ip link add … type vxlan … {options}",
            )
