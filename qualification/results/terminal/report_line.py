"""Lines of the terminal report: letters and words of the verdicts, tones, wrapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from qualification.judge.verdict import Verdict

LETTERS = {
    Verdict.PASS: ".",
    Verdict.FAIL: "F",
    Verdict.LOSS: "L",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_EXERCISED: "-",
    Verdict.UNSUPPORTED: "n",
    Verdict.UNTRUSTED: "U",
    Verdict.ERROR: "E",
    Verdict.KNOWN: "K",
}
MEANINGS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "FAIL",
    Verdict.LOSS: "frames lost",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.NOT_EXERCISED: "the NIC had nothing to do",
    Verdict.UNSUPPORTED: "not supported by the NIC",
    Verdict.UNTRUSTED: "controls failed",
    Verdict.ERROR: "lab error",
    Verdict.KNOWN: "known to fail",
}


@dataclass(frozen=True)
class ReportLine:
    """A line of the report; `tone` is "good", "bad", "doubt", "title" or "" for plain."""

    text: str
    tone: str = ""


def wrapped(text: str, width: int, tone: str = "", indent: str = "  ") -> Iterator[ReportLine]:
    """Yields the lines of a sentence, indented.

    Args:
        text: The sentence.
        width: Columns of the terminal.
        tone: The tone of its lines.
        indent: The indent of the first line; others are indented by six columns.
    """
    lines = wrap(
        text,
        max(40, width - 4),
        initial_indent=indent,
        subsequent_indent="      ",
        break_on_hyphens=False,  # an id that is broken in two cannot be copied
        break_long_words=False,
    )
    return (ReportLine(line, tone) for line in lines)
