"""The table that `vxqual selftest` prints: a line for each firmware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEADING = (
    f"{'firmware':<16} {'seen as':<16} {'signature':<16} {'culprit':<32} {'frames':>8} {'s':>4}"
)
_MOST = 16
_FIRST = ("FAIL", "LOSS", "UNTRUSTED")
"""Verdicts that are shown in preference to others, however few cells have them."""
_NO_NAME = "unexplained"


def line(
    model: str,
    verdicts: Mapping[str, int],
    signatures: Mapping[str, int],
    culprits: Sequence[Sequence[str]],
    frames: int,
    seconds: float,
    missing: str,
) -> str:
    """Returns the line of a firmware, under `HEADING`; it shows one verdict, the most telling one.

    Args:
        model: The name of the firmware.
        verdicts: The number of cells by verdict.
        signatures: The number of failing cells by signature, the most frequent one first.
        culprits: The features that were found to be the culprit.
        frames: The number of frames judged.
        seconds: The duration.
        missing: The difference from the expected detection; empty if there is none.
    """
    first = next((verdict for verdict in _FIRST if verdict in verdicts), None)
    verdict = first or max(verdicts, key=lambda each: verdicts[each], default="-")
    seen = f"{verdict} {verdicts[verdict]}" if verdict in verdicts else verdict
    signature = next((name for name in signatures if name != _NO_NAME), next(iter(signatures), "-"))
    culprit = " or ".join("+".join(names) for names in culprits[:1]) or "-"
    result = f"MISSED: {missing}" if missing else "ok"
    return (
        f"{model:<{_MOST}} {seen:<16} {signature:<16} {culprit:<32} {frames:>8,} {seconds:>4.0f}"
        f"  {result}"
    )
