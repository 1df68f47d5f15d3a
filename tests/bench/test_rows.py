"""Rows, ratios and bars, and how figures are formatted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds import KINDS
from bench.machine import Machine
from bench.page import page
from bench.report import Results, document, number, table
from bench.rows import Bar, Row, Side, Unmeasured, at_least

MACHINE = Machine(
    day="2026-01-02", version="0.1", cpu="a CPU", cpus=2, memory=24.0, os="an OS", kernel="6.18",
    python="3.11", verifier="C implementation", tools={"tcpdump": "4.99"}, load=0.01,
)  # fmt: skip
ROW = Row(
    work="verify, 64 B inner, against tcpdump -nn -vvv",
    unit="frames/CPU-s",
    ours=Side("vxqual verify", (300.0, 100.0, 200.0)),
    peer=Side("tcpdump", (10.0, 10.0, 40.0)),
    bar=at_least(10),
    limit="Memory.",
)
figures = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=7)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert ROW.ratios == (30, 10, 5)
    assert ROW.ratio == 10
    assert ROW.reached


@given(figures, st.floats(0.01, 100))
def test_a_machine_that_drifts_does_no_harm(theirs: list[float], times: float) -> None:
    ours = tuple(times * value for value in theirs)
    row = replace(ROW, ours=Side("ours", ours), peer=Side("theirs", tuple(theirs)))
    assert row.ratio == pytest.approx(times)
    assert row.ours.median == median(ours)


@pytest.mark.parametrize(
    ("bar", "reached"),
    [
        (at_least(10), True),
        (at_least(10.1), False),
        (Bar("ratio", "at most", 10), True),
        (Bar("ratio", "at most", 9.9), False),
        (Bar("value", "at least", 200), True),
        (Bar("value", "at most", 199), False),
        (None, None),
    ],
)
def test_bars(bar: Bar | None, reached: bool | None) -> None:
    assert replace(ROW, bar=bar).reached is reached


def test_a_spoilt_row_reaches_nothing() -> None:
    assert replace(ROW, spoilt="drops where tcpdump has none").reached is False


def test_without_another_side_there_is_no_ratio() -> None:
    row = replace(ROW, peer=None)
    assert row.ratio is None
    assert row.reached is False, "a bar for a ratio that there is not is not reached"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0712345, "0.0712"), (0.15, "0.150"), (2.0, "2.00"), (12.34, "12.3"), (123.4, "123"),
        (999.6, "1,000"), (5202.4, "5,202"), (9_994, "9,994"), (15_234, "15.2 k"),
        (281_000, "281 k"), (999_600, "1.00 M"), (5_490_000, "5.49 M"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(1e-5, 9e8))
def test_numbers_are_what_they_say(value: float) -> None:
    digits, _, unit = number(value).partition(" ")
    shown = float(digits.replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6}[unit]
    assert shown == pytest.approx(value, rel=0.0051)


RESULTS = Results(
    MACHINE,
    rounds=3,
    quick=False,
    rows={
        "verify": (ROW, replace(ROW, work="another | one", bar=Bar("value", "at most", 5))),
        "live": (Unmeasured("Capturing", "there is no TUN"),),
    },
)


def test_the_table() -> None:
    head, first, second, missing = table(RESULTS)
    assert head.split() == ["work", "unit", "vxqual", "other", "ratio", "bar", "reached"]
    assert first.split()[-6:] == ["200", "10.0", "10.0×", "≥", "10×", "yes"]
    assert second.endswith("NO")
    assert missing == "not measured: Capturing: there is no TUN"


def test_quick_figures_are_held_against_nothing() -> None:
    quick = replace(RESULTS, quick=True)
    assert not any(line.endswith(("yes", "NO")) for line in table(quick))
    assert {row["reached"] for row in document(quick)["rows"]} == {None}


def test_the_document_holds_every_figure() -> None:
    made = json.loads(json.dumps(document(RESULTS)))
    first, second = made["rows"]
    assert first["kind"] == "verify"
    assert first["ours"]["values"] == [300, 100, 200]
    assert (first["median"], first["ratio"], first["reached"]) == (200, 10, True)
    assert second["reached"] is False
    assert made["unmeasured"][0]["why"] == "there is no TUN"


def test_the_page_shows_what_was_measured_and_what_was_not() -> None:
    made = page(RESULTS, KINDS)
    assert "| 200 | 10.0 | 10.0× (5.00 to 30.0) | ≥ 10× | yes |" in made
    assert "another \\| one" in made
    assert "- *Capturing*: there is no TUN" in made
    assert "What limits the figures:\n\n- Memory.\n" in made
    missing = " ".join(made.partition("## Not in this run")[2].split()).rstrip(".").split("; ")
    assert KINDS["pairs"].title in missing
    assert KINDS["verify"].title not in missing
    assert max(len(line) for line in made.splitlines() if not line.startswith("|")) <= 100


def test_the_page_shows_to_which_rows_a_limit_applies() -> None:
    rows = (
        ROW,
        replace(ROW, work="verify, 64 B inner, against tshark"),
        replace(ROW, work="verify, 1400 B inner, against tcpdump", limit="Sums.", note="a note"),
    )
    made = page(replace(RESULTS, rows={"verify": rows}), KINDS)
    assert "- *verify, 64 B inner*: Memory.\n" in made
    assert "- *verify, 1400 B inner, against tcpdump*: Sums.\n" in made
    assert "Seen meanwhile:\n\n- *verify, 1400 B inner, against tcpdump*: a note.\n" in made


def test_every_kind_describes_what_it_measures() -> None:
    titles = [kind.title for kind in KINDS.values()]
    assert len(set(titles)) == len(titles)
    for name, kind in KINDS.items():
        assert re.fullmatch("[a-z]+", name)
        assert kind.about.endswith(".")
        assert kind.minutes > 0
