"""A stored run: read back completely or not at all, and judged again without a host."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qualification.campaign import Campaign
from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_PARTIAL,
    UsageError,
)
from qualification.judge.controls import ControlResult, judge_crafted, judge_injected, judge_traffic
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings, Mitigation
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.known.expectations import Expectations
from qualification.judge.verdict import Demand, Verdict
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.messages.throughput import Throughput
from qualification.plan.features import TSO6, USO
from qualification.results import matrix, rejudge, run_directory
from qualification.results.run_files import (
    CellEntry,
    ControlEntry,
    CostEntry,
    CulpritEntry,
    Entry,
    ProofEntry,
    TroubleEntry,
    dump_entry,
)
from qualification.results.store import Store
from qualification.topology import parse

from .conftest import Make

DEMAND = Demand(0.01, 0.95)
TODAY = date(2026, 1, 3)
FRAMES = 400  # more than the 299 that it takes; 459 take 0.99
MISTAKE = BadFrame("AAECAw==", ("inner L4",), ("inner TCP checksum is 0x1234",))
BAD = {"bad": 3, "bad_layers": {"inner L4": 3}, "samples": (MISTAKE,)}


def burst(frames: int = FRAMES, **seen: Any) -> Burst:
    submitted = Submitted(frames, frames, frames, frames, frames)
    received = Received(
        CaptureResult(frames=frames, **seen), Delivered(frames, 0, 0, True), {"x": 1}
    )
    return Burst(Sent(submitted, frames, True, 0.1, {"y": 2}, ("a line",)), received)


def controls() -> list[ControlResult]:
    expected = {"outer L4": 4, "inner L4": 4}
    shown = Received(CaptureResult(12, 8, expected), Delivered(), {})
    made = Sent(Submitted(), 12, True, 0.0, {})
    return [
        judge_traffic("plain", {"plain4/udp": burst(500)}, DEMAND),
        judge_traffic("all-off", {"outer4-csum/inner4/tcp": burst(500)}, DEMAND, port=4789),
        judge_crafted({"outer4-csum/inner4/tcp/boundaries": burst(20)}),
        judge_injected(expected, 4, {"outer4-csum/inner4/tcp": Burst(made, shown)}),
    ]


@pytest.fixture
def run(campaign: Make) -> Campaign:
    return replace(campaign(x710=("i40e", "8.30")), demand=DEMAND)


Stored = Callable[..., Path]


@pytest.fixture
def stored(run: Campaign, tmp_path: Path) -> Stored:
    """`stored(bad={id part: seen}, without={id part: (verdict, reason)}, ...)`: a run on disk."""

    def make(
        *,
        seen: dict[str, dict[str, Any]] | None = None,
        without: dict[str, tuple[Verdict, str]] | None = None,
        silent: str = "none of them",
        shown: list[ControlResult] | None = None,
        troubles: tuple[str, ...] = (),
        more: tuple[Entry, ...] = (),
    ) -> Path:
        cells = [
            cell
            for cell in run.cells("x710")
            if cell.set_id == "all-on" and cell.flow in run.flows("x710")
        ]
        written = Store(tmp_path)
        written.begin(run, cells)
        for result in controls() if shown is None else shown:
            written.add(dump_entry(ControlEntry("x710", result)))
        for cell in cells:
            if silent in cell.id:
                continue
            about = next((x for part, x in (seen or {}).items() if part in cell.id), {})
            entry = CellEntry(cell.id, Evidence(cell.offloads.requested, bursts=(burst(**about),)))
            for part, (verdict, reason) in (without or {}).items():
                if part in cell.id:
                    entry = CellEntry(cell.id, None, verdict, reason)
            written.add(dump_entry(entry))
        for text in troubles:
            written.add(dump_entry(TroubleEntry(text)))
        for entry in more:
            written.add(dump_entry(entry))
        written.end()
        return tmp_path

    return make


def verdicts(judged: rejudge.Judged) -> dict[str, Verdict]:
    return {cell.id.removeprefix("x710/all-on/"): cell.verdict for cell in judged.matrix.cells}


def test_what_is_written_is_read(run: Campaign, stored: Stored) -> None:
    found = run_directory.read(stored(seen={"inner6/tcp": BAD}, troubles=("alpha: left changed",)))
    assert found.campaign == run
    assert [cell.set_id for cell in found.cells] == ["all-on"] * 12
    assert [list(part["x710"].values()) for part in found.parts] == [controls()]
    entry = found.entries["x710/all-on/outer4-csum/inner6/tcp"]
    assert entry.evidence is not None
    assert entry.evidence.bursts == (burst(**BAD),)
    assert found.troubles == ("alpha: left changed",)


def test_what_was_found_of_failing_cells_is_reported_again(stored: Stored) -> None:
    failing, passing = "x710/all-on/outer4-csum/inner6/tcp", "x710/all-on/outer4-csum/inner6/udp"
    found = CulpritFindings(
        "x710", {failing: (TSO6,), passing: (USO,)}, (), Mitigation((TSO6,), (), 1, 1), 4
    )
    directory = stored(
        seen={"inner6/tcp": BAD},
        more=(CulpritEntry(found), ProofEntry(f"{failing}#off-1", Evidence({}))),
    )
    judged = rejudge.judge(run_directory.read(directory), TODAY)
    assert {c.id: c.culprit for c in judged.matrix.cells if c.culprit}[failing] == [TSO6]
    assert next(c for c in judged.matrix.cells if c.id == passing).culprit is None
    assert judged.matrix.mitigation == {"x710": [TSO6]}


@pytest.mark.parametrize(
    ("off", "losses"),
    [((TSO6,), [12]), pytest.param((USO,), [], id="of a mitigation that was found before")],
)
def test_what_a_mitigation_costs_is_kept(
    stored: Stored, off: tuple[str, ...], losses: list[int]
) -> None:
    found = CulpritFindings("x710", {}, (), Mitigation((TSO6,), (), 1, 1), 4)
    on, less = (Throughput(octets, 0.5, 0.1) for octets in (100, 88))
    measured = CostTurns("x710", off, "outer4-csum/inner4/tcp", (on,), (less,))
    read = run_directory.read(stored(more=(CostEntry(measured), CulpritEntry(found))))
    judged = rejudge.judge(read, TODAY)
    assert [round(cost.throughput_loss) for cost in judged.matrix.costs] == losses


def test_the_same_demand_gives_the_same_verdicts(stored: Stored) -> None:
    judged = rejudge.judge(run_directory.read(stored(seen={"inner6/tcp": BAD})), TODAY)
    assert judged.exit_code == EXIT_NOT_QUALIFIED
    assert set(verdicts(judged).values()) == {Verdict.PASS, Verdict.FAIL}
    assert verdicts(judged)["outer4-csum/inner6/tcp"] is Verdict.FAIL


def test_another_confidence_gives_other_verdicts(stored: Stored) -> None:
    found = run_directory.read(stored())
    judged = rejudge.judge(found, TODAY)
    assert set(verdicts(judged).values()) == {Verdict.PASS}
    assert judged.exit_code == EXIT_PARTIAL
    judged = rejudge.judge(found, TODAY, confidence=0.99)
    assert set(verdicts(judged).values()) == {Verdict.INCONCLUSIVE}
    assert judged.exit_code == EXIT_LAB
    assert "459 frames it takes to exclude 1 % at 99.0%" in judged.matrix.cells[0].reason
    assert set(verdicts(rejudge.judge(found, TODAY, 0.02, 0.99)).values()) == {Verdict.PASS}


def test_a_stricter_demand_keeps_what_fails_and_calls_no_clean_control_failed(
    stored: Stored,
) -> None:
    """Controls had the frames that the run asked for, and not those that somebody asks for now."""
    judged = rejudge.judge(run_directory.read(stored(seen={"tcp": BAD})), TODAY, confidence=0.999)
    assert {id_: v for id_, v in verdicts(judged).items() if "/tcp" in id_} == {
        f"outer4-{csum}/inner{inner}/tcp": Verdict.FAIL
        for csum in ("csum", "nocsum")
        for inner in (4, 6)
    }
    others = {v for id_, v in verdicts(judged).items() if "/tcp" not in id_}
    assert others == {Verdict.INCONCLUSIVE}
    assert judged.exit_code == EXIT_NOT_QUALIFIED


def test_a_weaker_demand_is_one_for_controls_too(run: Campaign, stored: Stored) -> None:
    """A control that was too short for the run is long enough for less."""
    short = [judge_traffic("plain", {"plain4/udp": burst(200)}, DEMAND), *controls()[1:]]
    found = run_directory.read(stored(shown=short))
    assert set(verdicts(rejudge.judge(found, TODAY)).values()) == {Verdict.UNTRUSTED}
    assert set(verdicts(rejudge.judge(found, TODAY, rate=0.02)).values()) == {Verdict.PASS}


@pytest.mark.parametrize("missing", range(4))
def test_a_control_that_is_not_stored_was_not_run(stored: Stored, missing: int) -> None:
    some = controls()
    del some[missing]
    judged = rejudge.judge(run_directory.read(stored(shown=some)), TODAY)
    assert set(verdicts(judged).values()) == {Verdict.UNTRUSTED}


def test_a_stored_claim_of_trust_counts_for_nothing(stored: Stored) -> None:
    claimed = [replace(result, bursts={}) for result in controls()]
    assert all(result.trusted for result in claimed)
    judged = rejudge.judge(run_directory.read(stored(shown=claimed)), TODAY)
    assert set(verdicts(judged).values()) == {Verdict.UNTRUSTED}


def test_cells_that_never_ran_stay_what_they_were(stored: Stored) -> None:
    errors = {
        "nocsum/inner4/tcp": (Verdict.ERROR, "the cable fell out"),
        "nocsum/inner6/tcp": (Verdict.UNTRUSTED, "control plain failed: it snowed"),
    }
    judged = rejudge.judge(
        run_directory.read(stored(without=errors, silent="nocsum/inner6/udp")), TODAY
    )
    reasons = {c.id: (c.verdict, c.reason) for c in judged.matrix.cells if c.verdict != "PASS"}
    silence = (Verdict.ERROR, "it never ran: its worker died, or the run was ended")
    assert reasons == {
        "x710/all-on/outer4-nocsum/inner4/tcp": errors["nocsum/inner4/tcp"],
        "x710/all-on/outer4-nocsum/inner6/tcp": errors["nocsum/inner6/tcp"],
        "x710/all-on/outer4-nocsum/inner6/udp": silence,
        "x710/all-on/outer4-nocsum/inner6/udp-seg": silence,
    }
    assert judged.exit_code == EXIT_LAB


def test_a_host_that_was_left_changed_is_not_forgotten(stored: Stored) -> None:
    judged = rejudge.judge(run_directory.read(stored(troubles=("alpha: left changed",))), TODAY)
    assert (judged.exit_code, judged.troubles) == (EXIT_LAB, ("alpha: left changed",))


def test_what_is_known_is_known_again_until_it_expires(run: Campaign, stored: Stored) -> None:
    entry = {
        "driver": "i40e",
        "firmware": "8",
        "flow": "*/tcp",
        "reason": "it is broken",
        "link": "https://example.net/7",
        "expires": "2026-01-03",
    }
    known = Expectations.model_validate({"version": 1, "known": {"slow": entry}})
    written = run_directory.read(stored(seen={"tcp": BAD}))
    fails = rejudge.judge(written, TODAY)
    assert (fails.exit_code, fails.findings) == (EXIT_NOT_QUALIFIED, ())
    # A run stores what was known to it.
    again_read = Campaign.parse(replace(run, expectations=known).dump())
    assert again_read.expectations == known
    written = replace(written, campaign=again_read)
    judged = rejudge.judge(written, TODAY)
    assert judged.exit_code == EXIT_PARTIAL
    assert set(verdicts(judged).values()) == {Verdict.PASS, Verdict.KNOWN}
    for cell in judged.matrix.cells:
        assert (cell.verdict == "KNOWN") == (cell.flow.l4 == "tcp") == (cell.bad == 3)
        assert cell.expectation == ("slow" if cell.bad else None)
    judged = rejudge.judge(written, date(2026, 1, 4))
    assert judged.exit_code == EXIT_NOT_QUALIFIED
    assert [finding.kind for finding in judged.findings] == ["EXPIRED"]


def test_no_secret_is_stored_and_none_is_needed(
    run: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "open-sesame")
    text = """
version: 1
hosts:
  x710-dut: {ssh: {address: a, password: "${LAB_PASSWORD}"}, nics: {port0: {interface: p0, underlay: [198.18.0.1/24]}}}
  x710-peer: {ssh: {address: b, user: "$${HOME}"}, nics: {port0: {interface: p0, underlay: [198.18.0.2/24]}}}
pairs:
  x710: {dut: x710-dut.port0, peer: x710-peer.port0}
"""  # noqa: E501
    secret = replace(run, topology=parse(text, "gone.yaml"), source=str(tmp_path / "gone.yaml"))
    written = Store(tmp_path)
    written.begin(secret, [])
    written.end()
    assert "open-sesame" not in (tmp_path / "run.json").read_text()
    monkeypatch.delenv("LAB_PASSWORD")
    found = run_directory.read(tmp_path).campaign
    assert found.topology.pairs == secret.topology.pairs
    ssh = found.topology.hosts["x710-peer"].ssh
    assert ssh is not None
    assert ssh.user == "${HOME}"


def test_judging_writes_to_the_directory_given(stored: Stored, tmp_path: Path) -> None:
    judged = rejudge.judge(run_directory.read(stored()), TODAY)
    assert not (tmp_path / "matrix.json").exists()
    path = rejudge.write(judged.matrix, tmp_path / "some" / "where")
    assert matrix.read(path) == judged.matrix
    with pytest.raises(UsageError, match=r"results cannot be written to .*run\.json"):
        rejudge.write(judged.matrix, tmp_path / "run.json")


# Files that no run has written


def lines(directory: Path) -> list[str]:
    return (directory / "evidence.jsonl").read_text().splitlines(keepends=True)


def test_a_run_that_was_killed_anywhere_is_judged_as_far_as_it_got(stored: Stored) -> None:
    """Whole lines count; of the last one only a part may have been written."""
    path = stored(seen={"inner6/tcp": BAD}) / "evidence.jsonl"
    whole = verdicts(rejudge.judge(run_directory.read(path.parent), TODAY))
    content = path.read_bytes()
    newlines = [n for n, byte in enumerate(content) if byte == 10]
    head = newlines[0]
    for size in {*newlines[:-1], *(n + 1 for n in newlines[:-1]), *range(1, len(content) - 1, 997)}:
        path.write_bytes(content[:size])
        if size <= head:
            with pytest.raises(UsageError, match="does not begin"):
                run_directory.read(path.parent)
            continue
        found = run_directory.read(path.parent)
        lines = content[:size].count(b"\n")
        assert [f"line {lines + 1} of" in note for note in found.notes] == [True] * (
            content[size - 1] != 10
        )
        judged = rejudge.judge(found, TODAY)
        assert (judged.conclusion.outcome, judged.exit_code) == ("INTERRUPTED", EXIT_INTERRUPTED)
        done = max(0, lines - 1 - len(controls()))
        assert judged.conclusion.completeness.run == len(found.entries) == done
        ran = {
            id_: v for id_, v in verdicts(judged).items() if f"x710/all-on/{id_}" in found.entries
        }
        assert ran.items() <= whole.items()
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="does not begin"):
        run_directory.read(path.parent)


def test_zeros_after_a_power_cut_are_half_a_line(stored: Stored) -> None:
    path = stored() / "evidence.jsonl"
    some = lines(path.parent)
    path.write_bytes("".join(some[:7]).encode() + bytes(4096))
    found = run_directory.read(path.parent)
    assert (found.lines, len(found.notes), found.end.interrupted) == (7, 1, True)


def test_damage_elsewhere_is_refused(stored: Stored) -> None:
    path = stored() / "evidence.jsonl"
    content = path.read_bytes()
    for at in (content.index(b"\n", 4000), content.index(b"\n", 9000)):
        path.write_bytes(content[: at - 300] + content[at + 1 :])
        with pytest.raises(UsageError, match=r"evidence\.jsonl:\d+: is damaged"):
            run_directory.read(path.parent)


@pytest.mark.parametrize("drop", [1, 4, -2])
def test_a_missing_line_is_noticed(stored: Stored, drop: int) -> None:
    directory = stored()
    kept = lines(directory)
    del kept[drop]
    (directory / "evidence.jsonl").write_text("".join(kept))
    with pytest.raises(UsageError, match=r":\d+: is damaged, or lines before it are missing"):
        run_directory.read(directory)


def edit(directory: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    some = lines(directory)
    entry = json.loads(some[number])
    change(entry)
    some[number] = json.dumps(entry) + "\n"
    (directory / "evidence.jsonl").write_text("".join(some))


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (
            0,
            {"schema": 1},
            r"evidence\.jsonl:1: was written by another vxqual with schema 1, and this ",
        ),
        (
            0,
            {"run": "another"},
            r"belongs to run another, and the run\.json next to it to run 2026",
        ),
        (
            0,
            {"kind": "cell"},
            r"evidence\.jsonl:1: does not begin with the head of an evidence file",
        ),
        (1, {"kind": "poem"}, r"evidence\.jsonl:2: is damaged"),
        (5, {"id": "x710/all-on/of/yore"}, r"evidence\.jsonl:6: there is no cell 'x710/all-on/of"),
        (5, {"id": "x710/all-on/outer4-csum/inner4/udp"}, r":7: cell .*/inner4/udp occurs twice"),
        (5, {"evidence": None}, r":6: cell .* is None without any evidence"),
        (5, {"evidence": None, "verdict": "PASS"}, r":6: .* is PASS without any evidence"),
        (5, {"evidence": {"effective": 7}}, r":6: is damaged: cell\.evidence\.eff"),
        (5, {"kind": "end", "entries": 4}, r":7: the run ends before this line"),
        (
            5,
            {"kind": "end", "entries": 5},
            r":6: says that 5 entries come before it, and there are 4",
        ),
        (5, {"n": 7}, r":6: is damaged, or lines before it are missing"),
    ],
)
def test_a_foreign_line_is_refused(
    stored: Stored, number: int, change: dict[str, Any], said: str
) -> None:
    directory = stored()
    edit(directory, number, lambda entry: entry.update(change))
    with pytest.raises(UsageError, match=said):
        run_directory.read(directory)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON, or is cut short"),
        ("[]", "has schema None, and this vxqual reads 3"),
        (
            '{"schema": 9}',
            "was written by another vxqual with schema 9, and this vxqual .* reads schema 3",
        ),
        ('{"schema": 3}', "is not a stored run: 'campaign'"),
        ('{"schema": 3, "campaign": []}', "is not a stored run"),
        ('{"schema": 3, "campaign": {"topology": "", "source": "x"}}', "the file is empty"),
    ],
)
def test_a_foreign_run_is_refused(stored: Stored, content: str, said: str) -> None:
    directory = stored()
    (directory / "run.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        run_directory.read(directory)


@pytest.mark.parametrize("missing", ["run.json", "evidence.jsonl"])
def test_a_missing_file_is_reported(stored: Stored, missing: str) -> None:
    directory = stored()
    (directory / missing).unlink()
    with pytest.raises(UsageError, match=f"{missing}: cannot be read: No such file"):
        run_directory.read(directory)


def test_a_store_without_a_run_writes_nothing(tmp_path: Path) -> None:
    written = Store(tmp_path)
    written.add(dump_entry(TroubleEntry("it rained")))
    written.end()
    assert list(tmp_path.iterdir()) == []
