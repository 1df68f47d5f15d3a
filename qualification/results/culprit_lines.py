"""Culprits and mitigations as people read them in a terminal, below the matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation

from .matrix import Matrix
from .terminal import ReportLine

_OFF = {"udpcsum": "noudpcsum", "noudp6zerocsumtx": "udp6zerocsumtx"}
"""How a VXLAN device is made without what asks for outer checksums (ip-link(8))."""
_MOST_EXPLAINED = 12


def render(
    matrix: Matrix, found: Iterable[CulpritFindings], width: int = 100
) -> Iterator[ReportLine]:
    """A block for each pair that has failing cells.

    Args:
        matrix: The results.
        found: What came of the searches.
        width: Columns of the terminal.
    """
    duts = {nic.pair: nic for nic in matrix.nics if nic.role == "dut"}
    for one in found:
        if not one.findings:
            continue
        dut = duts[one.pair]
        yield ReportLine("")
        yield ReportLine(f"culprits on {one.pair}, by {one.runs} more runs", "title")
        for finding in one.findings[:_MOST_EXPLAINED]:
            yield from _wrapped(_said(finding), width, "bad" if finding.off else "doubt")
            if finding.proof:
                yield from _wrapped(f"proof: {finding.reason} ({finding.proof.cell})", width)
        if len(one.findings) > _MOST_EXPLAINED:
            yield ReportLine(
                f"  and {len(one.findings) - _MOST_EXPLAINED} more groups of failing cells"
            )
        yield from _remedies(one, dut.host, dut.interface)


def command(interface: str, mitigation: Mitigation) -> str:
    """What a user pastes on the DUT's host."""
    names = mitigation.off or mitigation.on
    return f"ethtool -K {interface} " + " ".join(
        f"{name} {'off' if mitigation.off else 'on'}" for name in names
    )


def _said(finding: CulpritGroup) -> str:
    cells, flows = len(finding.cells), finding.flows
    these = f"{cells} failing cell{'s' * (cells > 1)} of {flows} flow{'s' * (flows > 1)}"
    if not finding.off:
        return f"unknown, {these}: {finding.reason}"
    where = " of the VXLAN device" if finding.device == "vxlan" else ""
    return f"{' + '.join(finding.off)}{where}: {these}"


def _remedies(found: CulpritFindings, host: str, interface: str) -> Iterator[ReportLine]:
    """Commands are never broken: they are there to be pasted."""
    safe = found.mitigation
    if safe is not None:
        some = "" if safe.healed == safe.failing else f" {safe.healed} of {safe.failing} flows"
        of = len(safe.on) + len(safe.off)
        yield ReportLine(f"  heals{some} on {host}, with {len(safe.on)} of {of} features left on:")
        yield ReportLine(f"      {command(interface, safe)}")
    for finding in found.findings:
        if finding.device == "vxlan":
            options = " ".join(_OFF[name] for name in finding.off)
            yield ReportLine(
                "  heals, where no feature of the NIC does; the device has to be made anew:"
            )
            yield ReportLine(f"      ip link add … type vxlan … {options}")


def _wrapped(text: str, width: int, tone: str = "") -> Iterator[ReportLine]:
    lines = wrap(
        text,
        max(40, width - 4),
        initial_indent="  " if tone else "      ",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return (ReportLine(line, tone) for line in lines)
