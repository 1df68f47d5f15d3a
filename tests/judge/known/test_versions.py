"""The natural order of firmware's and kernels' versions, and ranges of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.known.versions import RANGE, within

X710 = "8.30 0x8000af86 1.2853.0"


@pytest.mark.parametrize(
    ("version", "wanted", "holds"),
    [
        (X710, "*", True),
        (X710, "8.30", True),
        (X710, "==8.30", True),
        (X710, "8.30 0x8000af86", True),
        (X710, "8.30 0x8000af87", False),
        (X710, "8.3", False),
        (X710, ">8.4", True),
        (X710, ">8.30", False),
        (X710, ">=8.30", True),
        (X710, "<=8.30", True),
        (X710, "<8.30", False),
        (X710, "!=8.30", False),
        (X710, "!=8.31", True),
        (X710, "8", True),
        (X710, ">=8.30.1", True),  # 0x8000af86 is a number, too
        (X710, ">=8.0, <9.20", True),
        (X710, ">=8.0, <8.20", False),
        (X710, " >= 8.0 ,< 9", True),
        ("9.20", ">=8.0,<9.20", False),
        ("10.0", ">=9.20", True),
        ("22.31.1014 (MT_0000000359)", ">=22.31.1014, <22.32", True),
        ("214.0.286.1/pkg 214.0.286.18", "214.0.286.1", True),
        ("6.1.0-28-amd64", ">=6.1", True),
        ("6.1.0-28-amd64", "6.1.0-28", True),
        ("6.1.0-28-amd64", "<6.1.0-29", True),
        ("6.18.44", ">=6.9", True),
        ("6", "6.0.0", True),
        ("6", "<6.1", True),
        # Words and numbers have no order, so nothing is hidden by one.
        ("6.1.0-rc3", ">=6.1.0.1", False),
        ("6.1.0-rc3", "<6.1.0.1", False),
        ("6.1.0-rc3", "!=6.1.0.1", False),
        ("6.1.0-rc3", ">=6.1.0-rc2", True),
        ("6.1.0-RC3", "6.1.0-rc3", True),
        ("6.1.0-rc3", "<6.1.0-rc12", True),
        ("unknown", "<9", False),
        ("unknown", ">=0", False),
        ("unknown", "!=9", False),
        ("unknown", "*", True),
        ("good", "==1", False),
        ("", "<9", False),
        ("", "0", False),
    ],
)
def test_ranges(version: str, wanted: str, holds: bool) -> None:
    assert re.fullmatch(RANGE, wanted)
    assert within(version, wanted) is holds


@pytest.mark.parametrize(
    "wanted", ["", ">=", "8.30,", ",8", "8.*", "newer", ">=8 <9", "=8", "~8 >"]
)
def test_what_is_no_range(wanted: str) -> None:
    assert not re.fullmatch(RANGE, wanted)
    assert not within(X710, wanted)


NUMBERS = st.lists(st.integers(0, 200), min_size=3, max_size=3)


@given(NUMBERS, NUMBERS)
def test_numbers_are_ordered_as_numbers(left: list[int], right: list[int]) -> None:
    ours, theirs = ".".join(map(str, left)), ".".join(map(str, right))
    assert within(ours, f"<{theirs}") == (left < right)
    assert within(ours, f">={theirs}") == (left >= right)
    assert within(ours, theirs) == (left == right) != within(ours, f"!={theirs}")


@given(st.text(), st.text())
def test_any_text_is_in_a_range_or_not(version: str, wanted: str) -> None:
    assert within(version, wanted) in (True, False)
    for operator in ("==", "<", ">"):
        within(version, f"{operator}{wanted}")
