"""Culprits and mitigations in a terminal: golden text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qualification.judge.culprit.cost import CostTurns, summarise
from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation, Proof
from qualification.messages.throughput import Throughput
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, USO
from qualification.results.terminal.culprit_lines import command, render

from .conftest import Make, built

ONE = "x710/all-on/outer4-csum/inner4/tcp"
PROVED = "none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on"
CULPRIT = CulpritGroup(
    (TNL_CSUM,), "nic", (ONE, *"abc"), 2, Proof(ONE, 7245, 7131, 213, 1e-60), PROVED
)
DEVICE = CulpritGroup(("udpcsum",), "vxlan", ("d",), 1, Proof("d", 7245, 7131, 213, 1e-60), PROVED)
UNKNOWN = CulpritGroup((), "nic", ("e", "f"), 2, None, "no offload heals it")
SAFE = Mitigation((TNL_CSUM,), (TNL, TSO, USO, CSUM), 2, 2)


def lines(campaign: Make, *found: CulpritFindings) -> str:
    made = built(campaign(x710=("i40e", "8.30"), e810=("ice", "4.40")), [])
    return "\n".join(line.text for line in render(made, found, 100))


def test_one_culprit(campaign: Make) -> None:
    found = CulpritFindings("x710", {ONE: (TNL_CSUM,)}, (CULPRIT,), SAFE, 2)
    assert (
        lines(campaign, found)
        == """
culprits on x710, found by 2 more runs
  tx-udp_tnl-csum-segmentation: 4 failing cells of 2 flows
      proof: none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on
      (x710/all-on/outer4-csum/inner4/tcp)
  heals on x710-dut, with 4 of 5 features left on:
      ethtool -K p0 tx-udp_tnl-csum-segmentation off
  x710-peer has the same driver and firmware, and needs it, too:
      ethtool -K p0 tx-udp_tnl-csum-segmentation off"""
    )


def test_what_heals_is_told_with_its_cost(campaign: Make) -> None:
    found = CulpritFindings("x710", {ONE: (TNL_CSUM,)}, (CULPRIT,), SAFE, 2)
    made = built(campaign(x710=("i40e", "8.30")), [])
    on, off = (Throughput(octets, 0.5, 0.1) for octets in (100_000_000, 88_000_000))
    turns = CostTurns("x710", (TNL_CSUM,), "outer4-csum/inner4/tcp", (on,) * 3, (off,) * 3)
    shown = [line.text for line in render(replace(made, costs=(summarise(turns),)), [found], 100)]
    assert shown[shown.index(f"      ethtool -K p0 {TNL_CSUM} off") + 1] == (
        "      costs 12 % of throughput, 1.1 times the CPU per byte "
        "(outer4-csum/inner4/tcp, 3 turns)"
    )


@pytest.mark.parametrize("changes", [{"driver": "ice"}, {"firmware": "9.20"}])
def test_a_peer_that_is_another_nic_needs_nothing(campaign: Make, changes: dict[str, str]) -> None:
    made = built(campaign(x710=("i40e", "8.30")), [])
    dut, peer = made.nics
    other = replace(made, nics=(dut, replace(peer, **changes)))
    found = CulpritFindings("x710", {ONE: (TNL_CSUM,)}, (CULPRIT,), SAFE, 2)
    assert not any("x710-peer" in line.text for line in render(other, [found], 100))


def test_where_not_all_is_healed(campaign: Make) -> None:
    safe = replace(SAFE, off=(TNL_CSUM, USO), on=(TNL, TSO, CSUM), healed=2, failing=5)
    found = CulpritFindings("x710", {}, (CULPRIT, DEVICE, UNKNOWN), safe, 9)
    assert lines(campaign, found).splitlines()[5:] == [
        "  udpcsum of the VXLAN device: 1 failing cell of 1 flow",
        "      proof: none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on (d)",
        "  unknown, 2 failing cells of 2 flows: no offload heals it",
        "  heals 2 of 5 flows on x710-dut, with 3 of 5 features left on:",
        "      ethtool -K p0 tx-udp_tnl-csum-segmentation off tx-udp-segmentation off",
        "  x710-peer has the same driver and firmware, and needs it, too:",
        "      ethtool -K p0 tx-udp_tnl-csum-segmentation off tx-udp-segmentation off",
        "  heals, where no feature of the NIC does; the VXLAN device must be created again:",
        "      ip link add … type vxlan … noudpcsum",
    ]


def test_a_pair_that_passed_has_no_lines(campaign: Make) -> None:
    assert lines(campaign, CulpritFindings("x710", {}, (), None, 0)) == ""


def test_where_everything_on_is_clean() -> None:
    assert command("p0", Mitigation((), (TSO, CSUM), 1, 1)) == (
        "ethtool -K p0 tx-tcp-segmentation on tx-checksum-ip-generic on"
    )


def test_of_many_reasons_some_are_shown(campaign: Make) -> None:
    some = tuple(replace(UNKNOWN, reason=f"reason {number}") for number in range(15))
    said = lines(campaign, CulpritFindings("x710", {}, some, None, 0))
    assert said.count("reason ") == 12
    assert said.endswith("and 3 more groups of failing cells")


def test_what_is_pasted_is_quoted_for_the_shell() -> None:
    # The names that Linux refuses have a blank, a slash or a colon (dev_valid_name).
    assert command("p0;$(id)", Mitigation((TSO,), (), 1, 1)) == (
        "ethtool -K 'p0;$(id)' tx-tcp-segmentation off"
    )
