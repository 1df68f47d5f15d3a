"""A comparison as the terminal shows it: the answer first, then each pair with what changed."""

from __future__ import annotations

from collections.abc import Iterator

from qualification.results.terminal.report_line import ReportLine, wrapped

from .model import Answer, Change, Comparison, PairComparison, Side, answer, counted
from .summary import Group, before_and_after, groups, headline, nics

_TONES = {
    Answer.REGRESSED: "bad",
    Answer.HEALED: "good",
    Answer.RATE_CHANGED: "doubt",
    Answer.NO_REGRESSION: "good",
    Answer.NOTHING_COMPARED: "doubt",
}
_GROUP_TONES = {Change.REGRESSED: "bad", Change.HEALED: "good"}
_MOST = 8


def lines(comparison: Comparison, width: int = 100) -> Iterator[ReportLine]:
    """Yields the report of a comparison; its first line is the answer.

    Args:
        comparison: The comparison.
        width: Columns of the terminal.
    """
    yield ReportLine(headline(comparison), _TONES[comparison.answer])
    yield ReportLine("")
    old, new = comparison.old, comparison.new
    yield ReportLine(f"  before  {old.id}, {old.started}, {old.outcome}, vxqual {old.version}")
    yield ReportLine(f"  now     {new.id}, {new.started}, {new.outcome}, vxqual {new.version}")
    for note in comparison.notes:
        yield from wrapped(f"note: {note}", width, "doubt")
    for pairs, which in ((comparison.only_old, "old"), (comparison.only_new, "new")):
        if pairs:
            text = f"note: only the {which} run has {', '.join(pairs)}; --map OLD=NEW names a match"
            yield from wrapped(text, width, "doubt")
    for pair in comparison.pairs:
        yield from _pair(pair, width)


def _pair(pair: PairComparison, width: int) -> Iterator[ReportLine]:
    yield ReportLine("")
    text = f"{answer(pair.cells)}  {nics(pair)}: {counted(pair.cells)}"
    yield from wrapped(text, width, _TONES[answer(pair.cells)], indent="")
    for word, before, now in before_and_after(pair.old, pair.new):
        if before != now:
            yield ReportLine(f"  {word}: {before} -> {now}")
    for note in pair.notes:
        yield from wrapped(f"note: {note}", width, "doubt")
    shown: dict[Change, int] = {}
    for group in groups(pair.cells):
        shown[group.change] = shown.get(group.change, 0) + 1
        if shown[group.change] <= _MOST:
            yield from _group(group, width)
    for change, count in shown.items():
        if count > _MOST:
            more = f"  and {count - _MOST} more reasons why cells are {change}; --json has each"
            yield ReportLine(more, "doubt")
    yield from _remedy(pair.new, "heals")
    if not pair.new.failing:
        yield from _remedy(pair.old, "healed before, and is needed no longer")


def _group(group: Group, width: int) -> Iterator[ReportLine]:
    tone = _GROUP_TONES.get(group.change, "doubt")
    yield from wrapped(f"{group.change} {group.named}: {group.cells[0].reason}", width, tone)
    fault = group.fault
    if fault is not None and fault.signature and group.change not in (Change.NEW, Change.GONE):
        yield from wrapped(fault.signature, width, tone, indent="      ")
    if group.culprit:
        yield from wrapped(f"culprit: {', '.join(group.culprit)}", width, tone, indent="      ")


def _remedy(side: Side, what: str) -> Iterator[ReportLine]:
    if side.command:
        yield ReportLine(f"  {what}, on {side.dut.host}:")
        yield ReportLine(f"      {side.command}")
        if side.cost:
            yield ReportLine(f"      {side.cost}")
