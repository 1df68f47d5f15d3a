"""What became of cells that both runs have judged: a change, or what chance alone explains.

Each cell is tested by Fisher's exact test on its wrong frames, or on its lost ones where it fails
by these. A run has hundreds of cells, so Holm's correction bounds the probability of even one wrong
answer. A cell of few frames may be too small to show anything alone: a fault that shows in one
frame of forty, in each of sixteen cells. What the first step leaves open is therefore tested once
more, with all cells of one kind of traffic together.

A fault may hit what changes from run to run, such as the queue that a source port is hashed to. It
fails whole cells, other ones each time, and frames of a cell say nothing about it then. Where the
same signature has come to some cells of a pair and gone from others, cells are counted instead of
frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from qualification.judge.result_row import CellRow
from qualification.judge.statistics import fisher, holm
from qualification.judge.verdict import Verdict, percent

from .comparable import name
from .model import FAILING, CellChange, Change

LEVEL = 1e-4
"""Probability with which two runs of one and the same NIC show any change in any cell. Of nightly
comparisons one in 27 years is wrong by chance, and the exact test errs less often than it may."""


@dataclass(frozen=True)
class Both:
    """A cell of both runs that can be compared.

    Attributes:
        pair: Number of the pair that it is of.
        old: Its row in the old run.
        new: Its row in the new run.
    """

    pair: int
    old: CellRow
    new: CellRow

    @property
    def failed(self) -> bool:
        """Whether the NIC failed in the old run."""
        return self.old.verdict in FAILING

    @property
    def fails(self) -> bool:
        """Whether the NIC fails in the new run."""
        return self.new.verdict in FAILING

    @property
    def counts(self) -> Counts:
        """The frames that the two verdicts rest on."""
        losses = {self.old.verdict, self.new.verdict} & {Verdict.LOSS, Verdict.KNOWN}
        if losses and not (_wrong(self.old) or _wrong(self.new)):
            return Counts(
                self.old.lost,
                self.old.frames + self.old.lost,
                self.new.lost,
                self.new.frames + self.new.lost,
                "lost",
            )
        was, now = _wrong(self.old), _wrong(self.new)
        return Counts(was, max(was, self.old.frames), now, max(now, self.new.frames), "wrong")

    @property
    def traffic(self) -> Hashable:
        """What is tested together: a crafted packet set or bulk, on this pair."""
        flow = self.new.flow
        return self.pair, flow.direction, flow.packet_set, flow.state, flow.load, self.counts.what


@dataclass(frozen=True)
class Counts:
    """Wrong or lost frames of both runs.

    Attributes:
        old: Such frames in the old run.
        old_of: All frames of the old run.
        new: Such frames in the new run.
        new_of: All frames of the new run.
        what: "wrong" or "lost".
    """

    old: int
    old_of: int
    new: int
    new_of: int
    what: str

    @property
    def rose(self) -> bool:
        """Whether the rate is higher in the new run."""
        return self.new * self.old_of > self.old * self.new_of

    @property
    def chance(self) -> float:
        """The two-sided p-value: twice that of Fisher's exact test in the direction seen."""
        if not (self.old or self.new) or not (self.old_of and self.new_of):
            return 1.0
        worse, better = (self.new, self.new_of), (self.old, self.old_of)
        if not self.rose:
            worse, better = better, worse
        return min(1.0, 2 * fisher(*worse, *better))

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.old + other.old,
            self.old_of + other.old_of,
            self.new + other.new,
            self.new_of + other.new_of,
            self.what,
        )

    def __str__(self) -> str:
        """Returns a phrase for people."""
        before, now = _share(self.old, self.old_of), _share(self.new, self.new_of)
        return (
            f"{self.old:,} of {self.old_of:,} frames {self.what} before{before}, "
            f"{self.new:,} of {self.new_of:,} now{now}"
        )


def changes(cells: Sequence[Both]) -> list[CellChange]:
    """Returns what became of each cell, in their order.

    Args:
        cells: The cells that both runs have judged, of all pairs.
    """
    values = {at: one.counts.chance for at, one in enumerate(cells) if _counted(one)}
    told = holm({at: p for at, p in values.items() if p < 1.0}, LEVEL / 2)
    groups = _groups((at, one) for at, one in enumerate(cells) if at in values and at not in told)
    together = {key: _sum([cells[at] for at in some]) for key, some in groups.items()}
    changed = holm(
        {key: p for key, sums in together.items() if (p := sums.chance) < 1.0}, LEVEL / 2
    )
    group_of = {at: together[key] for key in changed for at in groups[key]}
    found = [
        _change(one, values.get(at), told=at in told, group=group_of.get(at))
        for at, one in enumerate(cells)
    ]
    return _moving(cells, found)


def _counted(one: Both) -> bool:
    """Returns whether the frames of a cell say how often it fails."""
    counts = one.counts
    return bool(counts.old or not one.failed) and bool(counts.new or not one.fails)


def _change(one: Both, chance: float | None, *, told: bool, group: Counts | None) -> CellChange:
    def ends(change: Change, reason: str) -> CellChange:
        return CellChange(name(one.new), change, reason, one.old, one.new, chance)

    if not (one.failed or one.fails):
        return ends(Change.UNCHANGED, "PASS in both runs")
    verdicts = f"{one.old.verdict} before, {one.new.verdict} now"
    if chance is None:  # a fault that is not one of single frames
        if one.failed == one.fails:
            return ends(Change.UNCHANGED, verdicts)
        change = Change.REGRESSED if one.fails else Change.HEALED
        return ends(change, f"{verdicts}; no count of frames says how often")
    counts = one.counts
    what = f"{verdicts}: {counts}"
    if not told and group is None:
        if one.failed == one.fails:
            return ends(Change.UNCHANGED, what)
        return ends(Change.WITHIN_CHANCE, f"{what}, which chance explains (p = {chance:.2g})")
    if not told and group is not None:
        what += f"; with all cells of this traffic {group}"
    rose = counts.rose if told or group is None else group.rose
    before, now = (group.old, group.new) if group is not None and not told else (0, 0)
    if not one.failed and one.fails and rose and not before:
        return ends(Change.REGRESSED, what)
    if one.failed and not one.fails and not rose and not now:
        return ends(Change.HEALED, what)
    if one.failed or one.fails:
        return ends(Change.RATE_CHANGED, what)
    return ends(Change.UNCHANGED, what)


def _groups(cells: Iterable[tuple[int, Both]]) -> dict[Hashable, list[int]]:
    """Returns the places of the cells that are tested together, by their traffic."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for at, one in cells:
        found[one.traffic].append(at)
    return found


def _sum(cells: Iterable[Both]) -> Counts:
    first, *rest = (one.counts for one in cells)
    for one in rest:
        first += one
    return first


def _moving(cells: Sequence[Both], found: list[CellChange]) -> list[CellChange]:
    """Returns the changes after those were withdrawn that a fault makes which moves.

    Where a signature has come to cells of a pair and gone from others, each offload set and each
    kind of flow is tested with cells as the unit: how many failed before, and how many fail now.
    """
    came: dict[tuple[int, str], list[int]] = defaultdict(list)
    went: dict[tuple[int, str], list[int]] = defaultdict(list)
    for at, (one, change) in enumerate(zip(cells, found, strict=True)):
        if change.change is Change.REGRESSED:
            came[one.pair, _sign(one.new)].append(at)
        elif change.change is Change.HEALED:
            went[one.pair, _sign(one.old)].append(at)
    for key in came.keys() & went.keys():
        moved = [*came[key], *went[key]]
        real = _proved_by_cells(cells, moved, key[0])
        for at in moved:
            if at not in real:
                reason = (
                    f"{found[at].reason}; the same fault has come to {len(came[key])} cells of the "
                    f"pair and gone from {len(went[key])}: it moves from run to run"
                )
                found[at] = replace(found[at], change=Change.WITHIN_CHANCE, reason=reason)
    return found


def _proved_by_cells(cells: Sequence[Both], moved: Iterable[int], pair: int) -> set[int]:
    groups: dict[Hashable, list[Both]] = defaultdict(list)
    for one in cells:
        if one.pair == pair:
            for group in _dimensions(one):
                groups[group].append(one)
    values = {}
    for group, members in groups.items():
        before = sum(one.failed for one in members)
        now = sum(one.fails for one in members)
        values[group] = Counts(before, len(members), now, len(members), "failing").chance
    proved = holm({group: p for group, p in values.items() if p < 1.0}, LEVEL)
    return {at for at in moved if proved & set(_dimensions(cells[at]))}


def _dimensions(one: Both) -> tuple[Hashable, ...]:
    flow = one.new.flow
    return (
        ("set", one.new.set_id),
        ("outer", flow.outer),
        ("outer checksum", flow.outer_checksum, flow.tunnel),
        ("inner", flow.inner),
        ("protocol", flow.l4, flow.segmentation),
        ("packet set", flow.packet_set, flow.direction, flow.state, flow.load, flow.vlan),
    )


def _sign(row: CellRow) -> str:
    """Returns what identifies the fault of a cell, whose sentence counts frames."""
    return (row.signature or row.verdict).partition(":")[0]


def _wrong(row: CellRow) -> int:
    return max(row.bad, row.wrong)


def _share(bad: int, of: int) -> str:
    return f" ({percent(bad / of)})" if bad and of else ""
