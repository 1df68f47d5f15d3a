"""What `vxqual selftest` prints: a line for each firmware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEADING = (
    f"{'firmware':<16} {'seen as':<16} {'signature':<16} {'culprit':<32} {'frames':>8} {'s':>4}"
)
_MOST = 16
_FIRST = ("FAIL", "LOSS", "UNTRUSTED")
"""Verdicts that are told before others, however few cells have them."""
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
    """One firmware's line, under `HEADING`; cells that pass are not worth a word beside others.

    Args:
        model: Its name.
        verdicts: Cells by verdict.
        signatures: Failing cells by signature, the commonest first.
        culprits: What is blamed.
        frames: Frames judged.
        seconds: It took so long.
        missing: What was not as it had to be, if anything.
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
