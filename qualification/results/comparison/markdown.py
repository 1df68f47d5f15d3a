"""A comparison as Markdown, to be put into a change request."""

from __future__ import annotations

from collections.abc import Iterator

from qualification.printable import code, markdown

from .comparable import narrowed
from .model import Change, Comparison, PairComparison, Side, answer, counted
from .summary import Group, before_and_after, groups, headline, nics

_TITLES = {
    Change.REGRESSED: "Regressed",
    Change.HEALED: "Healed",
    Change.RATE_CHANGED: "Rate changed",
    Change.WITHIN_CHANCE: "Within chance",
    Change.NEW: "New",
    Change.GONE: "Gone",
    Change.NOT_JUDGED: "Not judged",
    Change.CANNOT_BE_COMPARED: "Cannot be compared",
}
_MOST = 20


def page(comparison: Comparison) -> Iterator[str]:
    """Yields the lines of the page."""
    old, new = comparison.old, comparison.new
    yield f"# {comparison.answer}: VXLAN checksum offloads before and after"
    yield ""
    yield f"**{escaped(headline(comparison))}**"
    yield ""
    yield "| run | before | after |"
    yield "|---|---|---|"
    for word, was, is_ in (
        ("id", old.id, new.id),
        ("began", old.started, new.started),
        ("outcome", old.outcome, new.outcome),
        ("plan", old.plan, new.plan),
        ("selection", narrowed(old) or "all cells", narrowed(new) or "all cells"),
        ("demand", f"{old.demand.rate:g} at {old.demand.confidence:g}",
         f"{new.demand.rate:g} at {new.demand.confidence:g}"),
        ("vxqual", old.version, new.version),
    ):  # fmt: skip
        yield f"| {word} | {escaped(was)} | {escaped(is_)} |"
    for note in comparison.notes:
        yield ""
        yield f"Note: {escaped(note)}."
    for pairs, which in ((comparison.only_old, "old"), (comparison.only_new, "new")):
        if pairs:
            yield ""
            yield f"Only the {which} run has the pairs {', '.join(pairs)}, which are not compared."
    for pair in comparison.pairs:
        yield ""
        yield from _pair(pair)
    yield ""
    yield "## How this was compared"
    yield ""
    yield (
        "Cells are compared by Fisher's exact test on their wrong or lost frames, with Holm's "
        "correction for the number of cells: two runs of one and the same NIC would show any "
        f"change with a probability of at most {comparison.level:g}. Cells that the lab could not "
        "judge blame no NIC and count as not judged."
    )


def _pair(pair: PairComparison) -> Iterator[str]:
    yield f"## {answer(pair.cells)}: {escaped(nics(pair))}"
    yield ""
    yield f"{counted(pair.cells)}.".capitalize()
    yield ""
    yield "| | before | after |"
    yield "|---|---|---|"
    for word, was, is_ in before_and_after(pair.old, pair.new):
        yield f"| {word} | {escaped(was)} | {escaped(is_)} |"
    yield f"| culprit | {_culprits(pair, new=False)} | {_culprits(pair, new=True)} |"
    yield f"| mitigation | {_mitigation(pair.old)} | {_mitigation(pair.new)} |"
    for note in pair.notes:
        yield ""
        yield f"Note: {escaped(note)}."
    by_change: dict[Change, list[Group]] = {}
    for group in groups(pair.cells):
        by_change.setdefault(group.change, []).append(group)
    for change, some in by_change.items():
        yield ""
        yield f"### {_TITLES[change]}"
        yield ""
        for group in some[:_MOST]:
            yield f"- {sentence(group)}"
        if len(some) > _MOST:
            yield f"- and {len(some) - _MOST} more reasons"


def sentence(group: Group) -> str:
    """Returns what became of a group of cells, and by which fault."""
    more = len(group.cells) - 1
    named = code(group.cells[0].cell) + (f" and {more:,} more" if more else "")
    parts = [f"{named}: {escaped(group.cells[0].reason)}"]
    if group.fault is not None and group.fault.signature and group.change is not Change.GONE:
        parts.append(escaped(group.fault.signature))
    if group.culprit:
        parts.append("culprit " + ", ".join(code(name) for name in group.culprit))
    return "; ".join(parts) + "."


def _culprits(pair: PairComparison, *, new: bool) -> str:
    rows = [cell.new if new else cell.old for cell in pair.cells]
    found = dict.fromkeys(" + ".join(row.culprit) for row in rows if row and row.culprit)
    failing = (pair.new if new else pair.old).failing
    return ", ".join(code(name) for name in found) or ("not found" if failing else "none")


def _mitigation(side: Side) -> str:
    if side.command:
        return f"{code(side.command)}{f', which {escaped(side.cost)}' * bool(side.cost)}"
    return "none known" if side.failing else "none needed"


def escaped(text: str) -> str:
    """Returns text in which Markdown sees no table and no markup of its own."""
    return markdown(text).replace("-&gt;", "→")
