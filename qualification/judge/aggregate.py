"""What the passing cells of a pair exclude together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from qualification.judge.culprit.used_features import evidence_key, used

from .result_row import CellRow
from .statistics import rate
from .verdict import Verdict, percent

_FINE = {Verdict.PASS, Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED}


def excludes(rows: Sequence[CellRow], driver: str, confidence: float) -> str | None:
    """Returns a sentence with the rates that a pair excludes; None where a cell did not pass.

    Each cell excludes its rate on its own; N such claims are wrong N times as often. Two claims
    hold for all of them together: no wrong frame among the frames of all cells bounds their mean
    rate, as if they were one sample (the product of (1 - p_i) is greatest where all p_i are alike);
    and with the error shared among the cells (Bonferroni) each bounds its own.

    Args:
        rows: The cells of one pair.
        driver: The DUT's driver.
        confidence: Confidence of the claims, for example 0.999.
    """
    if any(row.verdict not in _FINE for row in rows):
        return None
    passed = [row for row in rows if row.verdict is Verdict.PASS and used(row, driver)]
    # Evidence that several cells share counts once.
    cells = list({evidence_key(row, driver): row for row in passed}.values())
    if len(cells) < 2:  # the reason of a single cell says as much
        return None
    frames = sum(row.frames for row in cells)
    together = rate(0, frames, confidence).high
    least = min(row.frames for row in cells)
    single = rate(0, least, 1 - (1 - confidence) / len(cells)).high
    return (
        f"no wrong frame in {frames:,} that the NIC had its part in: at {confidence:.1%}, a rate "
        f"of {percent(together)} or more over all of them alike is excluded, and of "
        f"{percent(single)} or more in any single one of {len(cells):,} cells"
    )
