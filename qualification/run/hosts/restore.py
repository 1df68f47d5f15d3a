"""Carries out `vxqual restore`: says of each host what was put back, and what could not be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qualification import topology
from qualification.errors import EXIT_LAB, EXIT_QUALIFIED, UsageError
from qualification.progress import Progress
from qualification.remote.restoring import Restored, restore
from qualification.run.prepare import select_pairs


def restore_hosts(path: str, wanted: Sequence[str], say: Progress) -> int:
    """Puts the hosts of a topology back; returns the exit code.

    Raises:
        UsageError: The topology builds its lab for each run, so that its hosts do not stay.
    """
    lab = topology.load(path)
    pairs = select_pairs(lab, wanted)
    if lab.lab is not None:
        raise UsageError(
            "its lab is built for each run and removed with it: there is nothing to restore",
            where=path,
            hint="give a topology of hosts that stay, such as that of `vxqual lab up`",
        )
    answers = restore(lab, pairs)
    for answer in answers:
        for line in _lines(answer):
            say(line)
    return EXIT_QUALIFIED if all(answer.as_it_was for answer in answers) else EXIT_LAB


def _lines(answer: Restored) -> Iterator[str]:
    for nic, lines in answer.done.items():
        for line in lines:
            yield f"{nic}: put back: {line}"
    yield from answer.sentences
    for error in answer.errors:
        yield f"{error}".replace("\n", "\n  ")
    if answer.as_it_was and not any(answer.done.values()):
        yield f"{answer.host}: nothing to put back"
