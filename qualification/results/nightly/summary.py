"""A run as one screen of Markdown: the verdict, what has changed, and what to do.

Its sentences are those of the terminal's report and of the comparison; this chooses among them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice

from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.verdict import Verdict
from qualification.printable import code
from qualification.results.comparison.markdown import escaped, sentence
from qualification.results.comparison.model import Comparison
from qualification.results.comparison.summary import groups, headline
from qualification.results.conclusion import RunOutcome
from qualification.results.forms.mitigation import mitigation
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal import culprit_lines, explanations, overview, report

MOST_LINES = 40
"""One screen."""
_MOST_REASONS, _MOST_CHANGES, _MOST_STEPS = 8, 6, 10
_OF_A_PAIR = 3
_ONE_LINE = 100_000
"""Columns: sentences are not wrapped, which is left to whoever shows the Markdown."""
_IDLE = (Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED)


def page(
    results: Matrix,
    since: Comparison | str,
    culprits: Sequence[CulpritFindings] = (),
    named: str = "",
) -> list[str]:
    """Returns the lines, at most `MOST_LINES`.

    Args:
        results: The run.
        since: The run compared with the one before it, or why it is not, in a sentence.
        culprits: What the search for culprits found; without it the mitigation alone is told.
        named: What a command takes to find the run; its id if empty.
    """
    results = report.as_far_as_it_came(results)
    run, named = results.run, named or results.run.id
    about = f"run {run.id} of {run.topology}, plan {run.plan}, {run.started}, vxqual {run.version}"
    made = [f"# {escaped(report.headline(results).text)}", "", escaped(about)]
    full = f"the rest: {code(f'vxqual report {shlex.quote(named)} -v')}"
    made += _section("Why", list(_reasons(results)), _MOST_REASONS, full)
    if isinstance(since, str):
        made += ["", "## Since the last run", "", escaped(since)]
    else:
        changes = [
            f"{one.change}: {sentence(one)}" for pair in since.pairs for one in groups(pair.cells)
        ]
        notes = [
            escaped(note) for note in (*since.notes, *(n for p in since.pairs for n in p.notes))
        ]
        rest = code(f"vxqual compare {since.old.id} {since.new.id}")
        made += ["", f"## Since run {escaped(since.old.id)}", "", escaped(headline(since))]
        made += _listed([*changes, *notes], _MOST_CHANGES, f"the rest: {rest}")
    made += _section("What to do", list(_steps(results, culprits, named)), _MOST_STEPS, full)
    return made


def _section(title: str, lines: Sequence[str], most: int, rest: str) -> list[str]:
    return ["", f"## {title}", *_listed(lines, most, rest)] if lines else []


def _listed(lines: Sequence[str], most: int, rest: str) -> list[str]:
    """Returns lines as a list that says where to find those that are too many."""
    shown = lines if len(lines) <= most else [*lines[: most - 1], rest]
    return ["", *(f"- {line}" for line in shown)] if shown else []


def _reasons(results: Matrix) -> Iterator[str]:
    """Yields what is wrong with each NIC that is not fine, those that fail first."""
    for nic in _concerned(results):
        outcome = overview.outcome(results, nic.pair)
        idle = outcome is RunOutcome.NOT_EXERCISED
        cells = [
            cell
            for cell in results.cells
            if cell.pair == nic.pair and (idle or cell.verdict not in _IDLE)
        ]
        if cells:
            told = explanations.explain(cells, nic.driver, results.run.demand.confidence, _ONE_LINE)
            doubts = (escaped(line.text.strip()) for line in told if line.tone in ("bad", "doubt"))
            yield from islice(doubts, _OF_A_PAIR)


def _steps(results: Matrix, culprits: Sequence[CulpritFindings], named: str) -> Iterator[str]:
    """Yields what heals each NIC and at which cost, then what to do with the run."""
    found = {one.pair: one for one in culprits}
    peers = {nic.pair: nic for nic in results.nics if nic.role == "peer"}
    concerned = _concerned(results)
    for nic in concerned:
        if nic.pair not in found:
            known = mitigation(results, nic)
            if known:
                yield escaped(known)
            continue
        one = found[nic.pair]
        for group in islice(one.findings, _OF_A_PAIR):
            proof = f"; proof: {group.reason}" if group.proof else ""
            said = escaped(f"{culprit_lines.summary(group)}{proof}")
            yield f"culprit on {escaped(nic.pair)}: {said}"
        cost = next((cost for cost in results.costs if cost.pair == nic.pair), None)
        for remedy in islice(culprit_lines.remedies(one, nic, peers[nic.pair], cost), _OF_A_PAIR):
            price = f", {escaped(remedy.cost)}" if remedy.cost else ""
            yield f"{escaped(remedy.what)}: {code(remedy.command)}{price}"
    run, goes_on = shlex.quote(named), False
    match results.run.outcome:
        case RunOutcome.NOT_QUALIFIED:
            yield f"what the vendor is handed: {code(f'vxqual bundle {run}')}"
            goes_on = any(cell.verdict is Verdict.ERROR for cell in results.cells)
        case RunOutcome.NOT_JUDGED | RunOutcome.INTERRUPTED:
            goes_on = True
        case RunOutcome.PARTIAL | RunOutcome.NO_CELL:
            topology = shlex.quote(results.run.topology)
            yield f"run every cell of the plan: {code(f'vxqual run {topology}')}"
        case RunOutcome.NOT_EXERCISED:
            yield f"see what was requested and in effect: {code(f'vxqual page {run}')}"
    if goes_on:
        yield f"go on where it ended: {code(f'vxqual run --resume {run}')}"


def _concerned(results: Matrix) -> list[NicRow]:
    """Returns the DUTs that are not fine, those that fail first."""
    duts = [(nic, overview.outcome(results, nic.pair)) for nic in report.sorted_duts(results)]
    some = [(nic, said) for nic, said in duts if said is not RunOutcome.QUALIFIED]
    some.sort(key=lambda one: one[1] is not RunOutcome.NOT_QUALIFIED)
    return [nic for nic, _ in some]
