"""The matrix in a terminal: golden text."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from textwrap import dedent

import pytest

from qualification.judge.known.matching import ExpectationNote
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL, TNL_CSUM, TSO, USO, OffloadSet
from qualification.plan.flows import Flow
from qualification.results.terminal.report import headline, render, report
from qualification.results.terminal.report_line import LETTERS, ReportLine

from .conftest import (
    ALL_OFF,
    ALL_ON,
    OUTER6_TCP,
    PLAIN_TCP,
    SPACE,
    TCP,
    TCP6,
    UDP,
    UDP_SEG,
    Make,
    built,
    made,
    symptom,
)

V = Verdict
LONG = (
    "31 of 1,024 frames are wrong (3.03 %, 1.5 % to 5.4 % at 99.9%): outer L4 (31); "
    "outer4-csum/inner4/tcp under all-on"
)
MIXED = [
    made(ALL_OFF, TCP),
    made(ALL_OFF, UDP),
    made(ALL_OFF, TCP6),
    made(ALL_OFF, PLAIN_TCP),
    made(ALL_ON, TCP, V.FAIL, LONG, frames=1024, bad=31),
    made(ALL_ON, UDP, V.LOSS, "2 of 9 frames submitted to the driver never reached the peer"),
    made(ALL_ON, TCP6, V.NOT_EXERCISED, "the kernel did it itself"),
    made(ALL_ON, PLAIN_TCP, V.INCONCLUSIVE, "the capture lost 3 frames"),
    # Ragged: one flow that no other set has, and three that this one lacks.
    made(OffloadSet(frozenset({TNL}), SPACE), OUTER6_TCP, V.PASS),
    made(ALL_OFF, TCP, V.UNSUPPORTED, "the NIC has no uso", unsupported=(USO,)),
    made(ALL_ON, TCP, V.UNTRUSTED, "control plain failed: it was not run", pair="old"),
    made(ALL_ON, UDP_SEG, V.UNTRUSTED, "control plain failed: it was not run", pair="old"),
    made(ALL_ON, UDP, V.ERROR, "alpha: the SSH connection is lost: closed", pair="same"),
]


def lines(campaign: Make, cells: Iterable[CellRow], width: int) -> list[ReportLine]:
    three = campaign(x710=("i40e", "8.30"), same=("i40e", "8.30"), old=("i40e", "7.10"))
    return list(render(built(three, cells), width, every=True))


def text(rendered: Iterable[ReportLine]) -> str:
    return "\n".join(line.text for line in rendered)


HEAD = """
driver i40e, firmware 7.10
  old: old-dut p0 -> old-peer p0, kernel 6.1.0-28
               outer4-csum
  offload set  inner4
               t s
  all-on       U U
  UNTRUSTED old/all-on/outer4-csum/inner4/tcp and 1 more: {0}

driver i40e, firmware 8.30
  x710: x710-dut p0 -> x710-peer p0, kernel 6.1.0-28
               outer4-csum    outer4-nocsum  outer6-csum
  offload set  inner4 inner6  inner4         inner6
               t u    t       t              t
  all-off      . .    .       .
  all-on       F L    -       ?
  tnl-seg                                    .
  uso          n
"""
TAIL = """
  same: same-dut p0 -> same-peer p0, kernel 6.1.0-28
  ERROR same/all-on/outer4-csum/inner4/udp: alpha: the SSH connection is{0}lost: closed

. pass  F FAIL  L frames lost  ? inconclusive  - the NIC had nothing to do
"""

GOLDEN = {
    120: HEAD.format("control plain failed: it was not run")
    + """\
  FAIL x710/all-on/outer4-csum/inner4/tcp: 31 of 1,024 frames are wrong (3.03 %, 1.5 % to 5.4 % at 99.9%): outer L4
      (31); outer4-csum/inner4/tcp under all-on
  LOSS x710/all-on/outer4-csum/inner4/udp: 2 of 9 frames submitted to the driver never reached the peer
  NOT EXERCISED x710/all-on/outer4-csum/inner6/tcp: the kernel did it itself
  INCONCLUSIVE x710/all-on/outer4-nocsum/inner4/tcp: the capture lost 3 frames"""
    + TAIL.format(" ").rstrip()
    + """  n not supported by the NIC
U controls failed  E lab error  t TCP  u UDP  s UDP segmented""",
    80: HEAD.format("control plain\n      failed: it was not run")
    + """\
  FAIL x710/all-on/outer4-csum/inner4/tcp: 31 of 1,024 frames are wrong
      (3.03 %, 1.5 % to 5.4 % at 99.9%): outer L4 (31);
      outer4-csum/inner4/tcp under all-on
  LOSS x710/all-on/outer4-csum/inner4/udp: 2 of 9 frames submitted to the
      driver never reached the peer
  NOT EXERCISED x710/all-on/outer4-csum/inner6/tcp: the kernel did it itself
  INCONCLUSIVE x710/all-on/outer4-nocsum/inner4/tcp: the capture lost 3
      frames"""
    + TAIL.format("\n      ")
    + "n not supported by the NIC  U controls failed  E lab error  t TCP  u UDP\ns UDP segmented",
}


@pytest.mark.parametrize("width", [80, 120])
def test_every_verdict_several_pairs_and_ragged_sets(campaign: Make, width: int) -> None:
    assert text(lines(campaign, MIXED, width)) == GOLDEN[width]


def test_every_verdict_has_a_letter_of_its_own() -> None:
    assert set(LETTERS) == set(Verdict)
    assert len(set(LETTERS.values())) == len(Verdict)


def test_a_flow_in_a_state_has_a_row_of_its_own(campaign: Make) -> None:
    lengths = replace(UDP, packet_set="lengths")
    cells = [
        made(ALL_ON, lengths),
        made(ALL_ON, replace(lengths, port=8472, state="two-ports")),
        made(ALL_ON, replace(lengths, state="two-ports"), V.FAIL),
        made(ALL_ON, replace(lengths, state="reset"), V.LOSS),
    ]
    rows = [line.strip() for line in text(lines(campaign, cells, 100)).splitlines()]
    for name, letter in {
        "all-on lengths": ".",
        "all-on lengths @two-ports:8472": ".",
        "all-on lengths @two-ports:4789": "F",
        "all-on lengths @reset": "L",
    }.items():
        assert [row.split()[-1] for row in rows if row.rpartition("  ")[0].strip() == name] == [
            letter
        ]


def test_the_full_width_of_a_pair(campaign: Make) -> None:
    flows = campaign(x710=("i40e", "8.30")).flows("x710")
    cells = [made(ALL_ON, flow) for flow in flows]
    rendered = text(render(built(campaign(x710=("i40e", "8.30")), cells)))
    assert dedent(
        """\
                       outer4-csum    outer4-nocsum
          offload set  inner4 inner6  inner4 inner6
                       t u s  t u s   t u s  t u s
          all-on       . . .  . . .   . . .  . . ."""
    ) in dedent("\n".join(rendered.splitlines()[3:7]))


KNOWN = (
    "3 % of the segments are wrong (https://example.net/7; slow, until 2027-01-31); FAIL: 31 of "
    "1,024 frames are wrong"
)


def test_known_failures_and_the_notes_on_their_file(campaign: Make) -> None:
    known = [
        replace(made(ALL_ON, flow, V.KNOWN, f"{KNOWN} {flow.id}", bad=31), expectation="slow")
        for flow in (TCP, TCP6)
    ]
    one = built(campaign(x710=("i40e", "8.30")), [known[0], made(ALL_ON, UDP), known[1]])
    found = [
        ExpectationNote("UNEXPECTED PASS", "healed", "the one cell passes"),
        ExpectationNote("UNUSED", "other", "it matches no cell that ran"),
    ]
    rendered = list(report(one, 100, found))
    assert text(rendered) == dedent(
        """\
        QUALIFIED except for known failures. 3 cells: 1 pass, 2 known to fail

        driver i40e, firmware 8.30
          x710: x710-dut p0 -> x710-peer p0, kernel 6.1.0-28
                       outer4-csum
          offload set  inner4 inner6
                       t u    t
          all-on       K .    K
          KNOWN x710/all-on/outer4-csum/inner4/tcp and 1 more: 3 % of the segments are wrong
              (https://example.net/7; slow, until 2027-01-31); FAIL: 31 of 1,024 frames are wrong
              outer4-csum/inner4/tcp

        . pass  K known to fail  t TCP  u UDP  s UDP segmented

        expectations
          UNEXPECTED PASS healed: the one cell passes
          UNUSED other: it matches no cell that ran"""
    )
    assert (rendered[0].tone, rendered[-2].tone, rendered[-1].tone) == ("doubt", "doubt", "")


def test_tones(campaign: Make) -> None:
    rendered = lines(campaign, MIXED, 120)
    tones = {line.text.split()[0]: line.tone for line in rendered if line.text.strip()}
    tones |= {line.text[:6].strip(): line.tone for line in rendered if line.text.startswith("dri")}
    assert tones["driver"] == "title"
    assert tones["all-off"] == "good"
    assert tones["FAIL"] == tones["LOSS"] == "bad"
    assert tones["uso"] == ""
    assert tones["ERROR"] == tones["INCONCLUSIVE"] == tones["UNTRUSTED"] == "doubt"


@pytest.mark.parametrize(
    ("verdicts", "tone"),
    [
        ((V.PASS, V.PASS), "good"),
        ((V.PASS, V.UNSUPPORTED), "good"),
        ((V.NOT_EXERCISED, V.UNSUPPORTED), ""),
        ((V.PASS, V.INCONCLUSIVE), "doubt"),
        ((V.PASS, V.UNTRUSTED), "doubt"),
        ((V.ERROR, V.LOSS), "bad"),
        ((V.INCONCLUSIVE, V.FAIL), "bad"),
    ],
)
def test_a_set_is_as_good_as_its_worst_cell(
    campaign: Make, verdicts: tuple[Verdict, Verdict], tone: str
) -> None:
    cells = [made(ALL_ON, flow, v) for flow, v in zip((TCP, UDP), verdicts, strict=True)]
    row = next(line for line in lines(campaign, cells, 100) if line.text.startswith("  all-on "))
    assert row.tone == tone


@pytest.mark.parametrize(
    ("verdict", "rest"),
    [
        (V.FAIL, "and 3 more faults; matrix.json has the reason of each cell"),
        (V.INCONCLUSIVE, "and 3 more reasons; matrix.json has the reason of each cell"),
    ],
)
def test_of_many_reasons_the_rest_is_counted(campaign: Make, verdict: Verdict, rest: str) -> None:
    sets = [frozenset(some) for some in ((), (TNL,), (TNL_CSUM,), (TSO,), (TNL, TNL_CSUM))]
    cells = [
        made(OffloadSet(on, SPACE), flow, verdict, f"sentence {word} {flow.l4} {flow.segmentation}")
        for word, on in zip("abcde", sets, strict=True)
        for flow in (TCP, UDP, UDP_SEG)
    ]
    rendered = [line.text for line in lines(campaign, cells, 100)]
    assert sum("sentence " in line and "matrix.json" not in line for line in rendered) == 12
    assert f"  {rest}" in rendered


def test_a_symptom_is_below_its_pair_and_neither_good_nor_bad(campaign: Make) -> None:
    both = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    cells = [made(ALL_ON, TCP), made(ALL_ON, TCP, pair="e810")]
    rendered = list(render(built(both, cells, [symptom("x710")]), 100, every=True))
    at = next(i for i, line in enumerate(rendered) if line.text.startswith("  all-on  "))
    assert rendered[at + 1 : at + 3] == [
        ReportLine("  symptom of x710: 6 of 320 calls missed"),
        ReportLine("      all on: slow; rest: fast"),
    ]
    assert sum("symptom" in line.text for line in rendered) == 1


def test_a_symptom_alone_qualifies_nothing(campaign: Make) -> None:
    alone = built(campaign(x710=("i40e", "8.30")), [], [symptom("x710")])
    assert headline(alone) == ReportLine("No cell was run: no NIC was qualified", "doubt")
    rendered = [line.text for line in render(alone)]
    assert rendered[2:4] == [
        "  x710: x710-dut p0 -> x710-peer p0, kernel 6.1.0-28",
        "  symptom of x710: 6 of 320 calls missed",
    ]


def test_plain_traffic_has_columns_of_its_own(campaign: Make) -> None:
    """They follow those of the tunnels, in whatever order the cells ran."""
    lengths = [replace(flow, packet_set="lengths") for flow in (TCP, UDP, TCP6)]
    plain = [
        Flow(v, True, v, l4, False, 0, packet_set, tunnel=False)
        for v, l4, packet_set in (
            (6, "udp", "port-4789"), (4, "udp", "port-4789"), (4, "udp", "lengths"),
            (4, "tcp", "lengths"), (6, "tcp", "lengths"),
        )
    ]  # fmt: skip
    cells = [made(ALL_ON, flow) for flow in (UDP, *plain, *lengths)]
    cells += [made(ALL_OFF, flow) for flow in (TCP, UDP_SEG)]
    shown = text(lines(campaign, cells, 100))
    assert (
        """
                    outer4-csum    plain4  plain6
  offload set       inner4 inner6
                    t u s  t       t u     t u
  all-on              .
  all-on port-4789                   .       .
  all-on lengths    . .    .       . .     .
  all-off           .   .
"""
        in shown
    )


def test_a_pair_says_who_judged_its_frames(campaign: Make) -> None:
    found = built(campaign(x710=("i40e", "8.30")), [made(ALL_OFF, TCP)])
    dut, peer = found.nics
    judged = replace(found, nics=(dut, replace(peer, verifier="native C (x86_64)")))
    [line] = [line.text for line in render(judged, 100) if line.text.startswith("  x710: ")]
    assert line.endswith("kernel 6.1.0-28, judged by native C (x86_64)")


def test_a_guest_says_what_it_runs_on(campaign: Make) -> None:
    found = built(campaign(x710=("i40e", "8.30")), [made(ALL_OFF, TCP)])
    dut, peer = found.nics
    guest = replace(
        dut, hypervisor="qemu", machine="QEMU Standard PC", hardware_version="pc-q35-10.0"
    )
    texts = [line.text for line in render(replace(found, nics=(guest, peer)), 100)]
    assert "  guest of qemu: QEMU Standard PC pc-q35-10.0" in texts
    bare = replace(guest, machine="", hardware_version="")
    texts = [line.text for line in render(replace(found, nics=(bare, peer)), 100)]
    assert "  guest of qemu" in texts
