"""Known failures: the file, what it hides and for how long, and when it is out of date."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from qualification.config.reading import load_as, parse_as
from qualification.errors import UsageError
from qualification.inventory import Nic
from qualification.judge.evidence import Evidence
from qualification.judge.known.expectations import EXPECTATIONS, Expectations, schema
from qualification.judge.known.matching import expect, findings
from qualification.judge.outcome import Outcome
from qualification.judge.result_row import CellRow, row
from qualification.judge.statistics import Rate
from qualification.judge.verdict import Judgement, Verdict
from qualification.messages.host import HostFacts, NicFacts
from qualification.plan.cells import Cell
from qualification.plan.features import CSUM, TNL_CSUM, TSO, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow

REPORTS = Path(__file__, "../../../../reports").resolve()
TODAY = date(2026, 7, 1)
ENTRY = {
    "driver": "i40e",
    "firmware": ">=8.0, <9.20",
    "flow": "outer4-csum/*",
    "reason": "it is broken",
    "link": "https://example.net/7",
    "expires": "2026-07-01",
}


def expectations(**entries: dict[str, Any]) -> Expectations:
    known = {name: {**ENTRY, **changes} for name, changes in entries.items()}
    return Expectations.model_validate({"version": 1, "known": known})


def nic(driver: str = "i40e", firmware: str = "8.30 0x8000af86", kernel: str = "6.1.0-28") -> Nic:
    host = HostFacts("alpha", kernel, "Debian 12", "a CPU", 8, "3.11.2", 1, ("p0",))
    facts = NicFacts(
        "p0", "02:00:00:00:00:01", 1500, True, True, driver, None, firmware, None, None, None,
        {}, {}, {}, (), {},
    )  # fmt: skip
    return Nic("alpha.p0", host, facts, None, ())


SPACE = FeatureSpace(frozenset({CSUM, TSO, TNL_CSUM}))
ALL_ON = OffloadSet(SPACE.switchable, SPACE)
TCP = Flow(4, True, 4, "tcp", True)
PLAIN_TCP = Flow(4, False, 4, "tcp", True)
REASON = {Verdict.FAIL: "3 of 9 are wrong", Verdict.LOSS: "2 never arrived"}


def ended(verdict: Verdict, flow: Flow = TCP, *, blames_nic: bool | None = None) -> Outcome:
    judgement = Judgement(verdict, REASON.get(verdict, "so"), 9, 3, 2, Rate(1 / 3, 0.1, 0.6))
    evidence = None
    if verdict not in (Verdict.ERROR, Verdict.UNTRUSTED):
        evidence = Evidence({CSUM: True, TSO: True, TNL_CSUM: False})
    blamed = verdict in (Verdict.FAIL, Verdict.LOSS) if blames_nic is None else blames_nic
    return Outcome(Cell("x710", ALL_ON, flow), judgement, evidence, blamed)


def rows(*outcomes: Outcome) -> list[CellRow]:
    return [row(o.cell, o.judgement, o.evidence, o.expectation) for o in outcomes]


# What is hidden


def test_a_failure_that_is_known() -> None:
    found = expect(ended(Verdict.FAIL), nic(), expectations(slow={}), TODAY)
    assert found.judgement == replace(
        ended(Verdict.FAIL).judgement,
        verdict=Verdict.KNOWN,
        reason="it is broken (https://example.net/7; slow, until 2026-07-01); "
        "FAIL: 3 of 9 are wrong",
    )
    assert (found.blames_nic, found.doubtful, found.expectation) == (False, False, "slow")
    assert found.evidence == ended(Verdict.FAIL).evidence


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.FAIL])
def test_nothing_but_the_verdict_expected_is_hidden(verdict: Verdict) -> None:
    assert expect(ended(verdict), nic(), expectations(slow={}), TODAY) == ended(verdict)


def test_loss_is_hidden_where_it_is_expected_and_the_nic_is_to_blame() -> None:
    known = expectations(lossy={"verdicts": ["FAIL", "LOSS"]})
    for verdict in (Verdict.LOSS, Verdict.FAIL):
        assert expect(ended(verdict), nic(), known, TODAY).judgement.verdict is Verdict.KNOWN
    path = ended(Verdict.LOSS, blames_nic=False)
    assert expect(path, nic(), known, TODAY) == path
    assert path.doubtful


@pytest.mark.parametrize(
    "matching",
    [
        {"driver": "i40*"},
        {"driver": "*"},
        {"firmware": "*"},
        {"firmware": "8.30 0x8000af86"},
        {"kernel": ">=6.1, <6.2"},
        {"offload_set": "all-on"},
        {"offload_set": "all-?n"},
        {"features": {TSO: True}},
        {"features": {TSO: True, TNL_CSUM: False}},
        {"features": {"tx-checksum-ipv6": False}},  # the NIC lacks it
        {"flow": "*"},
        {"flow": "outer?-csum/inner4/tcp"},
    ],
)
def test_what_matches(matching: dict[str, Any]) -> None:
    found = expect(ended(Verdict.FAIL), nic(), expectations(slow=matching), TODAY)
    assert found.judgement.verdict is Verdict.KNOWN


@pytest.mark.parametrize(
    "other",
    [
        {"driver": "i40"},
        {"driver": "I40E"},
        {"firmware": "<8.30"},
        {"firmware": "8.30 0x8000af87"},
        {"kernel": "<6.1"},
        {"offload_set": "all-off"},
        {"offload_set": "all"},
        {"features": {TSO: False}},
        {"features": {TSO: True, TNL_CSUM: True}},
        {"features": {"tx-checksum-ipv6": True}},
        {"flow": "outer4-nocsum/*"},
        {"flow": "inner4/tcp"},
        {"verdicts": ["LOSS"]},
    ],
)
def test_what_does_not(other: dict[str, Any]) -> None:
    assert expect(ended(Verdict.FAIL), nic(), expectations(slow=other), TODAY) == ended(
        Verdict.FAIL
    )


def test_from_the_day_after_it_fails_again() -> None:
    found = expect(ended(Verdict.FAIL), nic(), expectations(slow={}), date(2026, 7, 2))
    assert (found.judgement.verdict, found.blames_nic) == (Verdict.FAIL, True)
    assert found.judgement.reason == (
        "3 of 9 are wrong; the expectation slow expired on 2026-07-01"
    )
    assert found.expectation == "slow"


def test_what_has_expired_gives_way_to_what_has_not() -> None:
    known = expectations(old={"expires": "2026-01-01"}, new={}, newer={})
    assert expect(ended(Verdict.FAIL), nic(), known, TODAY).expectation == "new"


def test_without_expectations_nothing_is_known() -> None:
    assert expect(ended(Verdict.FAIL), nic(), None, TODAY) == ended(Verdict.FAIL)
    assert findings(None, rows(ended(Verdict.FAIL)), {"x710": nic()}, TODAY) == ()


@given(
    verdict=st.sampled_from(Verdict),
    blames_nic=st.booleans(),
    day=st.dates(date(2026, 6, 25), date(2026, 7, 5)),
    driver=st.sampled_from(["i40e", "ice"]),
    flow=st.sampled_from([TCP, PLAIN_TCP]),
)
def test_only_a_live_entry_that_matches_hides_and_nothing_else_changes(
    verdict: Verdict, blames_nic: bool, day: date, driver: str, flow: Flow
) -> None:
    before = ended(verdict, flow, blames_nic=blames_nic)
    after = expect(before, nic(driver), expectations(slow={}), day)
    hides = (
        verdict is Verdict.FAIL and blames_nic and day <= TODAY and driver == "i40e" and flow is TCP
    )
    assert (after.judgement.verdict is Verdict.KNOWN and not after.blames_nic) == (
        hides or (verdict is Verdict.KNOWN and not blames_nic)
    )
    if not hides:
        assert after.judgement.verdict is verdict
        assert after.blames_nic == blames_nic
    for name in ("frames", "bad", "lost", "rate"):
        assert getattr(after.judgement, name) == getattr(before.judgement, name)


# What is out of date


def found_of(known: Expectations, *outcomes: Outcome, day: date = TODAY) -> list[tuple[str, str]]:
    expected = [expect(outcome, nic(), known, day) for outcome in outcomes]
    return [(f.kind, f.text) for f in findings(known, rows(*expected), {"x710": nic()}, day)]


def test_a_known_failure_that_still_fails_needs_nothing() -> None:
    assert found_of(expectations(slow={}), ended(Verdict.FAIL)) == []
    both = (ended(Verdict.FAIL), ended(Verdict.PASS))
    assert found_of(expectations(slow={}), *both) == []


def test_all_pass_that_was_expected_to_fail() -> None:
    skipped = ended(Verdict.NOT_EXERCISED)
    assert found_of(expectations(slow={}), ended(Verdict.PASS), skipped) == [
        (
            "UNEXPECTED PASS",
            "the one cell passes of which was expected: it is broken (https://example.net/7). "
            "If it is healed, remove the entry",
        )
    ]
    ((kind, text),) = found_of(expectations(slow={}), ended(Verdict.PASS), ended(Verdict.PASS))
    assert kind == "UNEXPECTED PASS"
    assert text.startswith("all 2 cells pass of which was expected")


@pytest.mark.parametrize(
    "other", [Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.UNTRUSTED, Verdict.FAIL, Verdict.LOSS]
)
def test_a_pass_beside_anything_else_heals_nothing(other: Verdict) -> None:
    assert found_of(expectations(slow={}), ended(Verdict.PASS), ended(other)) == []


def test_what_matched_nothing_is_unused() -> None:
    assert found_of(expectations(slow={}), ended(Verdict.PASS, PLAIN_TCP)) == [
        ("UNUSED", "it matches no cell that ran")
    ]
    assert found_of(expectations(slow={}), ended(Verdict.UNSUPPORTED)) == [
        ("UNUSED", "none of the cells that match it had anything to show")
    ]


def test_what_has_expired_is_told_as_long_as_it_fails() -> None:
    later = date(2026, 7, 2)
    ((kind, text),) = found_of(expectations(slow={}), ended(Verdict.FAIL), day=later)
    assert kind == "EXPIRED"
    assert text.startswith("it expired on 2026-07-01 and hides nothing any more: it is broken")
    ((kind, _),) = found_of(expectations(slow={}), ended(Verdict.PASS), day=later)
    assert kind == "UNEXPECTED PASS"


# The file


def test_the_example_is_one_and_the_schema_is_in_step() -> None:
    path = REPORTS / "expectations.example.yaml"
    known = load_as(EXPECTATIONS, path).known
    assert known["x710-outer-checksum"].features == {TNL_CSUM: True}
    assert known["lossy-all-on"].verdicts == ("LOSS",)
    printed = subprocess.run(
        [sys.executable, "-m", "qualification.judge.known.expectations"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    written = REPORTS / "expectations.schema.json"
    assert written.read_text() == printed, (
        "python -m qualification.judge.known.expectations > reports/expectations.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(schema())
    document = json.loads(json.dumps(YAML(typ="safe").load(path), default=str))
    jsonschema.validate(document, schema())


FILE = """\
version: 1
known:
  slow:
    driver: i40e
    firmware: ">=8.0, <9.20"
    flow: "*"
    reason: it is broken
    link: https://example.net/7
    expires: 2027-01-31
"""
AFTER = "    reason"


def test_a_file() -> None:
    entry = parse_as(EXPECTATIONS, FILE, "known.yaml").known["slow"]
    assert entry.expires == date(2027, 1, 31)
    assert (entry.kernel, entry.offload_set, entry.verdicts) == ("*", "*", ("FAIL",))
    assert parse_as(EXPECTATIONS, "version: 1\nknown: {}\n", "known.yaml").known == {}


def test_the_environment_stays_out_of_it() -> None:
    text = FILE.replace("it is broken", "it costs $$5 of ${HOME}")
    assert parse_as(EXPECTATIONS, text, "known.yaml").known["slow"].reason == (
        "it costs $$5 of ${HOME}"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("flow:", "flows:", "6:5: known.slow: unknown key 'flows'; did you mean 'flow'?"),
        ('    flow: "*"\n', "", "3:3: known.slow: 'flow' is missing"),
        ("i40e", "7", "4:13: known.slow.driver: must be text, not 7"),
        ("i40e", "", "4:5: known.slow.driver: must be text, not empty"),
        ('">=8.0, <9.20"', "newest", "5:15: known.slow.firmware: 'newest' is no range of"),
        ('">=8.0, <9.20"', "8.30", "5:15: known.slow.firmware: must be text, not 8.3"),
        ("2027-01-31", "2027-02-31", "9:14: known.slow.expires: must be a date, not '2027-02-31'"),
        ("2027-01-31", "never", "9:14: known.slow.expires: must be a date, not 'never'"),
        ("https://", "see ", "8:11: known.slow.link: 'see example.net/7' must be a link"),
        (AFTER, f"    verdicts: FAIL\n{AFTER}", "7:15: known.slow.verdicts: must be a list"),
        (
            AFTER,
            f"    verdicts: [PASS]\n{AFTER}",
            "7:16: known.slow.verdicts[0]: must be 'FAIL'",
        ),
        (AFTER, f"    verdicts: []\n{AFTER}", "known.slow.verdicts: must not be empty"),
        (
            AFTER,
            f"    features: {{tx-udp_tnl-csum-segmentatio: true}}\n{AFTER}",
            "7:16: known.slow.features.tx-udp_tnl-csum-segmentatio: there is no feature "
            "'tx-udp_tnl-csum-segmentatio'; did you mean 'tx-udp_tnl-csum-segmentation'?",
        ),
        (AFTER, f"    features: {{{TSO}: on}}\n{AFTER}", "must be true or false, not 'on'"),
        (AFTER, f"    reason: twice\n{AFTER}", "8:5: known.slow.reason: duplicate key 'reason'"),
        ("version: 1", "version: 2", "1:10: version: must be 1, not 2"),
        (FILE, "", " the file is empty\n  next: begin from what `vxqual init expectations` writes"),
        (FILE, "version: 1\n", "'known' is missing"),
        (FILE, "- 1\n", "must be a mapping"),
    ],
)
def test_errors_name_their_place(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(UsageError) as caught:
        parse_as(EXPECTATIONS, FILE.replace(old, new), "known.yaml")
    assert str(caught.value).startswith("known.yaml:")
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"there is no such file\n.*`vxqual init expectations` writes one"
    ):
        load_as(EXPECTATIONS, tmp_path / "missing.yaml")
