"""Makes docs/performance.md from results. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from textwrap import wrap

from .kinds import Kind
from .machine import Machine
from .report import Results, cells, measured, number, unmeasured
from .rows import Row, Unmeasured

_WIDTH = 100
_HEAD = """\
<!-- Made by `scripts/bench --page docs/performance.md`. Change bench/, not this. -->

# Performance

    scripts/bench --all --page docs/performance.md

has measured the figures below; run it as root to measure them again. It compares vxqual with the
tools that people use today, on the same inputs, on one machine.

- **Whole processes**, from their start to their end, with the CPU time, user and system, that the
  kernel accounts to them (wait4), unless a section says "by the clock".
- **In turn**: A, B, A, B and so on, so that a machine whose speed drifts drifts for both.
- **Medians** of {rounds}. A ratio is the median of the rounds' ratios, with the smallest and the
  largest in parentheses; so it need not be the ratio of the two medians.
- The **bar** is the figure that vxqual aims to reach. A row without a bar only informs.
"""


def page(results: Results, kinds: Mapping[str, Kind]) -> str:
    """Returns the page.

    Args:
        results: The results.
        kinds: All kinds of benchmarks.
    """
    rounds = f"{results.rounds} rounds" if results.rounds > 1 else "1 round"
    lines = [*_HEAD.format(rounds=rounds).splitlines(), *_machine(results.machine)]
    for name, kind in kinds.items():
        if name in results.rows:
            lines += _section(kind, results.rows[name])
    missing = [kind.title for name, kind in kinds.items() if name not in results.rows]
    if missing:
        lines += ["", "## Not in this run", "", *wrap("; ".join(missing) + ".", _WIDTH)]
    return "\n".join(lines) + "\n"


def _machine(machine: Machine) -> Iterator[str]:
    yield from ("", "## The machine", "")
    yield f"- CPU: {machine.cpu}, {machine.cpus} CPUs; {machine.memory:.0f} GB of memory"
    yield f"- {machine.os}, kernel {machine.kernel}, Python {machine.python}"
    yield f"- vxqual {machine.version}, frames judged by {machine.verifier}"
    yield from (f"- {version}" for version in machine.tools.values())
    yield f"- {machine.day}; load average at the start: {machine.load:.2f}"


def _section(kind: Kind, rows: Sequence[Row | Unmeasured]) -> Iterator[str]:
    yield from ("", f"## {kind.title}", "", *wrap(kind.about, _WIDTH), "")
    if measured(rows):
        yield "| work | unit | vxqual | other | ratio | bar | reached |"
        yield "|---|---|---:|---:|---:|---:|---|"
    for row in measured(rows):
        work, unit, ours, other, ratio, bar, reached = cells(row)
        spread = f" ({number(min(row.ratios))} to {number(max(row.ratios))})" if ratio else ""
        shown = (work, unit, ours, other, ratio + spread, bar, reached)
        yield f"| {' | '.join(word.replace('|', chr(92) + '|') for word in shown)} |"
    if measured(rows):
        yield from ("", "What limits the figures:", "", *_limits(measured(rows)))
    seen = {row.work: "; ".join(filter(None, (row.note, row.spoilt))) for row in measured(rows)}
    if any(seen.values()):
        yield from ("", "Seen meanwhile:", "")
    for work, text in seen.items():
        yield from _item(f"*{work}*: {text}.") if text else ()
    if unmeasured(rows):
        yield from ("", "Not measured:", "")
    for missing in unmeasured(rows):
        yield from _item(f"*{missing.work}*: {missing.why}")


def _limits(rows: Sequence[Row]) -> Iterator[str]:
    """Yields an item for each limit, with the rows that it applies to unless it applies to all."""
    limits: dict[str, list[str]] = {}
    for row in rows:
        limits.setdefault(row.limit, []).append(row.work)
    for limit, works in limits.items():
        yield from _item(limit if len(limits) == 1 else f"*{_together(works)}*: {limit}")


def _together(works: Sequence[str]) -> str:
    """Returns the common beginning of names, up to a comma."""
    parts = zip(*(work.split(", ") for work in works), strict=False)
    return ", ".join(some[0] for some in takewhile(lambda some: len(set(some)) == 1, parts))


def _item(text: str) -> list[str]:
    return wrap(f"- {text}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
